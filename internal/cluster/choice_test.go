// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestChoiceChanged wakes where the record of the chosen object changes, and not with the rest of the status.
func TestChoiceChanged(t *testing.T) {
	recording := func(name, url string) *v1alpha1.MetricsPipeline {
		p := &v1alpha1.MetricsPipeline{}
		p.Status.Prometheus = &v1alpha1.PrometheusStatus{URL: url}
		if name != "" {
			p.Status.Prometheus.Chosen = &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: name}
		}
		return p
	}
	none := &v1alpha1.MetricsPipeline{}
	for name, tc := range map[string]struct {
		before, after *v1alpha1.MetricsPipeline
		want          bool
	}{
		"none before and after": {none, none, false},
		"the first":             {none, recording("k8s", "http://a"), true},
		"the same":              {recording("k8s", "http://a"), recording("k8s", "http://b"), false},
		"another":               {recording("k8s", "http://a"), recording("main", "http://a"), true},
		"none any more":         {recording("k8s", "http://a"), recording("", "https://thanos"), true},
	} {
		if got := ChoiceChanged.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
