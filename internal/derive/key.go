// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"cmp"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/metricsapi"
)

// Key says which metric a rule makes. There is one rule for it, whoever asks.
type Key struct {
	// API is the group of the metrics API.
	API string `json:"api"`
	// Metric is the name that HPAs ask for.
	Metric string `json:"metric"`
	// Resource of the objects that the metric describes, such as pods or deployments.apps; empty for an external metric.
	Resource string `json:"resource,omitempty"`
}

// idPrefix begins the ids of derived rules.
const idPrefix = "derived/"

// ID of the rule in the status. No rule of a spec can have it: its ids have no slash.
func (k Key) ID() string {
	if k.Resource == "" {
		return idPrefix + k.Metric
	}
	return idPrefix + k.Metric + "/" + k.Resource
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.API, other.API), cmp.Compare(k.Metric, other.Metric), cmp.Compare(k.Resource, other.Resource))
}

// Labels are those of series that lead to an object.
type Labels struct {
	// Namespace is the label that names its namespace, and Object the one that names it; empty where the metric is about a namespace.
	Namespace string `json:"namespace"`
	Object    string `json:"object,omitempty"`
}

// The label that prometheus-operator, and most configurations, give to the targets of a namespace; and the one of configurations that
// read the annotations of pods.
const (
	namespaceLabel      = "namespace"
	otherNamespaceLabel = "kubernetes_namespace"
)

// lookalike is true for labels that apps can give to their own series. Where targets are labeled with namespace, those of all tenants
// have it, so series without are none of a tenant's.
func (l Labels) lookalike() bool { return l.Namespace != namespaceLabel }

// resource is what metrics can describe, and the labels that lead there, the usual ones first. exported_namespace is never among them:
// an app sets it by a label namespace of its own, to any value.
type resource struct {
	schema.GroupResource
	labels []Labels
}

func named(group, plural, label string) resource {
	return resource{schema.GroupResource{Group: group, Resource: plural}, []Labels{{namespaceLabel, label}}}
}

func (r resource) or(namespace, object string) resource {
	r.labels = append(r.labels, Labels{namespace, object})
	return r
}

var (
	pods      = named("", "pods", "pod").or(otherNamespaceLabel, "kubernetes_pod_name")
	everybody = named("", "", "").or(otherNamespaceLabel, "") // Of an external metric.
	resources = map[schema.GroupKind]resource{
		{Kind: "Pod"}:       pods,
		{Kind: "Service"}:   named("", "services", "service").or(otherNamespaceLabel, "kubernetes_name"),
		{Kind: "Namespace"}: named("", "namespaces", "").or(otherNamespaceLabel, ""),
		{Group: "networking.k8s.io", Kind: "Ingress"}: named("networking.k8s.io", "ingresses", "ingress"),
		{Group: "apps", Kind: "Deployment"}:           named("apps", "deployments", "deployment"),
		{Group: "apps", Kind: "StatefulSet"}:          named("apps", "statefulsets", "statefulset"),
		{Group: "apps", Kind: "DaemonSet"}:            named("apps", "daemonsets", "daemonset"),
		{Group: "apps", Kind: "ReplicaSet"}:           named("apps", "replicasets", "replicaset"),
	}
)

// KeyOf returns which metric an HPA asks for, and false where it describes a kind of object that no rule is derived for.
func KeyOf(asked Ask) (Key, bool) {
	r, known := resourceOf(asked)
	key := Key{API: metricsapi.CustomV1Beta1.Group, Metric: asked.Name, Resource: r.String()}
	if asked.external() {
		key.API = metricsapi.External.Group
	}
	return key, known
}

func resourceOf(asked Ask) (resource, bool) {
	switch asked.Type {
	case autoscalingv2.PodsMetricSourceType:
		return pods, true
	case autoscalingv2.ExternalMetricSourceType:
		return everybody, true
	case autoscalingv2.ObjectMetricSourceType:
		found, known := resources[schema.FromAPIVersionAndKind(asked.APIVersion, asked.Kind).GroupKind()]
		return found, known
	default:
		return resource{}, false
	}
}
