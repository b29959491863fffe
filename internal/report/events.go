// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
)

const (
	// longestNote is the most that the API server takes of an event's note, in bytes.
	longestNote = 1024
	// mostNamed is how many objects an event names.
	mostNamed = 8
)

// Event is one thing that happened, in the past tense. Of two with one type, reason and action the API server's client keeps
// the first and counts the other, so those three differ within a reconcile.
type Event struct {
	Type, Reason, Action, Note string
}

func event(kind, reason, action, format string, args ...any) Event {
	return Event{kind, reason, action, text.Shorten(fmt.Sprintf(format, args...), longestNote)}
}

// Changes returns the events about what a reconcile wrote.
func Changes(o Observation) []Event {
	var issued, created, repaired []string
	var events []Event
	for _, authority := range o.Authorities {
		if authority.Issued != "" {
			issued = append(issued, fmt.Sprintf("%s (%s)", authority.Name, authority.Issued))
		}
	}
	for _, outcome := range o.Outcomes {
		if certificate := outcome.Certificate; certificate.Issued != "" {
			issued = append(issued, fmt.Sprintf("%s (%s)", certificate.InUse.Name, certificate.Issued))
		}
		created, repaired = append(created, outcome.Created...), append(repaired, outcome.Repaired...)
	}
	add := func(kind, reason, action, note string, things []string) {
		if len(things) > 0 {
			events = append(events, event(kind, reason, action, "%s%s.", note, text.Enumerate(things, mostNamed)))
		}
	}
	add(corev1.EventTypeNormal, "CertificateIssued", "Issue", "Issued the certificate in Secret ", issued)
	add(corev1.EventTypeNormal, "ObjectsCreated", "Create", "Created ", created)
	add(corev1.EventTypeWarning, "DriftRepaired", "Repair", "Repaired what another writer had changed or deleted: ", repaired)
	for _, outcome := range o.Outcomes {
		for _, api := range outcome.APIs {
			if api.TakenOverFrom != "" {
				events = append(events, event(corev1.EventTypeNormal, "APITakenOver", api.API.Name(),
					"Took APIService %s over from %s.", api.API.Name(), api.TakenOverFrom))
			}
		}
	}
	for _, c := range o.Deregistered {
		events = append(events, event(corev1.EventTypeWarning, "APIDeregistered", c.APIService,
			"Deleted APIService %s, which has been unavailable for 5 minutes (%s).", c.APIService, c.Why))
	}
	add(corev1.EventTypeNormal, "ObjectsPruned", "Prune", "Deleted what is no longer wanted: ", o.Pruned)
	return events
}

// Transitions returns the events about conditions, metrics APIs and rules that changed.
func Transitions(before, after v1alpha1.MetricsPipelineStatus) []Event {
	var events []Event
	for _, condition := range after.Conditions {
		if derived(condition.Type) {
			continue
		}
		old := meta.FindStatusCondition(before.Conditions, condition.Type)
		if old != nil && old.Reason == v1alpha1.ReasonPending {
			old = nil // The default of the schema.
		}
		if condition.Type == v1alpha1.ConditionAutoscalersServed { // Unknown for the moment until the HPAs have been listed.
			if condition.Status == metav1.ConditionUnknown {
				continue
			}
			if old != nil && old.Status == metav1.ConditionUnknown {
				old = nil
			}
		}
		if old != nil && old.Status == condition.Status && old.Reason == condition.Reason {
			continue
		}
		if old == nil && condition.Status == metav1.ConditionTrue {
			continue // What was in order from the start is no change.
		}
		events = append(events, event(severity(condition, old), condition.Reason, condition.Type,
			"%s turned %s: %s", condition.Type, condition.Status, condition.Message))
	}
	if e, found := ruleEvent(before, after); found {
		events = append(events, e)
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
		events = append(events, event(kind, api.Reason, api.Name, "APIService %s turned %s: %s", api.Name, turned, api.Message))
	}
	return events
}

// derived conditions repeat another one.
func derived(condition string) bool {
	return condition == v1alpha1.ConditionReconciling || condition == v1alpha1.ConditionStalled
}

// severity is a warning for what worked before or waits for a person to act; progress is normal.
func severity(now metav1.Condition, before *metav1.Condition) string {
	worked := before != nil && before.Status == metav1.ConditionTrue
	if now.Status == metav1.ConditionFalse && (worked || !underway[now.Reason]) {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// underway are the reasons of a condition that is in progress.
var underway = map[string]bool{
	v1alpha1.ReasonProgressing:          true,
	v1alpha1.ReasonUnavailable:          true,
	v1alpha1.ReasonProbing:              true,
	v1alpha1.ReasonIssuing:              true,
	v1alpha1.ReasonWaitingForBackend:    true,
	v1alpha1.ReasonWaitingForAggregator: true,
}
