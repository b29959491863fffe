// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/pace"
)

// TestNamespacesTakeTurns: one with 500 HPAs that fail delays no other, has a part of the status, and costs what it may.
func TestNamespacesTakeTurns(t *testing.T) {
	w := newWorld(t, pipeline())
	w.listed().pass(minute)
	for i := range 500 {
		w.fails(fmt.Sprintf("attack/web-%03d", i), "no metrics")
	}
	for _, key := range []string{"bank/web", "shop/web"} {
		w.fails(key, "no metrics")
	}
	w.pass(patience + time.Second)
	got := w.took()
	for _, key := range []string{"bank/web", "shop/web"} {
		if at := slices.Index(got, key); at < 0 || at > 2 {
			t.Errorf("%s was examined in place %d of %q", key, at, got)
		}
	}
	if len(got) > examinationsAtOnce+1 {
		t.Errorf("%d examinations at once", len(got))
	}
	w.pass(minute)
	if got := len(w.took()); got > examinations+1 {
		t.Errorf("%d examinations in a minute", got)
	}
	w.pass(minute)
	reported := w.report()
	if s := w.r.Snapshot().Status; len(s.Failing) != mostFailing || s.Total != 502 || s.Working != 0 ||
		!strings.Contains(reported, "bank/web") || !strings.Contains(reported, "shop/web") {
		t.Errorf("reported: %s", reported)
	}
	attacked := 0
	for _, said := range w.said() {
		if strings.Contains(said, " attack/") {
			attacked++
		}
	}
	if attacked > pace.MostEvents {
		t.Errorf("%d Events in one namespace", attacked)
	}
	w.pass(time.Hour)
	w.took()
	w.pass(time.Hour)
	if got := len(w.took()); got > (mostOfNamespace+2)*5 {
		t.Errorf("%d examinations in an hour in which nothing changes", got)
	}
}

// TestWhatTenantsWriteIsBounded: a message that quotes it is shortened in the status and in Events.
func TestWhatTenantsWriteIsBounded(t *testing.T) {
	w := newWorld(t, pipeline())
	finding := w.findings["shop/web"]
	finding.Reason, finding.Cause = v1alpha1.AutoscalerSeriesMissing, strings.Repeat("x", 1<<20)
	w.findings["shop/web"] = finding
	w.fails("shop/web", "no metrics")
	w.listed().pass(minute)
	w.report()
	if got := w.r.Snapshot().Status.Failing[0].Message; len(got) > longestMessage {
		t.Errorf("%d bytes in the status", len(got))
	}
	for _, said := range w.said() {
		if len(said) > 1100 {
			t.Errorf("%d bytes in an Event", len(said))
		}
	}
}

// TestAsked: what HPAs ask for is known once they are listed, and changes of it are said together, whatever their rate.
func TestAsked(t *testing.T) {
	w := newWorld(t, pipeline())
	asks := func(name string) *autoscalingv2.HorizontalPodAutoscaler {
		h := w.old("shop/web", "")
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: name}}}}
		h.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.PodsMetricSourceType}}
		return h
	}
	w.write(asks("requests"))
	if _, known := w.r.Asked(); known {
		t.Error("known before the list")
	}
	w.listed().pass(minute)
	if all, known := w.r.Asked(); !known || len(all) != 1 || all[0].Name != "requests" {
		t.Errorf("asked: %v, %v", all, known)
	}
	w.asked = 0
	for i := range 100 {
		must(t, w.store.Update(asks(fmt.Sprint("requests_", i))))
		w.pass(time.Second / 10)
	}
	if w.pass(minute); w.asked < 1 || w.asked > 6 {
		t.Errorf("said %d times in 10 s", w.asked)
	}
}
