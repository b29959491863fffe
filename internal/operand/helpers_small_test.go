// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"testing"
	"time"
)

func TestImageVersion(t *testing.T) {
	for reference, want := range map[string]string{
		"registry.k8s.io/metrics-server/metrics-server:v0.9.0": "v0.9.0",
		"example.com:5000/metrics-server":                      "latest",
		"example.com:5000/metrics-server:v1":                   "v1",
		"example.com/metrics-server@sha256:abc":                "sha256:abc",
		"example.com:5000/metrics-server:v1@sha256:abc":        "v1",
		"metrics-server": "latest",
	} {
		if got := ImageVersion(reference, nil); got != want {
			t.Errorf("%s: %s, want %s", reference, got, want)
		}
	}
}

// TestSooner: of all waits the shortest counts, and none is no wait.
func TestSooner(t *testing.T) {
	var soonest time.Duration
	for _, after := range []time.Duration{time.Hour, time.Minute, 0, 2 * time.Hour} {
		soonest = Sooner(soonest, after)
	}
	if soonest != time.Minute {
		t.Errorf("waits %s, want the shortest", soonest)
	}
	if wait := Sooner(0, 0); wait != 0 {
		t.Errorf("waits %s for nothing", wait)
	}
}
