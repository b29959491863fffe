// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// Evidence is what was observed of one HPA. What was not looked at is nil or empty, and what could not be read is in Unseen.
type Evidence struct {
	// Now is when it was collected.
	Now time.Time
	// HPA as the API server has it.
	HPA *autoscalingv2.HorizontalPodAutoscaler
	// Others are the names of the other HPAs of the namespace with the same target.
	Others []string
	// ScaledObject is that of KEDA that made the HPA; nil for none.
	ScaledObject *ScaledObject
	// VPAs are those with the same target.
	VPAs []VPA
	// Target is the object of scaleTargetRef.
	Target Target
	// Pods are those that the target's selector selects, at most MostPods of them; PodsTotal counts them all, and PodsReady those of all
	// that are Ready.
	Pods                 []Pod
	PodsTotal, PodsReady int
	// Metrics is the evidence of each metric, by its place in spec.metrics.
	Metrics []Metric
	// Unseen says for a link why its evidence could not be read, such as a permission that is missing.
	Unseen map[LinkName]string
}

// MostPods is how many pods evidence names.
const MostPods = 20

// ScaledObject is what is known of a ScaledObject of KEDA.
type ScaledObject struct {
	Name string
	// HPA is the name of the one that KEDA made of it, by its status; empty for none.
	HPA string
	// Paused is the annotation that pauses it, such as autoscaling.keda.sh/paused: true; empty for none. KEDA deletes the HPA then.
	Paused string
	// PausedScaling are those that pause one direction, autoscaling.keda.sh/paused-scale-in and paused-scale-out. The HPA stays.
	PausedScaling []string
	// ToZero is true where KEDA scales the target to 0 while no trigger is active.
	ToZero bool
	// Ready and Fallback are the messages of its conditions; ReadyFalse and FallbackTrue say which of them is a fault, and Observed that
	// KEDA has looked at it.
	Ready, Fallback                    string
	ReadyFalse, FallbackTrue, Observed bool
}

// VPA is a VerticalPodAutoscaler with the same target.
type VPA struct {
	Name string
	// Mode is its updateMode; Off changes nothing.
	Mode string
	// Containers are the resources that it changes, by the name of the container; "*" are those that have no entry. Without that either it
	// changes cpu and memory.
	Containers map[string][]string
}

// everyContainer is the entry of a VPA for containers without one of their own.
const everyContainer = "*"

// changes is true for a resource of a container whose request the VPA sets. Every mode but Off does, at the latest when a pod is made.
func (p VPA) changes(container string, resource corev1.ResourceName) bool {
	if p.Mode == "Off" {
		return false
	}
	controlled, stated := p.Containers[container]
	if !stated {
		controlled, stated = p.Containers[everyContainer]
	}
	return !stated || slices.Contains(controlled, string(resource))
}

// Target is the object of scaleTargetRef.
type Target struct {
	// Found is false where it does not exist; Kind is served where its API is.
	Found, KindServed bool
	// Scalable is false for a kind without the subresource scale.
	Scalable bool
	// Replicas are those of its scale's spec.
	Replicas int32
	// Selector is that of its scale's status, as a string; empty where it has none.
	Selector string
	// SelectorElsewhere are other workloads of the namespace, such as Deployment worker, whose pods it selects too.
	SelectorElsewhere []string
}

// Pod is what is known of a pod.
type Pod struct {
	Name string
	// Phase, and Ready by its condition. Waiting is what a container or the scheduler waits for, such as "container app:
	// ImagePullBackOff"; empty for nothing.
	Phase   corev1.PodPhase
	Ready   bool
	Waiting string
	// Created is when it was made.
	Created time.Time
	// Deleted is true while it is being deleted.
	Deleted bool
	// Owner is the workload that it belongs to, such as Deployment web: a ReplicaSet's own owner counts; empty for none.
	Owner string
	// Requests by container, native sidecars included; a container without any has an empty entry. ByPod are those of the whole pod
	// where the spec has them.
	Requests map[string]corev1.ResourceList
	ByPod    corev1.ResourceList
	// Annotations that begin with the scrape prefix; Labels of the pod.
	Annotations, Labels map[string]string
}

// Metric is the evidence of one metric.
type Metric struct {
	// API is the metrics API that the metric is read from.
	API API
	// Rules are those that make a metric of this name, the one that serves first; nil for a resource metric that kubelets give.
	Rules []Rule
	// ObjectKindNotServed is true where the API server does not serve the kind of describedObject, in any version.
	ObjectKindNotServed bool
	// RuleProblem is why the rules could not be known; empty where they are.
	RuleProblem string
	// Candidates are what a rule could be derived from, where no rule makes the metric.
	Candidates []Candidate
	// CandidatesReason is why a rule is not derived, one of the constants v1alpha1.AutoscalerDerive*; empty where it is only that there
	// are no series, or several. CandidatesProblem says it in a sentence, which names no other namespace.
	CandidatesReason, CandidatesProblem string
	// DeriveDisabled is true where the spec disables derived rules.
	DeriveDisabled bool
	// Presets are the names of ready-made rules that could make the metric, where no rule does.
	Presets []string
	// FromController is true where the metric is made of series of an ingress controller, and not of what the HPA's pods expose.
	FromController bool
	// Series is what Prometheus has of the rule that serves.
	Series Series
	// Scrape is what Prometheus scrapes of the pods that are to expose the metric.
	Scrape Scrape
	// PodsWithMetrics are the names of pods of which metrics.k8s.io has usage; nil where it was not asked. ContainersWithMetrics are
	// the containers of them.
	PodsWithMetrics       []string
	ContainersWithMetrics []string
}

// API is a metrics API.
type API struct {
	// Group, such as custom.metrics.k8s.io.
	Group string
	// Policy of the spec for it, and whether there is an APIService.
	Policy     string
	Registered bool
	// Owner is as in status.apiServices; Ours is true for this pipeline's. Backend is the component that serves ours.
	Owner, Backend string
	Ours           bool
	// Available, with the reason and message of status.apiServices.
	Available       bool
	Reason, Message string
	// NoPipeline is true where there is no MetricsPipeline.
	NoPipeline bool
}

// Rule is one that makes a metric of the name that the HPA asks for.
type Rule struct {
	ID string
	// Origin is Spec or Derived, as in status.rules; State and Message are as there too.
	Origin, State, Message string
	// Query is what the backend sends for this HPA, and SeriesQuery the selector of the series that it is made from.
	Query, SeriesQuery string
	// Problem is why the rule does not serve this HPA although it makes a metric of the name, such as that it makes it of services;
	// empty where it does.
	Problem string
}

// Candidate is a series that a rule for a metric could be derived from.
type Candidate struct {
	// Series is its name, and How what would be made of it, such as "the rate of http_requests_total".
	Series, How string
	// Samples is how many series there are for the HPA's own pods or object.
	Samples int
}

// Series is what Prometheus has of the rule that serves a metric. Counts are -1 where nothing was asked.
type Series struct {
	// Unreachable is why Prometheus could not be asked; empty where it answers.
	Unreachable string
	// Total counts the series of the rule in the cluster, of a derived one those of InNamespace; InNamespace those with the HPA's
	// namespace in the rule's label for it, or all where the rule has none.
	Total, InNamespace int
	// NamespaceLabel is the name of that label. OtherLabel is another label whose value is the HPA's namespace, such as
	// exported_namespace; empty for none.
	NamespaceLabel, OtherLabel string
	// ByQuery is true where the rule finds the object by its query alone: there are no labels for it, and both counts are of all series.
	ByQuery bool
	// ForPods counts the series of the HPA's own pods, or its object, without the selector of the HPA's metric; ObjectLabel is the
	// label that names them. OtherObjects are some of its values in the HPA's namespace that are not the HPA's.
	ForPods      int
	ObjectLabel  string
	OtherObjects []string
	// OtherObjectLabel is another label that names the HPA's objects in series of the namespace, such as exported_pod; empty for none.
	OtherObjectLabel string
	// ForSelector counts those of ForPods that the selector of the HPA's metric selects, of an external metric those of InNamespace; -1
	// without a selector as well.
	ForSelector int
	// Samples are the values of the rule's own query for this HPA. NaN counts those that are not a number, Pods names the objects that
	// samples are of: none where the query sums over them.
	Samples, NaN int
	Pods         []string
	// QueryError is why Prometheus gives no answer to the rule's own query, such as that it has duplicate series; empty where it does.
	QueryError string
	// LastSeen is when the newest sample of series that have none now was; zero for none within an hour.
	LastSeen time.Time
	// Queries are the PromQL that was sent.
	Queries []string
}

// Scrape is what Prometheus scrapes of the pods that are to expose a metric, and by which monitor.
type Scrape struct {
	// Of is whose pods they are, such as Service queue, which a metric describes; empty for the HPA's own.
	Of string
	// Known is false where it was not looked at, and Unseen is why it could not be, where that is of these pods alone.
	Known  bool
	Unseen string
	// NoPods is the selector of the Service of Of where it selects no pod that runs; empty where it selects one.
	NoPods string
	// Up and Down count the targets of the pods, -1 where they were not asked for; Error is what Prometheus says of one that is
	// down, URL which one.
	Up, Down   int
	Error, URL string
	// Dropped is why samples are dropped, such as a limit.
	Dropped string
	// Monitors are those of the namespace that select the pods, such as ServiceMonitor metricspipeline-annotated.
	Monitors []string
	// Unselected are those of them that the chosen Prometheus does not select, and Selector the field with the selector that says so, such
	// as serviceMonitorSelector "release=monitoring"; without the name of the Prometheus, which is of another namespace.
	Unselected []string
	Selector   string
	// Annotated are the annotated Services and Pods that lead to the pods, such as Service web.
	Annotated []string
	// Rejected is why one of them is not scraped, as in status.scrape.rejected; empty for none.
	Rejected string
	// NamespaceNotScraped is why no app of the namespace is; empty where they are.
	NamespaceNotScraped string
	// Prefix of the annotations, such as prometheus.io.
	Prefix string
}
