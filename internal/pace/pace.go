// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pace bounds how often the operator writes because of what users of namespaces do.
package pace

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// Burst is how often in a row what users of namespaces cause is reported at once.
	Burst = 6
	// MostEvents is how many Events of one reason a namespace gets in an hour.
	MostEvents = 20
	// mostPaces is how many of these are remembered before those without a recent Event are forgotten.
	mostPaces = 1000
)

// Reports returns the pace of reports that users of namespaces cause: each is a write of the status.
func Reports(every time.Duration) *rate.Limiter { return rate.NewLimiter(rate.Every(every), Burst) }

// Wait returns after how long a pace allows the next; 0 for now.
func Wait(of *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - of.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(of.Limit()) * float64(time.Second))
}

// Events is the pace of Events for each namespace and reason, so that nobody fills the API server with Events about what they write.
// What is not said stands in the status, or is counted there.
type Events struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	paces map[about]*rate.Limiter
}

type about struct{ namespace, reason string }

// NewEvents returns it.
func NewEvents(clock clock.PassiveClock) *Events {
	return &Events{clock: clock, paces: map[about]*rate.Limiter{}}
}

// Allow is true where an Event of a reason may be sent to an object of a namespace now, which it then counts.
func (e *Events) Allow(namespace, reason string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, of := e.clock.Now(), about{namespace, reason}
	pace := e.paces[of]
	if pace == nil {
		if len(e.paces) >= mostPaces {
			maps.DeleteFunc(e.paces, func(_ about, pace *rate.Limiter) bool { return pace.TokensAt(now) >= MostEvents })
		}
		pace = rate.NewLimiter(rate.Every(time.Hour/MostEvents), MostEvents)
		e.paces[of] = pace
	}
	return pace.AllowN(now, 1)
}
