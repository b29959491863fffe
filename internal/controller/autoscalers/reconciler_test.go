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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/pace"
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
	if len(got) > 31 {
		t.Errorf("%d examinations at once", len(got))
	}
	w.pass(minute)
	if got := len(w.took()); got > 61 {
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
		if got := len(w.took()); got < 8 || got > 12 {
			t.Errorf("%d attempts in 41 s", got)
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
