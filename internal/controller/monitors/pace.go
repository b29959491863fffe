// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/internal/pace"
)

// sendEvent sends a Warning to an object of a namespace.
type sendEvent func(about *corev1.ObjectReference, reason, message string)

// paced sends Events at a rate for each namespace.
func paced(send sendEvent, clock clock.PassiveClock) sendEvent {
	events := pace.NewEvents(clock)
	return func(about *corev1.ObjectReference, reason, message string) {
		if events.Allow(about.Namespace, reason) {
			send(about, reason, message)
		}
	}
}

// recount has the snapshot computed soon, once for all that happens until then.
func (r *Reconciler) recount() {
	r.queue.AddAfter(inCommon, max(r.counts, pace.Wait(r.reports, r.clock.Now())))
}
