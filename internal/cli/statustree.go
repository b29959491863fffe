// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// statusTree is the status of a pipeline as a tree. It is pure.
func statusTree(found *v1alpha1.MetricsPipeline, now time.Time) *node {
	status := found.Status
	root := &node{title: "MetricsPipeline " + found.Name}
	condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	switch {
	case condition == nil:
		root.mark, root.text = unseen, "not looked at yet"
	case !current(found):
		root.mark = unseen
		root.text = fmt.Sprintf("the operator has not looked at generation %d yet", found.Generation)
	default:
		root.mark = conditionMark(*condition)
		root.text = fmt.Sprintf("Ready is %s, %s", condition.Status, condition.Reason)
		if began := condition.LastTransitionTime.Time; began.Unix() > 0 { // The schema's default is from 1970.
			root.text += ", for " + since(began, now)
		}
		if condition.Message != "" {
			root.lines = []string{condition.Message}
		}
	}
	for _, part := range []*node{
		conditionsNode(status), apisNode(status), componentsNode(status), certificatesNode(status, now), nodesNode(status),
		prometheusNode(status), rulesNode(status), scrapeNode(status), autoscalersNode(status),
	} {
		if part != nil {
			root.children = append(root.children, part)
		}
	}
	return root
}

// since is how long ago something was, as kubectl says it.
func since(then, now time.Time) string { return duration.HumanDuration(now.Sub(then)) }

// group is a part of the tree, with the mark of the worst of what is below it.
func group(title string, children []*node) *node {
	if len(children) == 0 {
		return nil
	}
	part := &node{title: title, children: children}
	part.mark = part.worst()
	return part
}

// conditionMark says whether a condition is as it should be: Reconciling and Stalled should be False.
func conditionMark(condition metav1.Condition) mark {
	wanted := metav1.ConditionTrue
	if condition.Type == v1alpha1.ConditionReconciling || condition.Type == v1alpha1.ConditionStalled {
		wanted = metav1.ConditionFalse
	}
	switch condition.Status {
	case wanted:
		return works
	case metav1.ConditionUnknown:
		return unseen
	default:
		if condition.Type == v1alpha1.ConditionReconciling {
			return limits
		}
		return broken
	}
}

func conditionsNode(status v1alpha1.MetricsPipelineStatus) *node {
	var children []*node
	isReady := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady)
	for _, condition := range status.Conditions {
		if condition.Type == v1alpha1.ConditionReady { // It is the root.
			continue
		}
		shown := conditionMark(condition)
		if shown == broken && isReady { // Ready does without it, such as ScrapeReady where nothing can be scraped.
			shown = limits
		}
		text := condition.Reason
		if condition.Message != "" {
			text += ": " + condition.Message
		}
		children = append(children, &node{mark: shown, title: condition.Type, text: text})
	}
	return group("conditions", children)
}

func apisNode(status v1alpha1.MetricsPipelineStatus) *node {
	var children []*node
	for _, api := range status.APIServices {
		child := &node{mark: apiMark(api), title: api.Name, text: api.Reason}
		if by := cmp.Or(api.Backend, api.Owner); by != "" {
			child.text += ", " + by
		}
		if api.Message != "" && child.mark != works {
			child.text += ": " + api.Message
		}
		children = append(children, child)
	}
	return group("metrics APIs", children)
}

// apiMark: an API that nobody needs is no fault, and the conditions say which are needed.
func apiMark(api v1alpha1.APIServiceStatus) mark {
	switch api.Available {
	case metav1.ConditionTrue:
		return works
	case metav1.ConditionFalse:
		return broken
	default:
		return skipped
	}
}

func componentsNode(status v1alpha1.MetricsPipelineStatus) *node {
	var children []*node
	for _, component := range status.Components {
		child := &node{mark: works, title: component.Name,
			text: fmt.Sprintf("%d of %d pods serve", component.Ready, component.Desired)}
		if component.Version != "" {
			child.text = component.Version + ", " + child.text
		}
		if component.Ready < component.Desired || component.Message != "" {
			child.mark = broken
		}
		if component.Message != "" {
			child.text += ": " + component.Message
		}
		children = append(children, child)
	}
	return group("components", children)
}

func certificatesNode(status v1alpha1.MetricsPipelineStatus, now time.Time) *node {
	var children []*node
	for _, certificate := range status.Certificates {
		child := &node{mark: works, title: certificate.Name, text: string(certificate.Provider)}
		if expires := certificate.Expires; expires != nil {
			if left := expires.Sub(now); left > 0 {
				child.text += ", ends in " + duration.HumanDuration(left)
			} else {
				child.mark = broken
				child.text += ", ended " + duration.HumanDuration(-left) + " ago"
			}
		}
		children = append(children, child)
	}
	return group("certificates", children)
}

func nodesNode(status v1alpha1.MetricsPipelineStatus) *node {
	if status.Nodes == nil {
		return nil
	}
	part := &node{mark: works, title: "nodes", text: fmt.Sprintf("%d of %d have metrics", status.Nodes.WithMetrics, status.Nodes.Total)}
	for _, failing := range status.Nodes.Failing {
		part.mark = broken
		part.add(broken, failing.Name, string(failing.Reason)+": "+failing.Message)
	}
	return part
}

func prometheusNode(status v1alpha1.MetricsPipelineStatus) *node {
	if status.Prometheus == nil {
		return nil
	}
	part := &node{title: "prometheus", text: status.Prometheus.URL}
	if part.text == "" {
		part.text = "no queries"
	}
	part.text += ", from " + status.Prometheus.Origin
	if version := status.Prometheus.Version; version != "" {
		part.text += ", version " + version
	}
	if condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPrometheusReady); condition != nil {
		part.mark = conditionMark(*condition)
	}
	return part
}
