// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// TestRestore: each rule of the grammar is found again by what the status says of it.
func TestRestore(t *testing.T) {
	keys := []Key{{API: metricsapi.External.Group, Metric: "queue_depth"}}
	for _, of := range resources {
		keys = append(keys, Key{API: metricsapi.CustomV1Beta1.Group, Metric: "a:b_per_second", Resource: of.String()})
	}
	restored := 0
	for _, key := range keys {
		for _, labels := range labelsOf(key) {
			for _, candidate := range []Candidate{{From: "x_total", Rate: true, Labels: labels}, {From: "container_x", Labels: labels}} {
				want := Rule{Key: key, Candidate: candidate, Namespace: "shop", Autoscaler: "web"}
				window := time.Duration(0)
				if candidate.Rate {
					window = 150 * time.Second
				}
				got, average, found := Restore(v1alpha1.RuleStatus{ID: key.ID(), API: key.API, Origin: v1alpha1.RuleDerived,
					Query: want.Query(window), Autoscaler: "shop/web"})
				if diff := cmp.Diff(want, got); !found || average != window || diff != "" {
					t.Errorf("%s from %v: found %t with the window %s:\n%s", key.ID(), candidate, found, average, diff)
				}
				restored++
			}
		}
	}
	if restored < 20 {
		t.Errorf("%d rules were restored", restored)
	}
}

// TestNotRestored: what is not a derived rule, or has been edited, is none.
func TestNotRestored(t *testing.T) {
	fine := v1alpha1.RuleStatus{ID: "derived/depth/pods", API: metricsapi.CustomV1Beta1.Group, Origin: v1alpha1.RuleDerived,
		Query: "sum(depth{<<.LabelMatchers>>}) by (<<.GroupBy>>)"}
	if _, _, found := Restore(fine); !found {
		t.Fatal("the rule is not found, so the cases below prove nothing")
	}
	for name, change := range map[string]func(*v1alpha1.RuleStatus){
		"of the spec":      func(s *v1alpha1.RuleStatus) { s.Origin = v1alpha1.RuleOfSpec },
		"another id":       func(s *v1alpha1.RuleStatus) { s.ID = "depth" },
		"another resource": func(s *v1alpha1.RuleStatus) { s.ID = "derived/depth/gadgets.example.com" },
		"another query":    func(s *v1alpha1.RuleStatus) { s.Query = "avg(depth{<<.LabelMatchers>>}) by (<<.GroupBy>>)" },
		"more matchers":    func(s *v1alpha1.RuleStatus) { s.Query = `sum(depth{<<.LabelMatchers>>,a="b"}) by (<<.GroupBy>>)` },
		"no window":        func(s *v1alpha1.RuleStatus) { s.Query = "sum(rate(depth{<<.LabelMatchers>>})) by (<<.GroupBy>>)" },
	} {
		status := fine
		change(&status)
		if got, _, found := Restore(status); found {
			t.Errorf("%s: found %+v", name, got)
		}
	}
}
