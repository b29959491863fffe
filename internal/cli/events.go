// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reporter is what the operator calls itself in Events.
const reporter = "metricspipeline-operator"

// lastSaid is the newest Event of the operator about an HPA; nil where there is none or Events cannot be read.
func lastSaid(ctx context.Context, reader reader, hpa *autoscalingv2.HorizontalPodAutoscaler) *said {
	events := corev1.EventList{}
	if err := reader.List(ctx, &events, client.InNamespace(hpa.Namespace), client.Limit(page),
		client.MatchingFields{"involvedObject.kind": "HorizontalPodAutoscaler", "involvedObject.name": hpa.Name}); err != nil {
		return nil
	}
	ours := slices.DeleteFunc(events.Items, func(event corev1.Event) bool {
		return event.ReportingController != reporter && event.Source.Component != reporter
	})
	if len(ours) == 0 {
		return nil
	}
	newest := slices.MaxFunc(ours, func(a, b corev1.Event) int { return happened(a).Compare(happened(b).Time) })
	return &said{At: happened(newest).Time, Reason: newest.Reason, Message: newest.Message}
}

// happened is when an Event was last seen: each of the two APIs for Events has fields of its own.
func happened(event corev1.Event) metav1.Time {
	times := []metav1.Time{event.FirstTimestamp, event.LastTimestamp, metav1.NewTime(event.EventTime.Time)}
	if event.Series != nil {
		times = append(times, metav1.NewTime(event.Series.LastObservedTime.Time))
	}
	return slices.MaxFunc(times, func(a, b metav1.Time) int { return a.Compare(b.Time) })
}
