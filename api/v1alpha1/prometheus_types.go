// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// PrometheusSpec says where the numbers for custom and external metrics come from.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.url) && has(self.ref))",message="url and ref name two sources; set one of them, or neither to use the only Prometheus object of the cluster"
type PrometheusSpec struct {
	// url is the base URL of anything with the Prometheus HTTP API (Prometheus, Thanos, Mimir, VictoriaMetrics), as
	// seen from a pod, such as https://thanos-query.monitoring.svc:9090. http or https, with a path if the API has a
	// prefix, without credentials, query or fragment.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="url must be an absolute http or https URL such as http://prometheus.monitoring.svc:9090"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[@?#]')",message="url must not hold credentials, a query or a fragment; give credentials in auth"
	URL string `json:"url,omitempty"`

	// ref names a Prometheus object of prometheus-operator; its URL and its monitor selectors are read from it.
	// +optional
	Ref *PrometheusReference `json:"ref,omitempty"`

	// auth holds what the adapter presents to Prometheus and how it verifies it. A changed Secret or ConfigMap rolls
	// the adapter, which reads them once.
	// +optional
	Auth *PrometheusAuth `json:"auth,omitempty"`
}

// PrometheusReference names a Prometheus object (monitoring.coreos.com/v1).
type PrometheusReference struct {
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

// PrometheusAuth names Secrets and ConfigMaps in the operator's namespace, the only one in which it reads them.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.caSecret) && has(self.caConfigMap))",message="caSecret and caConfigMap both name a certificate authority; set one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.clientCertSecret) || has(self.caSecret) || has(self.caConfigMap)",message="prometheus-adapter uses clientCertSecret only together with a certificate authority; set caSecret or caConfigMap as well"
type PrometheusAuth struct {
	// bearerTokenSecret is the key of a Secret that holds a bearer token.
	// +optional
	BearerTokenSecret *KeyReference `json:"bearerTokenSecret,omitempty"`

	// caSecret is the key of a Secret that holds the PEM certificate authority of Prometheus.
	// +optional
	CASecret *KeyReference `json:"caSecret,omitempty"`

	// caConfigMap is the key of a ConfigMap that holds the PEM certificate authority of Prometheus.
	// +optional
	CAConfigMap *KeyReference `json:"caConfigMap,omitempty"`

	// clientCertSecret is a Secret of type kubernetes.io/tls with the client certificate to present.
	// +optional
	ClientCertSecret *NameReference `json:"clientCertSecret,omitempty"`
}

// KeyReference names one key of a Secret or ConfigMap in the operator's namespace.
type KeyReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in its data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// NameReference names an object in the operator's namespace.
type NameReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}
