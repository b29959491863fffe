// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/pace"
	"github.com/metricspipeline/operator/internal/text"
)

// longestNote is how many bytes the API server takes of the note of an Event: it refuses one with more.
const longestNote = 1024

// notice is an Event about an HPA, in its own namespace, of which alone it speaks.
type notice struct {
	about              *corev1.ObjectReference
	kind, reason, note string
}

// sendEvent sends an Event.
type sendEvent func(notice)

// found is the Event about an HPA of which it was found why it fails.
func found(of autoscaler.Failure, is v1alpha1.AutoscalerFailure) notice {
	note := is.Message
	if is.Metric != "" {
		note = is.Metric + ": " + note
	}
	return notice{reference(of), corev1.EventTypeWarning, is.Reason, text.Shorten(note, longestNote)}
}

// worksAgain is the Event about an HPA that was said to fail and no longer does.
func worksAgain(of autoscaler.Failure) notice {
	return notice{reference(of), corev1.EventTypeNormal, "Works", "Worked again: every metric has had a value since then."}
}

// paced sends Events at a rate for each namespace and reason.
func paced(send sendEvent, clock clock.PassiveClock) sendEvent {
	events := pace.NewEvents(clock)
	return func(n notice) {
		if events.Allow(n.about.Namespace, n.reason) {
			send(n)
		}
	}
}
