// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SingletonName is the only name a MetricsPipeline may have: a metrics API has one APIService in a cluster, which two
// pipelines would contest.
const SingletonName = "default"

// MetricsPipeline makes a cluster's metrics stack work: kubectl top, and HorizontalPodAutoscalers on cpu, memory,
// application and external metrics. Its status says which metrics API is available and, where one is not, why.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mp,categories=metrics
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="a cluster has one metrics stack, so metadata.name must be \"default\""
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Resource",type=string,JSONPath=`.status.apiServices[?(@.name=="v1beta1.metrics.k8s.io")].reason`
// +kubebuilder:printcolumn:name="Custom",type=string,JSONPath=`.status.apiServices[?(@.name=="v1beta2.custom.metrics.k8s.io")].reason`
// +kubebuilder:printcolumn:name="External",type=string,JSONPath=`.status.apiServices[?(@.name=="v1beta1.external.metrics.k8s.io")].reason`
// +kubebuilder:printcolumn:name="Monitors",type=integer,JSONPath=`.status.scrape.monitors`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type MetricsPipeline struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata; metadata.name must be "default".
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired metrics stack. Every field has a default, so that `spec: {}` is a useful pipeline.
	// +optional
	// +kubebuilder:default={}
	Spec MetricsPipelineSpec `json:"spec,omitzero"`

	// status is what the operator observed. Until it has looked, the condition Ready is Unknown.
	// +optional
	// +kubebuilder:default={observedGeneration: 0, conditions: {{type: "Ready", status: "Unknown", reason: "Pending", message: "The operator has not looked at this pipeline yet. If that stays so, it is not running: see the pods of the Deployment metricspipeline-operator.", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status MetricsPipelineStatus `json:"status,omitzero"`
}

// MetricsPipelineList is a list of MetricsPipelines.
//
// +kubebuilder:object:root=true
type MetricsPipelineList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the pipelines; there is at most one.
	Items []MetricsPipeline `json:"items"`
}

// MetricsPipelineSpec is the desired metrics stack.
type MetricsPipelineSpec struct {
	// prometheus says where the numbers for custom and external metrics come from. When neither url nor ref is set,
	// the only Prometheus object of the cluster is used.
	// +optional
	// +kubebuilder:default={}
	Prometheus PrometheusSpec `json:"prometheus,omitzero"`

	// resourceMetrics says who serves metrics.k8s.io, which kubectl top and HorizontalPodAutoscalers on cpu and memory
	// read. Its backend is metrics-server.
	// +optional
	// +kubebuilder:default={}
	ResourceMetrics ResourceMetricsSpec `json:"resourceMetrics,omitzero"`

	// customMetrics says who serves custom.metrics.k8s.io, which HorizontalPodAutoscalers of type Pods and Object read,
	// and which metrics there are. Its backend is prometheus-adapter.
	// +optional
	// +kubebuilder:default={}
	CustomMetrics CustomMetricsSpec `json:"customMetrics,omitzero"`

	// externalMetrics says who serves external.metrics.k8s.io, which HorizontalPodAutoscalers of type External read, and
	// which metrics there are. Its backend is prometheus-adapter.
	// +optional
	// +kubebuilder:default={}
	ExternalMetrics ExternalMetricsSpec `json:"externalMetrics,omitzero"`

	// metricsServer configures metrics-server, which runs when it is to serve metrics.k8s.io.
	// +optional
	// +kubebuilder:default={}
	MetricsServer MetricsServerSpec `json:"metricsServer,omitzero"`

	// prometheusAdapter configures prometheus-adapter, which runs when it is to serve custom.metrics.k8s.io or
	// external.metrics.k8s.io.
	// +optional
	// +kubebuilder:default={}
	PrometheusAdapter PrometheusAdapterSpec `json:"prometheusAdapter,omitzero"`

	// scrape turns Services and Pods with the annotation prometheus.io/scrape: "true" into targets of Prometheus.
	// +optional
	// +kubebuilder:default={}
	Scrape ScrapeSpec `json:"scrape,omitzero"`

	// certificates says who issues the serving certificates of the backends.
	// +optional
	// +kubebuilder:default={}
	Certificates CertificatesSpec `json:"certificates,omitzero"`

	// networkPolicy adds to the NetworkPolicies of the components.
	// +optional
	NetworkPolicy NetworkPolicySpec `json:"networkPolicy,omitzero"`

	// monitoring says how the stack itself is monitored: ServiceMonitors, alerts and a dashboard of the operator and its
	// components, on by default where prometheus-operator is installed.
	// +optional
	// +kubebuilder:default={}
	Monitoring MonitoringSpec `json:"monitoring,omitzero"`

	// patches are applied to the objects that the operator deploys, in order, after everything else in this spec, for what
	// no field offers. At most 64. A patch that cannot be applied is reported, and its component is retained in its last
	// good form.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Patches []Patch `json:"patches,omitempty"`
}

// NetworkPolicySpec says what the NetworkPolicies of the components let out that the operator cannot find out.
type NetworkPolicySpec struct {
	// dnsPorts are further ports that the pods of the cluster's DNS listen on, let out over TCP and UDP. 53, 5353 (OpenShift) and
	// 8053 (Gardener) are let out always. At most 8, each from 1 to 65535.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	DNSPorts []int32 `json:"dnsPorts,omitempty"`
}

// Patch changes objects that the operator deploys.
type Patch struct {
	// target selects the objects to change. A patch whose target matches nothing is refused.
	// +required
	Target PatchTarget `json:"target,omitzero"`

	// patch is a strategic merge patch, or a list of JSON 6902 operations, as one document of YAML or JSON. What it changes is
	// judged on the rendered objects: it can give pods no other ServiceAccount, Secret or ConfigMap and nothing of the host,
	// cannot change RBAC or selectors, or an object's kind, name or namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Patch string `json:"patch,omitempty"`
}

// PatchTarget selects objects by kind and, where that is not enough, by name and group.
type PatchTarget struct {
	// group is the API group, such as apps; empty matches any.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// kind is the object's kind, such as Deployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name is the object's name, such as prometheus-adapter; empty matches any.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}
