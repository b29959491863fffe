// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestBackoff: a writer that is in conflict with another one again and again tries less and less often.
func TestBackoff(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	b := NewBackoff(100*time.Millisecond, 30*time.Second, clock)
	want := 100 * time.Millisecond
	for range 12 {
		if got := b.Conflict("default"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		clock.Step(want)
		want = min(2*want, 30*time.Second)
	}
	if got := b.Conflict("another"); got != 100*time.Millisecond {
		t.Errorf("another key waits for %s", got)
	}
	b.Success("default")
	if got := b.Conflict("default"); got != 100*time.Millisecond {
		t.Errorf("%s after a success", got)
	}
}
