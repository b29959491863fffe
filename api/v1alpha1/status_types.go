// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MetricsPipelineStatus is what the operator observed.
type MetricsPipelineStatus struct {
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// version is the version of the operator that wrote the status.
	// +optional
	Version string `json:"version,omitempty"`

	// conditions say what works and what does not: Ready is the conjunction of the others; Reconciling and Stalled
	// follow kstatus.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// apiServices are the metrics APIs of the cluster, ours and foreign ones.
	// +optional
	// +listType=map
	// +listMapKey=name
	APIServices []APIServiceStatus `json:"apiServices,omitempty"`

	// components are the workloads that the operator deploys.
	// +optional
	// +listType=map
	// +listMapKey=name
	Components []ComponentStatus `json:"components,omitempty"`

	// certificates are those that the components serve with, and the authority's where it is ours.
	// +optional
	// +listType=map
	// +listMapKey=name
	Certificates []CertificateStatus `json:"certificates,omitempty"`

	// nodes counts the nodes, and those of which metrics.k8s.io has metrics; unset where that is not known, and while the operator
	// does not serve that API and nobody else does.
	// +optional
	Nodes *NodesStatus `json:"nodes,omitempty"`

	// scrape counts the annotated apps and their monitors.
	// +optional
	Scrape *ScrapeStatus `json:"scrape,omitempty"`

	// autoscalers counts the HPAs of the cluster, and says why some fail; unset until they have been listed.
	// +optional
	Autoscalers *AutoscalersStatus `json:"autoscalers,omitempty"`

	// prometheus is the source of custom and external metrics; unset where none could be chosen. One that the operator chose by
	// itself stays here while its object does not exist.
	// +optional
	Prometheus *PrometheusStatus `json:"prometheus,omitempty"`

	// rules are the states of the spec's rules and of those that are derived, at most 20 of them, what needs attention first:
	// rejected ones, then those that serve in their last good form, those that cannot work as they are written, those in use without
	// series, and the others; then derived ones, those of each namespace in turn.
	// +optional
	// +listType=map
	// +listMapKey=api
	// +listMapKey=id
	Rules []RuleStatus `json:"rules,omitempty"`

	// rulesTotal counts the rules by their state, listed or not.
	// +optional
	RulesTotal RuleTotals `json:"rulesTotal,omitzero"`
}

// PrometheusStatus is the source of custom and external metrics.
type PrometheusStatus struct {
	// url is the base URL that custom and external metrics are read from; unset for a PrometheusAgent, which answers no queries.
	// +optional
	URL string `json:"url,omitempty"`

	// origin is what chose it: spec.prometheus.url, or the object that scrapes, such as Prometheus monitoring/k8s.
	// +required
	Origin string `json:"origin,omitempty"`

	// chosen is the Prometheus object that was the only one of the cluster when it was chosen; unset where spec.prometheus names
	// the source. It stays in use when other objects appear, and no other takes its place when it goes: spec.prometheus.ref is
	// the way to change.
	// +optional
	Chosen *PrometheusReference `json:"chosen,omitempty"`

	// version is that of the Prometheus, as its object states it, or the tag or digest of the image that the operator runs; unset where
	// neither is known.
	// +optional
	Version string `json:"version,omitempty"`
}

// APIServiceStatus is the state of one metrics API, as kube-aggregator gives it.
type APIServiceStatus struct {
	// name of the APIService, such as v1beta1.metrics.k8s.io.
	// +required
	Name string `json:"name,omitempty"`

	// group is the API group that it serves.
	// +required
	Group string `json:"group,omitempty"`

	// version is the API version that it serves.
	// +required
	Version string `json:"version,omitempty"`

	// owner is who the APIService belongs to: this pipeline, or the field manager and the Service of another owner.
	// Empty when there is no APIService.
	// +optional
	Owner string `json:"owner,omitempty"`

	// backend is the component that serves the API; empty when it is not ours.
	// +optional
	Backend string `json:"backend,omitempty"`

	// available is the status of the APIService's Available condition; Unknown when there is no APIService.
	// +required
	// +kubebuilder:validation:Enum=True;False;Unknown
	Available metav1.ConditionStatus `json:"available,omitempty"`

	// reason is the reason of that condition, such as Passed, MissingEndpoints or FailedDiscoveryCheck; or why there is
	// no APIService of ours: NoRules, ServedByOther, WaitingForBackend, WaitingForAggregator, ConfigurationInvalid,
	// Disabled, NotServed, Deregistered, Contested.
	// +required
	Reason string `json:"reason,omitempty"`

	// message is that condition's message, or what has to happen first.
	// +optional
	Message string `json:"message,omitempty"`

	// lastTransitionTime is when available last changed.
	// +optional
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`

	// servingCertificateExpiry is when the serving certificate of our backend ends. It is renewed long before.
	// +optional
	ServingCertificateExpiry *metav1.Time `json:"servingCertificateExpiry,omitempty"`
}

// CertificateStatus is a certificate that is in use.
type CertificateStatus struct {
	// name of its Secret.
	// +required
	Name string `json:"name,omitempty"`

	// provider that issued it: CertManager or BuiltIn.
	// +required
	Provider CertificateProvider `json:"provider,omitempty"`

	// expires is when it ends.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`

	// renews is when it is due for renewal.
	// +optional
	Renews *metav1.Time `json:"renews,omitempty"`
}

// ComponentStatus is the state of one deployed workload.
type ComponentStatus struct {
	// name of the component's Deployment.
	// +required
	Name string `json:"name,omitempty"`

	// version is the tag or digest of the image that it runs.
	// +optional
	Version string `json:"version,omitempty"`

	// ready is the number of pods that serve.
	// +optional
	Ready int32 `json:"ready"`

	// desired is the number of pods that should serve.
	// +optional
	Desired int32 `json:"desired"`

	// message says what is missing; empty when nothing is.
	// +optional
	Message string `json:"message,omitempty"`
}

// RuleState is the state of a rule.
//
// +kubebuilder:validation:Enum=InUse;Warned;LastGood;Rejected
type RuleState string

const (
	// RuleInUse is the state of a rule that serves as it is in the spec.
	RuleInUse RuleState = "InUse"
	// RuleWarned is the state of a rule that is in use as it is in the spec, and cannot work: its metric has no value, or a wrong one.
	RuleWarned RuleState = "Warned"
	// RuleLastGood is the state of a rule that is rejected as it is in the spec, and serves in its last good form; or of one
	// that the spec does not have any more, and that serves because no rule of its API is usable.
	RuleLastGood RuleState = "LastGood"
	// RuleRejected is the state of a rule that is rejected and has no last good form: it serves nothing.
	RuleRejected RuleState = "Rejected"
)

// RuleOrigin is where a rule comes from.
//
// +kubebuilder:validation:Enum=Spec;Derived
type RuleOrigin string

const (
	// RuleOfSpec is the origin of a rule that the spec has.
	RuleOfSpec RuleOrigin = "Spec"
	// RuleDerived is the origin of a rule that follows from a metric that a HorizontalPodAutoscaler asks for.
	RuleDerived RuleOrigin = "Derived"
)

// RuleStatus is the state of one rule.
type RuleStatus struct {
	// id of the rule. That of a derived rule begins with derived/, and has the metric's name and the resource that it describes.
	// +required
	ID string `json:"id,omitempty"`

	// api is the group of the metrics API that the rule is for: custom.metrics.k8s.io or external.metrics.k8s.io.
	// +required
	API string `json:"api,omitempty"`

	// state is InUse, Warned (the rule is in use and cannot work as it is written: message says why), LastGood (it is rejected as
	// it is in the spec, or removed while no rule of its API is usable, and serves in its last good form) or Rejected (it serves
	// nothing).
	// +required
	State RuleState `json:"state,omitempty"`

	// series is about how many series of Prometheus the rule is made from: as they were counted when the rule was last looked at,
	// after a change of it, or since then where there were none. Unset while they have not been counted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Series *int64 `json:"series,omitempty"`

	// message names the field and its value, and what to do. Of a rule that is in use and can work it says what it cannot do, or that
	// there are no series yet.
	// +optional
	Message string `json:"message,omitempty"`

	// origin is Derived for a rule that follows from a metric that a HorizontalPodAutoscaler asks for. Unset or Spec: the spec has it.
	// +optional
	Origin RuleOrigin `json:"origin,omitempty"`

	// autoscaler is the namespace and the name of a HorizontalPodAutoscaler that asks for the metric of a derived rule: the first
	// one, as long as it does.
	// +optional
	Autoscaler string `json:"autoscaler,omitempty"`

	// autoscalers is about how many HorizontalPodAutoscalers ask for the metric of a derived rule.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Autoscalers int32 `json:"autoscalers,omitempty"`

	// query is what is queried for a derived rule, as metricsQuery of a rule of the spec says it, with the name of the series.
	// +optional
	Query string `json:"query,omitempty"`
}

// RuleTotals count rules by their state, listed or not.
type RuleTotals struct {
	// inUse is the number of rules that serve as they are in the spec.
	// +optional
	InUse int32 `json:"inUse"`

	// warned is the number of rules that are in use and cannot work as they are written.
	// +optional
	Warned int32 `json:"warned,omitempty"`

	// lastGood is the number of rules that are rejected, or removed, and serve in their last good form.
	// +optional
	LastGood int32 `json:"lastGood"`

	// rejected is the number of rules that are rejected and serve nothing.
	// +optional
	Rejected int32 `json:"rejected"`

	// derived is the number of rules that follow from metrics that HorizontalPodAutoscalers ask for, beside the others.
	// +optional
	Derived int32 `json:"derived,omitempty"`
}
