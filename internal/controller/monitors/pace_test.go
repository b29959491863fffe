// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"testing"
	"time"
)

// TestPace: apps that relabeling cannot see share a write when they come one right after the other, and one that comes alone
// waits for nothing. Another namespace has a pace of its own.
func TestPace(t *testing.T) {
	w := working(t)
	w.reconcile(t)
	reconcile := func(namespace string) (writes []string, after time.Duration) {
		t.Helper()
		result, err := w.r.Reconcile(t.Context(), requestFor(namespace))
		must(t, err)
		writes, w.writes = w.writes, nil
		return writes, result.RequeueAfter
	}
	add := func(namespace, name string) {
		must(t, w.services().Add(service(namespace, name, annotated("port", "9"))))
	}

	add("shop", "a")
	if writes, after := reconcile("shop"); len(writes) != 1 || after != 0 {
		t.Errorf("the first app: wrote %q, again after %s", writes, after)
	}
	w.clock.SetTime(w.clock.Now().Add(restPeriod / 4))
	add("shop", "b")
	if writes, after := reconcile("shop"); len(writes) != 0 || after != restPeriod*3/4 {
		t.Errorf("the next app: wrote %q, again after %s", writes, after)
	}
	add("bank", "a")
	if writes, after := reconcile("bank"); len(writes) != 1 || after != 0 {
		t.Errorf("another namespace: wrote %q, again after %s", writes, after)
	}
	add("shop", "c")
	w.clock.SetTime(w.clock.Now().Add(restPeriod * 3 / 4))
	if writes, after := reconcile("shop"); len(writes) != 1 || after != 0 {
		t.Errorf("after the rest: wrote %q, again after %s", writes, after)
	}
	named := 0
	for _, monitor := range w.monitors(t) {
		for _, rule := range monitor.Spec.Endpoints[0].RelabelConfigs {
			if monitor.Namespace == "shop" && rule.Regex == "a|b|c" {
				named++
			}
		}
	}
	if named != 1 {
		t.Errorf("%d relabelings of shop's monitor name all three apps", named)
	}
}
