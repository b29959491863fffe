// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// PrometheusSpec says where the numbers for custom and external metrics come from, and whose targets annotated apps become. Neither url
// nor ref means the only Prometheus object of the cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || has(self.url) || has(self.ref)",message="auth would be sent to any Prometheus object that is the only one; name the receiver of the credentials in url or ref"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || !has(self.url) || !isURL(self.url) || url(self.url).getScheme() != 'http' || (has(self.allowHTTP) && self.allowHTTP)",message="auth over http sends credentials that anyone on the way can read; set url to an https URL, or accept the risk with allowHTTP: true"
type PrometheusSpec struct {
	// url is the base URL of anything with the Prometheus HTTP API (Prometheus, Thanos, Mimir, VictoriaMetrics), as
	// seen from a pod, such as https://thanos-query.monitoring.svc:9090. http or https, with a path if the API has a
	// prefix, without credentials, query or fragment.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="url must be an absolute http or https URL such as http://prometheus.monitoring.svc:9090"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[@?#]')",message="url must not contain credentials, a query or a fragment; give credentials in auth"
	URL string `json:"url,omitempty"`

	// ref names the object of prometheus-operator that scrapes: its monitor selectors and scrape interval are read from it, and where
	// url is not set, its URL too. With both, ref is who scrapes and url is who answers queries, such as a Thanos Query in front of the
	// shards of a Prometheus, or the store that a PrometheusAgent writes to.
	// +optional
	Ref *PrometheusReference `json:"ref,omitempty"`

	// tls is how the certificate of Prometheus is verified, and which one is presented. What it names is in the operator's
	// namespace. A changed Secret or ConfigMap rolls the adapter, which reads them once.
	// +optional
	TLS *ClientTLS `json:"tls,omitempty"`

	// auth is what is presented to Prometheus. A changed Secret rolls the adapter, which reads it once. It needs url or ref: no
	// credentials are sent to a Prometheus that nobody named.
	// +optional
	Auth *PrometheusAuth `json:"auth,omitempty"`

	// allowHTTP permits that auth is sent over http, where anyone on the way can read it. Without it, auth is sent to an https
	// URL alone: that of url, or the one that follows from ref.
	// +optional
	AllowHTTP bool `json:"allowHTTP,omitempty"`
}

// PrometheusKind is a kind of prometheus-operator that scrapes.
//
// +kubebuilder:validation:Enum=Prometheus;PrometheusAgent
type PrometheusKind string

const (
	// KindPrometheus scrapes, and answers queries.
	KindPrometheus PrometheusKind = "Prometheus"
	// KindPrometheusAgent scrapes, and writes to a store that answers queries.
	KindPrometheusAgent PrometheusKind = "PrometheusAgent"
)

// PrometheusReference names a Prometheus object (monitoring.coreos.com/v1) or a PrometheusAgent (v1alpha1).
type PrometheusReference struct {
	// kind is Prometheus, which unset means too, or PrometheusAgent. An agent answers no queries: set url to the store that it writes to.
	// +optional
	Kind PrometheusKind `json:"kind,omitempty"`

	// namespace of the Prometheus object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// name of the Prometheus object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}

// PrometheusAuth names Secrets in the operator's namespace, the only one in which it reads them.
type PrometheusAuth struct {
	// bearerToken is the key of a Secret that has the bearer token to present.
	// +optional
	BearerToken *KeyReference `json:"bearerToken,omitempty"`
}
