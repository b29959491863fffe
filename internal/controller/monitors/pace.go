// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

const (
	// statusEvery is how often a change of what users of namespaces cause is reported, after a few that are reported at once: each
	// report is a write of the pipeline's status.
	statusEvery = time.Minute
	statusBurst = 6
	// mostEvents is how many Events of one reason a namespace gets in an hour.
	mostEvents = 20
	// mostPaces is how many of these are remembered before those without a recent Event are forgotten.
	mostPaces = 1000
)

// sendEvent sends a Warning to an object of a namespace.
type sendEvent func(about *corev1.ObjectReference, reason, message string)

// paced sends Events at a rate for each namespace, so that nobody fills the API server with Events about what they write. What is not
// said stands in the status, or is counted there.
func paced(send sendEvent, clock clock.PassiveClock) sendEvent {
	var mu sync.Mutex
	type key struct{ namespace, reason string }
	paces := map[key]*rate.Limiter{}
	return func(about *corev1.ObjectReference, reason, message string) {
		mu.Lock()
		defer mu.Unlock()
		now := clock.Now()
		of := key{about.Namespace, reason}
		pace := paces[of]
		if pace == nil {
			if len(paces) >= mostPaces {
				maps.DeleteFunc(paces, func(_ key, pace *rate.Limiter) bool { return pace.TokensAt(now) >= mostEvents })
			}
			pace = rate.NewLimiter(rate.Every(time.Hour/mostEvents), mostEvents)
			paces[of] = pace
		}
		if pace.AllowN(now, 1) {
			send(about, reason, message)
		}
	}
}

// newStatusPace returns the pace of reports that users of namespaces cause.
func newStatusPace() *rate.Limiter { return rate.NewLimiter(rate.Every(statusEvery), statusBurst) }

// recount has the snapshot computed soon, once for all that happens until then.
func (r *Reconciler) recount() {
	wait := r.counts
	if missing := 1 - r.reports.TokensAt(r.clock.Now()); missing > 0 {
		wait = max(wait, time.Duration(missing*float64(statusEvery)))
	}
	r.queue.AddAfter(inCommon, wait)
}
