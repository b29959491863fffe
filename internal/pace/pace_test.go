// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestEvents: a namespace with very many of them gets some an hour, and others theirs.
func TestEvents(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	events := NewEvents(clock)
	allowed := func(namespace, reason string) (sum int) {
		for range 10_000 {
			if events.Allow(namespace, reason) {
				sum++
			}
		}
		return sum
	}
	for _, step := range []struct {
		namespace, reason string
		after             time.Duration
	}{{"attack", "ScrapeRejected", 0}, {"shop", "ScrapeRejected", 0}, {"attack", "NotScraped", 0}, {"attack", "ScrapeRejected", time.Hour}} {
		clock.SetTime(clock.Now().Add(step.after))
		if got := allowed(step.namespace, step.reason); got != MostEvents {
			t.Errorf("%+v: %d Events, want %d", step, got, MostEvents)
		}
	}
}

// TestEventsOfManyNamespaces: those without a recent Event are forgotten.
func TestEventsOfManyNamespaces(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	events := NewEvents(clock)
	for i := range 3 * mostPaces {
		clock.SetTime(clock.Now().Add(time.Hour / MostEvents))
		events.Allow(fmt.Sprint(i), "ScrapeRejected")
	}
	if len(events.paces) > mostPaces {
		t.Errorf("%d are remembered", len(events.paces))
	}
}

// TestReports: some are allowed at once, and the next after a time.
func TestReports(t *testing.T) {
	now, reports := time.Unix(0, 0), Reports(time.Minute)
	for range Burst {
		if wait := Wait(reports, now); wait != 0 || !reports.AllowN(now, 1) {
			t.Errorf("wait %s", wait)
		}
	}
	if wait := Wait(reports, now); wait != time.Minute || reports.AllowN(now, 1) {
		t.Errorf("after the burst: wait %s", wait)
	}
	if wait := Wait(reports, now.Add(45*time.Second)); wait != 15*time.Second {
		t.Errorf("after 45s: wait %s", wait)
	}
}
