// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// longestNote is the most that the API server takes of an event's note, in bytes.
const longestNote = 1024

// notice is one thing that happened, in the past tense. Of two notices of one kind, reason and action the API server's
// client keeps the first and counts the other, so those three differ within a reconcile.
type notice struct {
	kind, reason, action, note string
}

// announce sends the events of a reconcile.
func (r *Reconciler) announce(pipeline *v1alpha1.MetricsPipeline, o observation, before, after v1alpha1.MetricsPipelineStatus) {
	events := append(changed(o), transitions(before, after)...)
	for _, e := range events {
		r.events.Eventf(pipeline, nil, e.kind, e.reason, e.action, "%s", shortened(e.note, longestNote))
	}
}

// changed returns the events about what the reconcile wrote.
func changed(o observation) []notice {
	var events []notice
	if len(o.issuedCertificates) > 0 {
		var issued []string
		for _, c := range o.issuedCertificates {
			issued = append(issued, fmt.Sprintf("%s (%s)", c.what, c.why))
		}
		events = append(events, notice{corev1.EventTypeNormal, "CertificateIssued", "Issue",
			"Issued the certificate in Secret " + enumerate(issued) + "."})
	}
	if len(o.created) > 0 {
		events = append(events, notice{corev1.EventTypeNormal, "ObjectsCreated", "Create", "Created " + enumerate(o.created) + "."})
	}
	if len(o.repaired) > 0 {
		events = append(events, notice{corev1.EventTypeWarning, "DriftRepaired", "Repair",
			"Repaired what somebody else had changed or deleted: " + enumerate(o.repaired) + "."})
	}
	for _, c := range o.takenOver {
		events = append(events, notice{corev1.EventTypeNormal, "APITakenOver", c.what,
			fmt.Sprintf("Took APIService %s over from %s.", c.what, c.why)})
	}
	for _, c := range o.deregistered {
		events = append(events, notice{corev1.EventTypeWarning, "APIDeregistered", c.what,
			fmt.Sprintf("Deleted APIService %s, which has been unavailable for 5 minutes (%s).", c.what, c.why)})
	}
	if len(o.pruned) > 0 {
		events = append(events, notice{corev1.EventTypeNormal, "ObjectsPruned", "Prune",
			"Deleted what is no longer wanted: " + enumerate(o.pruned) + "."})
	}
	return events
}

// enumerate names up to eight things.
func enumerate(things []string) string {
	const most = 8
	if len(things) > most {
		return strings.Join(things[:most], ", ") + fmt.Sprintf(" and %d more", len(things)-most)
	}
	return strings.Join(things, ", ")
}

// transitions returns the events about conditions and metrics APIs that changed.
func transitions(before, after v1alpha1.MetricsPipelineStatus) []notice {
	var events []notice
	for _, condition := range after.Conditions {
		if derived(condition.Type) {
			continue
		}
		old := meta.FindStatusCondition(before.Conditions, condition.Type)
		if old != nil && old.Status == condition.Status && old.Reason == condition.Reason {
			continue
		}
		if old == nil && condition.Status == metav1.ConditionTrue {
			continue // Nothing to tell of what was in order from the start.
		}
		events = append(events, notice{severity(condition, old), condition.Reason, condition.Type,
			fmt.Sprintf("%s turned %s: %s", condition.Type, condition.Status, condition.Message)})
	}
	old := map[string]v1alpha1.APIServiceStatus{}
	for _, api := range before.APIServices {
		old[api.Name] = api
	}
	for _, api := range after.APIServices {
		if was, known := old[api.Name]; !known || was.Available == api.Available || api.Available == metav1.ConditionUnknown {
			continue
		}
		kind, turned := corev1.EventTypeNormal, "available"
		if api.Available == metav1.ConditionFalse {
			kind, turned = corev1.EventTypeWarning, "unavailable"
		}
		events = append(events, notice{kind, api.Reason, api.Name,
			fmt.Sprintf("APIService %s turned %s: %s", api.Name, turned, api.Message)})
	}
	return events
}

// derived conditions say again what another one said.
func derived(condition string) bool {
	return condition == v1alpha1.ConditionReconciling || condition == v1alpha1.ConditionStalled
}

// severity is a warning for what worked before or waits for a person; what is on its way is normal.
func severity(now metav1.Condition, before *metav1.Condition) string {
	worked := before != nil && before.Status == metav1.ConditionTrue
	if now.Status == metav1.ConditionFalse && (worked || !underway[now.Reason]) {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// underway are the reasons of a condition that time will meet.
var underway = map[string]bool{
	v1alpha1.ReasonProgressing:          true,
	v1alpha1.ReasonUnavailable:          true,
	v1alpha1.ReasonProbing:              true,
	v1alpha1.ReasonWaitingForBackend:    true,
	v1alpha1.ReasonWaitingForAggregator: true,
}
