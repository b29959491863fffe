// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package diagnose explains why a HorizontalPodAutoscaler has no number. Between an HPA and its number stand the links of a chain;
// Examine turns what was observed of them, the evidence, into a verdict for each, and names the first broken one, its cause and its
// remedy. It is pure: it reads nothing, so the operator and the command line say the same of the same evidence.
package diagnose

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// LinkName is the name of a link of the chain.
type LinkName string

// The links, in the order in which they are examined: from the HPA to the app that gives the number.
const (
	// LinkAutoscaler is the HPA itself, and what else moves its target: a ScaledObject, a VPA, another HPA.
	LinkAutoscaler LinkName = "Autoscaler"
	// LinkTarget is the object of scaleTargetRef and its scale.
	LinkTarget LinkName = "Target"
	// LinkPods are the pods that the target's selector selects, and the requests of their containers.
	LinkPods LinkName = "Pods"
	// LinkAPI is the metrics API that the metric is read from.
	LinkAPI LinkName = "API"
	// LinkRule is what the backend of that API makes the metric of.
	LinkRule LinkName = "Rule"
	// LinkSeries are the series of that rule in Prometheus.
	LinkSeries LinkName = "Series"
	// LinkScrape is the target of Prometheus that gives the series.
	LinkScrape LinkName = "Scrape"
	// LinkMonitor is the monitor that makes that target.
	LinkMonitor LinkName = "Monitor"
	// LinkApp is the app that is annotated, or not.
	LinkApp LinkName = "App"
	// LinkValue is the number itself.
	LinkValue LinkName = "Value"
)

// Verdict is what is known of a link.
type Verdict string

const (
	// Works is the verdict of a link that was seen to work.
	Works Verdict = "Works"
	// Broken is the verdict of the link that a finding is about.
	Broken Verdict = "Broken"
	// Limits is the verdict of a link that works and limits what the HPA does, such as maxReplicas.
	Limits Verdict = "Limits"
	// Unseen is the verdict of a link whose evidence could not be read.
	Unseen Verdict = "Unseen"
	// NoData is the verdict of a link that works itself and gets nothing from the links behind it, one of which is broken.
	NoData Verdict = "NoData"
	// NotReached is the verdict of a link behind a broken one, or one that the metric does not need.
	NotReached Verdict = "NotReached"
)

// Link is one link of the chain of one metric.
type Link struct {
	Name    LinkName `json:"name"`
	Verdict Verdict  `json:"verdict"`
	// Seen is what was observed, in one sentence that names objects and values; for Unseen why it could not be.
	Seen string `json:"seen,omitempty"`
	// Queries are the PromQL that was sent for it.
	Queries []string `json:"queries,omitempty"`
}

// Finding is the first broken link of a chain.
type Finding struct {
	// Reason is one of the constants v1alpha1.Autoscaler*; each has a section in the documentation.
	Reason string `json:"reason"`
	// Cause names what is wrong, and Remedy what to do, in one sentence each, with the names of objects and values.
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	// Administrator is true for a cause that an administrator of the cluster removes, not who owns the HPA's namespace.
	Administrator bool `json:"administrator,omitempty"`
	// Elsewhere counts the series of the metric's rule in other namespaces, where it has none in the HPA's own. It is for the status of
	// the pipeline: what is said of an HPA is about its own namespace.
	Elsewhere int `json:"-"`
}

// Message is the finding as a status or an Event has it.
func (f Finding) Message() string { return f.Cause + " " + f.Remedy }

// Chain is what was found of one metric of an HPA.
type Chain struct {
	// Metric is the metric in words, such as "Resource cpu", "Pods http_requests_per_second" or "External queue_length".
	Metric string `json:"metric"`
	Links  []Link `json:"links"`
	// Finding is the first broken link; nil where none was found to be broken. An HPA that fails and of which no link was seen to be
	// broken has one all the same, with the reason Unexplained and no link that is Broken.
	Finding *Finding `json:"finding,omitempty"`
	// Limits are what limits or endangers an HPA that has a number, such as AtMaximum; their links have the verdict Limits.
	Limits []Finding `json:"limits,omitempty"`
}

// Diagnosis is what was found of one HPA.
type Diagnosis struct {
	// Failing is true where the HPA does not work (Failing).
	Failing bool `json:"failing"`
	// Chains are those of the metrics of its spec, in their order. What is wrong with the HPA, its target or its pods is found in the
	// first chain that it concerns, and repeated in none.
	Chains []Chain `json:"chains"`
}

// Complete is false where a link that matters could not be seen: one before the broken one, or one whose cause lies behind it.
func (d Diagnosis) Complete() bool {
	for _, chain := range d.Chains {
		if slices.ContainsFunc(chain.Links, func(link Link) bool { return link.Verdict == Unseen }) {
			return false
		}
	}
	return true
}

// MetricName returns a metric of a spec in words, as Chain.Metric has it.
func MetricName(metric autoscalingv2.MetricSpec) string {
	switch {
	case metric.Resource != nil:
		return "Resource " + string(metric.Resource.Name)
	case metric.ContainerResource != nil:
		return "ContainerResource " + string(metric.ContainerResource.Name) + " of " + metric.ContainerResource.Container
	case metric.Pods != nil:
		return "Pods " + metric.Pods.Metric.Name
	case metric.Object != nil:
		object := metric.Object.DescribedObject
		return "Object " + metric.Object.Metric.Name + " of " + object.Kind + " " + object.Name
	case metric.External != nil:
		return "External " + metric.External.Metric.Name
	default:
		return string(metric.Type)
	}
}
