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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

const minute = time.Minute

// TestWorkingHPAsCostNothing: once they are listed, the statuses that the HPA controller writes of a thousand that work bring no
// reconcile, no request and no report.
func TestWorkingHPAsCostNothing(t *testing.T) {
	w := newWorld(t, pipeline())
	const many = 1000
	var all []any
	for i := range many {
		all = append(all, w.old(fmt.Sprintf("shop-%d/web-%d", i%50, i), ""))
	}
	must(t, w.store.Replace(all, "1"))
	w.pass(10 * minute)
	if got := w.report(); got != "1000 of 1000 work" {
		t.Errorf("reported: %s", got)
	}
	announced := w.announced
	for round := range 4 {
		for i := range many {
			h := w.old(fmt.Sprintf("shop-%d/web-%d", i%50, i), "")
			h.Status.DesiredReplicas = int32(round + i)
			h.Status.Conditions[0].Reason = []string{"ReadyForNewScale", "ScaleDownStabilized"}[round%2]
			must(t, w.store.Update(h))
		}
		if reconciles := w.pass(15 * time.Second); reconciles > 0 {
			t.Errorf("%d reconciles", reconciles)
		}
	}
	if w.live > 0 || len(w.examined) > 0 || w.announced > announced || len(w.events) > 0 {
		t.Errorf("%d requests, %d examinations, %d reports, Events %q", w.live, len(w.examined), w.announced-announced, w.events)
	}
}

// TestAFailureIsSaid once it lasts, within a minute: in the snapshot and by an Event in the HPA's namespace.
func TestAFailureIsSaid(t *testing.T) {
	w := newWorld(t, pipeline())
	w.works("shop/web")
	w.works("shop/api")
	w.listed().pass(minute)
	announced := w.announced
	w.fails("shop/api", "no metrics")
	w.pass(15 * time.Second)
	w.works("shop/api")
	w.pass(10 * minute)
	if len(w.took()) > 0 || len(w.said()) > 0 || w.announced > announced {
		t.Errorf("a moment: %q was examined, said %q, %d reports", w.examined, w.events, w.announced-announced)
	}

	w.because("shop/web", v1alpha1.AutoscalerSeriesMissing, false)
	w.fails("shop/web", "no metrics")
	w.pass(29 * time.Second)
	if got := w.report(); got != "2 of 2 work" || len(w.said()) > 0 {
		t.Errorf("at first: %s", got)
	}
	w.pass(31 * time.Second)
	if got := w.report(); got != "1 of 2 work; shop/web SeriesMissing" {
		t.Errorf("after a minute: %s", got)
	}
	if got := w.r.Snapshot().Status.Failing[0]; got.Metric != "Pods requests" || got.Message != "It is broken. Repair it." {
		t.Errorf("%+v", got)
	}
	expect(t, "Events", w.said(), []string{"Warning SeriesMissing shop/web: Pods requests: It is broken. Repair it."})
	expect(t, "examined", w.took(), []string{"shop/web"})
}

// TestSeriesElsewhere: how many series other namespaces have is in the status, not in the Event, and is not written again for each that
// comes and goes.
func TestSeriesElsewhere(t *testing.T) {
	w := newWorld(t, pipeline())
	elsewhere := func(count int) {
		w.findings["shop/web"] = diagnose.Finding{Reason: v1alpha1.AutoscalerSeriesNotInNamespace, Cause: "It is broken.", Remedy: "Repair it.",
			Elsewhere: count}
	}
	elsewhere(12)
	w.fails("shop/web", "no metrics")
	w.listed().pass(minute)
	expect(t, "Events", w.said(), []string{"Warning SeriesNotInNamespace shop/web: Pods requests: It is broken. Repair it."})
	announced := w.announced
	for _, step := range []struct{ counted, want int }{{13, 12}, {14, 12}, {0, 0}, {7, 7}} {
		elsewhere(step.counted)
		w.pass(20 * minute)
		if got := w.r.Snapshot().Status.Failing[0].SeriesElsewhere; int(got) != step.want {
			t.Errorf("%d were counted: reported %d, want %d", step.counted, got, step.want)
		}
	}
	if reports := w.announced - announced; reports != 2 {
		t.Errorf("%d reports, want one for none and one for 7", reports)
	}
}

// TestANewHPAHasAMinute, and one that the HPA controller does not look at five.
func TestANewHPAHasAMinute(t *testing.T) {
	w := newWorld(t, pipeline())
	w.listed().pass(minute)
	w.write(hpa("shop", "new", "no metrics", w.clock.Now()))
	awaited := hpa("shop", "awaited", "", w.clock.Now())
	awaited.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	w.write(awaited)
	w.because("shop/awaited", v1alpha1.AutoscalerNotObserved, true)
	w.pass(59 * time.Second)
	expect(t, "at first", w.took(), nil)
	w.pass(time.Second)
	expect(t, "after a minute", w.took(), []string{"shop/new"})
	w.pass(4*minute - time.Second)
	if slices.Contains(w.took(), "shop/awaited") {
		t.Error("the HPA controller was not waited for")
	}
	w.pass(time.Second)
	expect(t, "after five minutes", w.took(), []string{"shop/awaited"})
	w.pass(minute)
	if got := w.report(); got != "0 of 2 work; shop/awaited NotObserved; shop/new Unexplained" {
		t.Errorf("reported: %s", got)
	}
}

// TestANewHPAIsLookedAt: it does not fail at first, as every HPA, and has its minute once the HPA controller says that it fails.
func TestANewHPAIsLookedAt(t *testing.T) {
	w := newWorld(t, pipeline())
	w.listed().pass(minute)
	created := w.clock.Now()
	awaited := hpa("shop", "web", "", created)
	awaited.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	w.write(awaited)
	w.pass(15 * time.Second)
	w.write(hpa("shop", "web", "no metrics", created))
	w.pass(44 * time.Second)
	expect(t, "at first", w.took(), nil)
	w.pass(time.Second)
	expect(t, "after a minute", w.took(), []string{"shop/web"})
}

// TestAFindingIsRemembered until the evidence changes, and looked at again ever more rarely.
func TestAFindingIsRemembered(t *testing.T) {
	w := newWorld(t, pipeline())
	w.because("shop/web", v1alpha1.AutoscalerSeriesMissing, false)
	w.fails("shop/web", "no metrics")
	w.listed().pass(minute)
	expect(t, "at first", w.took(), []string{"shop/web"})
	w.said()
	var times []int
	for i := range 60 {
		w.fails("shop/web", "no metrics")
		if w.pass(minute); len(w.took()) > 0 {
			times = append(times, i+1)
		}
	}
	if want := []int{2, 6, 14, 30, 46}; !slices.Equal(times, want) {
		t.Errorf("examined again after minutes %d, want %d", times, want)
	}
	if got := w.said(); len(got) > 0 {
		t.Errorf("said again: %q", got)
	}

	w.because("shop/web", v1alpha1.AutoscalerScrapeDown, false)
	for i := range 10 {
		w.fails("shop/web", fmt.Sprintf("another message, %d", i))
		w.pass(10 * time.Second)
	}
	if got := w.took(); len(got) < 3 || len(got) > 4 {
		t.Errorf("%d examinations in 100 s of other evidence", len(got))
	}
	expect(t, "another reason", w.said(), []string{"Warning ScrapeDown shop/web: Pods requests: It is broken. Repair it."})

	w.pass(5 * minute)
	w.took()
	p := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	p.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{}}
	must(t, w.client.Update(t.Context(), p))
	w.Add(inCommon)
	w.pass(time.Second)
	expect(t, "another pipeline", w.took(), []string{"shop/web"})
	w.Add(inCommon)
	w.pass(minute)
	expect(t, "the same pipeline", w.took(), nil)
}

// TestWhatPasses by itself is not said until it has lasted.
func TestWhatPasses(t *testing.T) {
	w := newWorld(t, pipeline())
	w.because("shop/web", v1alpha1.AutoscalerPodsStarting, false)
	w.fails("shop/web", "no metrics")
	w.listed().pass(4 * minute)
	if got := w.said(); len(got) > 0 || w.report() != "1 of 1 work" {
		t.Errorf("said %q, reported %s", got, w.report())
	}
	w.pass(2 * minute)
	expect(t, "it lasts", w.said(), []string{"Warning PodsStarting shop/web: Pods requests: It is broken. Repair it."})
}

// TestItWorksAgain is said once it has worked for a minute; an HPA that flaps is not said to.
func TestItWorksAgain(t *testing.T) {
	w := newWorld(t, pipeline())
	w.because("shop/web", v1alpha1.AutoscalerSeriesMissing, false)
	w.fails("shop/web", "no metrics")
	w.listed().pass(minute)
	w.said()
	for range 10 {
		w.works("shop/web")
		w.pass(45 * time.Second)
		w.fails("shop/web", "no metrics")
		w.pass(45 * time.Second)
	}
	if got := w.said(); len(got) > 0 {
		t.Errorf("it flaps: said %q", got)
	}
	w.works("shop/web")
	w.pass(30 * time.Second)
	if got := w.said(); len(got) > 0 {
		t.Errorf("at first: said %q", got)
	}
	w.pass(31 * time.Second)
	expect(t, "it works", w.said(), []string{"Normal Works shop/web: Worked again: every metric has had a value since then."})
	w.pass(minute)
	if got := w.report(); got != "1 of 1 work" {
		t.Errorf("reported: %s", got)
	}
	w.fails("shop/web", "no metrics")
	w.pass(minute)
	expect(t, "it fails again", w.said(), []string{"Warning SeriesMissing shop/web: Pods requests: It is broken. Repair it."})
	gone := w.old("shop/web", "no metrics")
	must(t, w.client.Delete(t.Context(), gone))
	must(t, w.store.Delete(gone))
	w.pass(10 * minute)
	if got := w.report(); got != "0 of 0 work" || len(w.said()) > 0 || len(w.r.schedule.results) > 0 {
		t.Errorf("deleted: %s, %q, %v", got, w.events, w.r.schedule.results)
	}
}

// TestARestartChangesNothing: no Event is sent again and the status stays, also of HPAs that it has no place for; who has to act is said
// once all have been examined again.
func TestARestartChangesNothing(t *testing.T) {
	for _, many := range []int{3, 90} {
		w := newWorld(t, pipeline())
		for i := range many {
			key := fmt.Sprintf("shop-%d/web-%02d", i%7, i)
			w.because(key, v1alpha1.AutoscalerRuleRejected, i == many-1)
			w.fails(key, "no metrics")
		}
		w.works("bank/web")
		w.listed().pass(10 * minute)
		before := w.report()
		if got := len(w.took()); got < many {
			t.Fatalf("%d were examined", got)
		}
		w.said()
		if w.r.Snapshot().Administrator[v1alpha1.AutoscalerRuleRejected] != 1 {
			t.Errorf("%+v", w.r.Snapshot())
		}
		w.restart()
		w.pass(minute)
		if got := w.report(); got != "nothing" {
			t.Errorf("before the list: %s", got)
		}
		w.listed().pass(11 * time.Second)
		if got := w.report(); strings.TrimSuffix(got, "; unsure") != before || many > 30 && !strings.HasSuffix(got, "unsure") {
			t.Errorf("after the list:\n got %s\nwant %s", got, before)
		}
		w.pass(5 * minute)
		if got := w.report(); got != before || len(w.took()) < many || w.r.Snapshot().Administrator[v1alpha1.AutoscalerRuleRejected] != 1 {
			t.Errorf("later:\n got %s\nwant %s", got, before)
		}
		if got := w.said(); len(got) > 0 {
			t.Errorf("%d: said again: %q", many, got)
		}
	}
}

// TestARestartLosesNoEvent: what fails of HPAs that had not been examined before a start is said after it, and not before its time.
func TestARestartLosesNoEvent(t *testing.T) {
	w := newWorld(t, pipeline())
	w.because("shop/known", v1alpha1.AutoscalerRuleRejected, false)
	w.fails("shop/known", "no metrics")
	w.listed().pass(2 * time.Minute)
	expect(t, "before the start", w.said(), []string{"Warning RuleRejected shop/known: Pods requests: It is broken. Repair it."})
	begun := hpa("shop", "new", "", w.clock.Now())
	begun.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	w.write(begun)
	w.pass(20 * time.Second)
	if got := w.report(); got != "0 of 2 work; shop/known RuleRejected" {
		t.Errorf("before the start: %s", got)
	}

	w.restart()
	w.because("shop/new", v1alpha1.AutoscalerSeriesMissing, false)
	w.write(hpa("shop", "new", "no metrics", begun.CreationTimestamp.Time))
	w.listed().pass(patience - time.Second)
	expect(t, "it may work in a moment", w.said(), nil)
	w.pass(2 * time.Minute)
	expect(t, "after the start", w.said(), []string{"Warning SeriesMissing shop/new: Pods requests: It is broken. Repair it."})
}

// TestDigest: only what findings depend on has everything examined again.
func TestDigest(t *testing.T) {
	before := digestOf(pipeline())
	for name, tc := range map[string]struct {
		change func(*v1alpha1.MetricsPipeline)
		differ bool
	}{
		"the spec":      {func(p *v1alpha1.MetricsPipeline) { p.Spec.Prometheus.URL = "http://thanos" }, true},
		"an API":        {func(p *v1alpha1.MetricsPipeline) { p.Status.APIServices = []v1alpha1.APIServiceStatus{{Name: "a"}} }, true},
		"a rule":        {func(p *v1alpha1.MetricsPipeline) { p.Status.Rules = []v1alpha1.RuleStatus{{ID: "a"}} }, true},
		"a condition":   {func(p *v1alpha1.MetricsPipeline) { p.Status.Conditions[0].Type = v1alpha1.ConditionPrometheusReady }, true},
		"its source":    {func(p *v1alpha1.MetricsPipeline) { p.Status.Prometheus = &v1alpha1.PrometheusStatus{URL: "http://k8s"} }, true},
		"what it said":  {func(p *v1alpha1.MetricsPipeline) { p.Status.Autoscalers = &v1alpha1.AutoscalersStatus{Total: 7} }, false},
		"its apps":      {func(p *v1alpha1.MetricsPipeline) { p.Status.Scrape = &v1alpha1.ScrapeStatus{Services: 7} }, false},
		"Reconciling":   {func(p *v1alpha1.MetricsPipeline) { p.Status.Conditions[0].Status = metav1.ConditionTrue }, false},
		"its condition": {func(p *v1alpha1.MetricsPipeline) { p.Status.Conditions[0].Type = v1alpha1.ConditionAutoscalersServed }, false},
	} {
		p := pipeline()
		if tc.change(p); (digestOf(p) != before) != tc.differ {
			t.Errorf("%s: another digest: %v, want %v", name, !tc.differ, tc.differ)
		}
	}
}

// TestReference: an Event is about the HPA itself.
func TestReference(t *testing.T) {
	w := newWorld(t, pipeline())
	w.fails("shop/web", "no metrics")
	w.listed()
	want := corev1.ObjectReference{APIVersion: "autoscaling/v2", Kind: kind, Namespace: "shop", Name: "web", UID: "shopweb"}
	if got := reference(w.r.index.Failing(1, 1)["shop"][0]); *got != want {
		t.Errorf("%+v", got)
	}
}
