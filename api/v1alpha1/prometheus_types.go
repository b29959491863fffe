// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// PrometheusSpec says where the numbers for custom and external metrics come from, and whose targets annotated apps become. Neither url
// nor ref means the only Prometheus object of the cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || has(self.url) || has(self.ref)",message="auth would be sent to any Prometheus object that is the only one; name the receiver of the credentials in url or ref"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || !has(self.url) || !isURL(self.url) || url(self.url).getScheme() != 'http' || (has(self.allowHTTP) && self.allowHTTP)",message="auth over http sends credentials that anyone on the way can read; set url to an https URL, or accept the risk with allowHTTP: true"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || !has(self.adapterURL) || !isURL(self.adapterURL) || url(self.adapterURL).getScheme() != 'http' || url(self.adapterURL).getHostname() in ['localhost', '127.0.0.1', '::1', '[::1]'] || (has(self.allowHTTP) && self.allowHTTP)",message="auth over http sends credentials that anyone on the way can read; set adapterURL to an https URL or to one on localhost, or accept the risk with allowHTTP: true"
// +kubebuilder:validation:XValidation:rule="!has(self.managed) || !(has(self.url) || has(self.ref))",message="managed runs a Prometheus for this pipeline, and url and ref name another one: remove managed, or remove url and ref"
// +kubebuilder:validation:XValidation:rule="!has(self.managed) || !(has(self.auth) || has(self.tls) || has(self.adapterURL) || (has(self.allowHTTP) && self.allowHTTP) || (has(self.dialect) && self.dialect != 'PromQL'))",message="with managed the operator chooses the address, the certificate and the token: remove auth, tls, adapterURL, allowHTTP and dialect, or remove managed"
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

	// managed has the operator run a Prometheus, which scrapes annotated apps, the kubelets and the components; {} suffices. It excludes
	// url and ref. Taken out while a metrics API needs it and nothing else answers queries, the Prometheus stays as it is, and the pipeline
	// is stalled.
	// +optional
	Managed *ManagedPrometheusSpec `json:"managed,omitempty"`

	// adapterURL is where the adapter queries, if not at url: a proxy in its pod that signs requests, such as
	// http://localhost:8005/workspaces/ws-1. The operator queries url, or the URL of the Prometheus object, and adapterURL as well
	// unless that leads to localhost, which is another pod's there. Bounds are those of url.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="adapterURL must be an absolute http or https URL such as http://localhost:8005"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[@?#]')",message="adapterURL must not contain credentials, a query or a fragment; give credentials in auth"
	AdapterURL string `json:"adapterURL,omitempty"`

	// queryMethod is the HTTP method of queries, the adapter's and the operator's: GET (default), or POST for gateways that bound the
	// length of a URL.
	// +optional
	QueryMethod QueryMethod `json:"queryMethod,omitempty"`

	// dialect is what queries of rules are written in: PromQL (default), which is checked, or MetricsQL, of which only the templates
	// and the structure of rules are checked.
	// +optional
	Dialect QueryDialect `json:"dialect,omitempty"`

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

// QueryMethod is an HTTP method.
//
// +kubebuilder:validation:Enum=GET;POST
type QueryMethod string

const (
	// QueryGET has the query in the URL.
	QueryGET QueryMethod = "GET"
	// QueryPOST has the query in the body, whose length no gateway bounds as it does that of a URL.
	QueryPOST QueryMethod = "POST"
)

// QueryDialect is a language of queries.
//
// +kubebuilder:validation:Enum=PromQL;MetricsQL
type QueryDialect string

const (
	// DialectPromQL is that of Prometheus, which rules are checked by.
	DialectPromQL QueryDialect = "PromQL"
	// DialectMetricsQL is that of VictoriaMetrics, which accepts more than PromQL.
	DialectMetricsQL QueryDialect = "MetricsQL"
)

// PrometheusAuth names Secrets in the operator's namespace, the only one in which it reads them.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) && has(self.basicAuth))",message="bearerToken and basicAuth are both sent in the header Authorization; set one of them"
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) || has(self.basicAuth)) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == 'authorization')",message="headers has Authorization, which bearerToken and basicAuth are sent in; set one of them"
type PrometheusAuth struct {
	// bearerToken is the key of a Secret that has the bearer token to present.
	// +optional
	BearerToken *KeyReference `json:"bearerToken,omitempty"`

	// basicAuth is the user and the password to present.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`

	// headers to send with every request, such as X-Scope-OrgID, with values from Secrets.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",message="headers has one name twice: upper and lower case are the same in a header"
	Headers []PrometheusHeader `json:"headers,omitempty"`
}

// BasicAuth is a user and a password. Both are in Secrets.
type BasicAuth struct {
	// username is the key of a Secret that has the name of the user.
	// +required
	Username KeyReference `json:"username,omitzero"`

	// password is the key of a Secret that has the password.
	// +required
	Password KeyReference `json:"password,omitzero"`
}

// PrometheusHeader is a header of requests to Prometheus.
type PrometheusHeader struct {
	// name of the header, such as X-Scope-OrgID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$`
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['accept-encoding', 'connection', 'content-encoding', 'content-length', 'content-type', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="name is that of a header which the connection needs; remove it, or name another"
	Name string `json:"name,omitempty"`

	// secret is the key of a Secret that has the value.
	// +required
	Secret KeyReference `json:"secret,omitzero"`
}
