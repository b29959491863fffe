// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"errors"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/internal/diagnose"
)

func TestBudget(t *testing.T) {
	w := newWorld(func(w *world) {
		w.store = store{`http_requests_total{namespace="shop",pod="web-0"}`: {value: 1, growth: 1}}
	})
	sources := w.sources(t)
	sources.Budget = NewBudget(30, mostQuestions)
	collector := New(sources)
	collected := 0
	for range mostQuestions {
		evidence, err := collector.Collect(t.Context(), w.hpa)
		if errors.Is(err, ErrNotNow) {
			break
		}
		if err != nil || len(evidence.Metrics) != 1 {
			t.Fatal(evidence, err)
		}
		collected++
	}
	// Each puts two questions, and needs room for perMetric.
	if collected != (mostQuestions-perMetric)/2+1 {
		t.Errorf("collected %d times", collected)
	}
	// One that Prometheus need not be asked for is collected all the same.
	if _, err := collector.Collect(t.Context(), hpa(cpuMetric())); err != nil {
		t.Error(err)
	}
}

// An HPA with many metrics has its share of the questions, and no more.
func TestManyMetrics(t *testing.T) {
	metrics := make([]autoscalingv2.MetricSpec, 30)
	for i := range metrics {
		metrics[i] = podsMetric("http_requests_per_second", nil)
	}
	asked := &recorder{}
	w := newWorld(func(w *world) {
		w.hpa, w.asker = hpa(metrics...), asked
		w.change = func(s *Sources) { s.Budget = NewBudget(30, mostQuestions) }
	})
	evidence := w.collect(t)
	if len(asked.asked) != mostQuestions || len(evidence.Metrics) != 30 || evidence.Unseen[diagnose.LinkSeries] == "" {
		t.Errorf("%d questions for %d metrics; %v", len(asked.asked), len(evidence.Metrics), evidence.Unseen)
	}
}
