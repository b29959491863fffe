// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// APIPolicy says who serves a metrics API.
//
// +kubebuilder:validation:Enum=Auto;TakeOver;Observe;Disabled
type APIPolicy string

const (
	// PolicyAuto serves the API unless it has another owner.
	PolicyAuto APIPolicy = "Auto"
	// PolicyTakeOver serves the API also where it has another owner: that APIService is switched, in one apply, once the
	// backend of the pipeline is ready.
	PolicyTakeOver APIPolicy = "TakeOver"
	// PolicyObserve serves nothing, and reports and demands the API of another owner.
	PolicyObserve APIPolicy = "Observe"
	// PolicyDisabled serves nothing and demands nothing.
	PolicyDisabled APIPolicy = "Disabled"
)

// UnavailablePolicy says what becomes of an APIService whose backend stays unavailable.
//
// +kubebuilder:validation:Enum=Keep;Deregister
type UnavailablePolicy string

const (
	// UnavailableKeep keeps it: HorizontalPodAutoscalers go on as soon as the backend is back.
	UnavailableKeep UnavailablePolicy = "Keep"
	// UnavailableDeregister deletes it after five minutes, and makes it again when the backend is back.
	UnavailableDeregister UnavailablePolicy = "Deregister"
)

// APIOptions are the knobs that every metrics API has.
type APIOptions struct {
	// policy says who serves the API. Auto (default) serves it unless it has another owner. TakeOver serves it also then:
	// the foreign APIService is switched in one apply, once the backend is ready. Observe serves nothing and reports the
	// API of another owner. Disabled serves nothing and demands nothing; what the operator had deployed for it is removed.
	// +optional
	// +kubebuilder:default=Auto
	Policy APIPolicy `json:"policy,omitempty"`

	// onUnavailable says what becomes of our APIService when its backend has been unavailable for five minutes. Keep
	// (default) leaves it. Deregister deletes it, and makes it again when the backend is back: an APIService whose
	// backend is dead blocks the deletion of every namespace and fails discovery, but without one the metrics API does
	// not exist for HorizontalPodAutoscalers.
	// +optional
	// +kubebuilder:default=Keep
	OnUnavailable UnavailablePolicy `json:"onUnavailable,omitempty"`
}

// ResourceBackend is what serves metrics.k8s.io.
//
// +kubebuilder:validation:Enum=MetricsServer;PrometheusAdapter
type ResourceBackend string

const (
	// BackendMetricsServer serves it from the kubelets.
	BackendMetricsServer ResourceBackend = "MetricsServer"
	// BackendPrometheusAdapter serves it from the series that Prometheus has of containers and nodes.
	BackendPrometheusAdapter ResourceBackend = "PrometheusAdapter"
)

// ResourceMetricsSpec says who serves metrics.k8s.io, and from what.
type ResourceMetricsSpec struct {
	APIOptions `json:",inline"`

	// backend is what serves metrics.k8s.io. MetricsServer (default) reads the kubelets. PrometheusAdapter queries the
	// Prometheus of spec.prometheus, which must scrape cAdvisor of every kubelet, and windows-exporter for Windows nodes.
	// After a change the present backend serves until the other one does; prometheus-adapter does once Prometheus has the
	// series.
	// +optional
	// +kubebuilder:default=MetricsServer
	Backend ResourceBackend `json:"backend,omitempty"`

	// window is how long the time is over which backend PrometheusAdapter averages cpu: at least two scrapes of the kubelets
	// must lie in it. Unset: four scrape intervals of the chosen Prometheus object and at least 2m, or 5m where its scrape
	// interval is not known. Backend MetricsServer has metricsServer.metricResolution instead.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="window must be at least 10s, and at least two scrapes of the kubelets"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="window must be at most 1h"
	Window Duration `json:"window,omitempty"`
}

// FromPrometheus is true where metrics.k8s.io is made of series in Prometheus.
func (s ResourceMetricsSpec) FromPrometheus() bool { return s.Backend == BackendPrometheusAdapter }

// DerivePolicy says whether rules are derived from the metrics that HorizontalPodAutoscalers ask for.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type DerivePolicy string

const (
	// DeriveEnabled derives a rule for a metric that no stated rule makes, where its name says from which series.
	DeriveEnabled DerivePolicy = "Enabled"
	// DeriveDisabled serves the stated rules alone.
	DeriveDisabled DerivePolicy = "Disabled"
)

// CustomMetricsSpec says who serves custom.metrics.k8s.io, and which metrics there are.
type CustomMetricsSpec struct {
	APIOptions `json:",inline"`

	// rules say which series become custom metrics, in the form of prometheus-adapter's own rules, each under an id.
	// Without a rule, and without one that is derived, the API is not registered. A rule that prometheus-adapter would not
	// accept is rejected and named in status.rules; the others work.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=256
	Rules []CustomMetricRule `json:"rules,omitempty"`

	// derive says whether a rule follows from a metric that a HorizontalPodAutoscaler asks for and none of rules makes. Enabled
	// (default) derives one where the metric's name says from which series, such as http_requests_per_second from
	// http_requests_total, and exactly one candidate has samples for the pods or the object of that HorizontalPodAutoscaler.
	// status.rules lists it. Disabled serves rules alone.
	// +optional
	// +kubebuilder:default=Enabled
	Derive DerivePolicy `json:"derive,omitempty"`
}

// ExternalMetricsSpec says who serves external.metrics.k8s.io, and which metrics there are.
type ExternalMetricsSpec struct {
	APIOptions `json:",inline"`

	// rules say which series become external metrics, in the form of prometheus-adapter's own externalRules, each under an
	// id. Without a rule, and without one that is derived, the API is not registered. A rule that prometheus-adapter would
	// not accept is rejected and named in status.rules; the others work.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=256
	Rules []ExternalMetricRule `json:"rules,omitempty"`

	// derive says whether a rule follows from a metric that a HorizontalPodAutoscaler asks for and none of rules makes. Enabled
	// (default) derives one where the metric's name says from which series, and exactly one candidate has samples in the
	// HorizontalPodAutoscaler's own namespace that its selector selects. status.rules lists it. Disabled serves rules alone.
	// +optional
	// +kubebuilder:default=Enabled
	Derive DerivePolicy `json:"derive,omitempty"`
}
