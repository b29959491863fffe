// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"testing"
	"time"
)

// TestDurationOr keeps to the default where there is nothing to read: a zero interval would make an operand exit or spin.
func TestDurationOr(t *testing.T) {
	for text, want := range map[Duration]time.Duration{
		"":         7 * time.Second,
		"nonsense": 7 * time.Second,
		"15":       7 * time.Second,
		"1d":       7 * time.Second,
		"15s":      15 * time.Second,
		"1m30s":    90 * time.Second,
		"1500ms":   1500 * time.Millisecond,
		"2h":       2 * time.Hour,
	} {
		if got := text.Or(7 * time.Second); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
