// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
)

// TestProblems: what cannot be read or examined is named, and ends.
func TestProblems(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "autoscaling", Resource: "horizontalpodautoscalers"}, "web", nil)
	t.Run("it may not list them", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.unreadable = &cluster.UnreadableError{Kind: autoscalingv2.SchemeGroupVersion.WithKind(kind), Err: forbidden}
		w.pass(minute)
		if got := w.report(); !strings.Contains(got, "horizontalpodautoscalers.autoscaling") || w.announced != 1 {
			t.Errorf("%s, %d reports", got, w.announced)
		}
		w.unreadable = nil
		w.works("shop/web")
		w.listed().pass(minute)
		if got := w.report(); got != "1 of 1 work" {
			t.Errorf("allowed: %s", got)
		}
	})
	t.Run("the first list is on its way", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.unreadable = &cluster.UnreadableError{Pending: true}
		w.pass(minute)
		if got := w.report(); got != "nothing" {
			t.Errorf("%s", got)
		}
	})
	t.Run("it may not get one", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.fails("shop/web", "no metrics")
		w.refused = forbidden
		w.listed().pass(minute)
		if got := w.report(); !strings.Contains(got, `0 of 1 work; read HorizontalPodAutoscaler shop/web: horizontalpodautoscalers.autoscaling "web" is forbidden`) {
			t.Errorf("%s", got)
		}
		w.refused = nil
		w.pass(minute)
		if got := w.report(); got != "0 of 1 work; shop/web Unexplained" {
			t.Errorf("allowed: %s", got)
		}
	})
	t.Run("an examination fails", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.fails("shop/web", "no metrics")
		w.err = apierrors.NewTimeoutError("too slow", 1)
		w.listed().pass(patience + 11*time.Second)
		if got := w.report(); got != "0 of 1 work" {
			t.Errorf("once: %s", got)
		}
		w.pass(2 * minute)
		if got := w.report(); !strings.Contains(got, "too slow") {
			t.Errorf("each time: %s", got)
		}
	})
	t.Run("an examination panics", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.fails("shop/web", "no metrics")
		w.panics = true
		w.listed().pass(minute)
		if got := w.report(); got != "0 of 1 work; shop/web Unexplained" || len(w.said()) != 1 {
			t.Errorf("%s", got)
		}
	})
	t.Run("the questions are used up", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.err = collect.ErrNotNow
		asks := w.old("shop/web", "no metrics")
		asks.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "requests"}}}}
		w.write(asks)
		w.listed().pass(patience + 41*time.Second)
		if got, want := len(w.took()), 1+int(41*time.Second/exhausted); got < want-2 || got > want+2 {
			t.Errorf("%d attempts in 41 s, want about %d", got, want)
		}
		w.err = nil
		w.pass(20 * time.Second)
		if got := w.report(); got != "0 of 1 work; shop/web Unexplained" {
			t.Errorf("%s", got)
		}
	})
	t.Run("something may not be read", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.fails("shop/web", "no metrics")
		w.partly = forbidden
		w.listed().pass(minute)
		if got := w.report(); !strings.Contains(got, "0 of 1 work; shop/web Unexplained; horizontalpodautoscalers") {
			t.Errorf("%s", got)
		}
	})
	t.Run("a question has to wait", func(t *testing.T) {
		w := newWorld(t, pipeline())
		w.fails("shop/web", "no metrics")
		w.again = 45 * time.Second
		w.listed().pass(patience + minute)
		if got := len(w.took()); got != 2 || w.report() != "0 of 1 work" {
			t.Errorf("%d examinations, %s", got, w.report())
		}
		w.again = 0
		w.pass(minute)
		if got := w.report(); got != "0 of 1 work; shop/web Unexplained" {
			t.Errorf("%s", got)
		}
	})
}

// TestOneThatWorksByNow is not said to fail: what is cached may be older.
func TestOneThatWorksByNow(t *testing.T) {
	w := newWorld(t, pipeline())
	w.works("shop/web")
	must(t, w.store.Add(w.old("shop/web", "no metrics")))
	must(t, w.store.Replace([]any{w.old("shop/web", "no metrics")}, "1"))
	w.pass(minute)
	if got := w.report(); w.live > 2 || len(w.took()) > 0 || len(w.said()) > 0 {
		t.Errorf("%d reads, %s", w.live, got)
	}
}

// TestANewPipeline has time to come up before it is said what fails without it.
func TestANewPipeline(t *testing.T) {
	p := pipeline()
	p.CreationTimestamp, p.Status = metav1.NewTime(moment), v1alpha1.MetricsPipelineStatus{}
	w := newWorld(t, p)
	w.fails("shop/web", "no metrics")
	w.listed().pass(settling*patience - time.Second)
	if got := w.report(); got != "1 of 1 work" || len(w.took()) > 0 {
		t.Errorf("at first: %s", got)
	}
	w.pass(minute)
	if got := w.report(); got != "0 of 1 work; shop/web Unexplained" {
		t.Errorf("later: %s", got)
	}
}

// TestWithoutAPipeline nothing is known, and what was said of it is of no use to the next one.
func TestWithoutAPipeline(t *testing.T) {
	w := newWorld(t, pipeline())
	w.fails("shop/web", "no metrics")
	w.listed().pass(minute)
	must(t, w.client.Delete(t.Context(), pipeline()))
	announced := w.announced
	w.Add(inCommon)
	w.pass(time.Hour)
	if w.r.Snapshot() != nil || w.announced != announced+1 || w.r.index.Listed() {
		t.Errorf("%+v, %d reports", w.r.Snapshot(), w.announced-announced)
	}
	w.took()
	w.said()
	anew := pipeline()
	anew.UID = "anew"
	must(t, w.client.Create(t.Context(), anew))
	w.Add(inCommon)
	w.pass(time.Second)
	w.listed().pass(minute)
	if got := w.report(); got != "0 of 1 work; shop/web Unexplained" || len(w.said()) != 1 || w.r.Snapshot().Of != "anew" {
		t.Errorf("anew: %s", got)
	}
}
