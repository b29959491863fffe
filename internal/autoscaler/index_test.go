// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
)

// watched is an index with what it called.
type watched struct {
	*Index
	store cache.TransformingStore
	clock *clocktesting.FakeClock
	calls []string
}

func newWatched() *watched {
	w := &watched{clock: clocktesting.NewFakeClock(time.Unix(1_000_000, 0))}
	note := func(call string) func() { return func() { w.calls = append(w.calls, call) } }
	w.Index = NewIndex(Events{Failing: note("failing"), Counted: note("counted"), Asked: note("asked"), Listed: note("listed")}, w.clock)
	w.store = w.Open()
	return w
}

// expect compares the calls since the last time, each once.
func (w *watched) expect(t *testing.T, step string, want ...string) {
	t.Helper()
	got := w.calls
	w.calls = nil
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%s: called %q, want %q", step, got, want)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func podsMetric(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)}}}
}

func objectMetric(name, kind, object string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: kind, Name: object},
		Metric:          autoscalingv2.MetricIdentifier{Name: name}}}
}

func externalMetric(name string, labels map[string]string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name, Selector: &metav1.LabelSelector{MatchLabels: labels}}}}
}

// hpa is one that the HPA controller has looked at, and that works.
func hpa(namespace, name string, metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	h := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name),
			CreationTimestamp: metav1.Unix(500_000, 0)},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 10, Metrics: metrics,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
			{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "ReadyForNewScale"},
			{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue, Reason: "ValidMetricFound"},
			{Type: autoscalingv2.ScalingLimited, Status: corev1.ConditionFalse, Reason: "DesiredWithinRange"}}}}
	for _, metric := range metrics {
		h.Status.CurrentMetrics = append(h.Status.CurrentMetrics, autoscalingv2.MetricStatus{Type: metric.Type})
	}
	return h
}

// broken lets an HPA fail.
func broken(h *autoscalingv2.HorizontalPodAutoscaler, message string) *autoscalingv2.HorizontalPodAutoscaler {
	h.Status.Conditions[1] = autoscalingv2.HorizontalPodAutoscalerCondition{Type: autoscalingv2.ScalingActive,
		Status: corev1.ConditionFalse, Reason: "FailedGetPodsMetric", Message: message}
	h.Status.CurrentMetrics = nil
	return h
}

// failing returns the keys of those that fail.
func (w *watched) failing(most int) []string {
	var all []string
	for _, failures := range w.Failing(most, 1000) {
		for _, failure := range failures {
			all = append(all, failure.Key())
		}
	}
	slices.Sort(all)
	return all
}

// TestEvents: an HPA's status that says nothing new calls nobody, and what fails is called once for each piece of evidence.
func TestEvents(t *testing.T) {
	w := newWatched()
	web := func() *autoscalingv2.HorizontalPodAutoscaler { return hpa("shop", "web", podsMetric("requests")) }
	fresh := web()
	fresh.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	scaled := web()
	scaled.Status.DesiredReplicas, scaled.ResourceVersion = 7, "12"
	scaled.Status.Conditions[0].Reason, scaled.Status.Conditions[0].Message = "SucceededRescale", "the HPA controller was able to update"
	scaled.Status.Conditions[2].Status = corev1.ConditionTrue
	other := web()
	other.Spec.ScaleTargetRef.Name = "worker"
	partly := hpa("shop", "web", podsMetric("requests"), podsMetric("errors"))
	partly.Status.CurrentMetrics[1] = autoscalingv2.MetricStatus{}
	otherwise := partly.DeepCopy()
	otherwise.Status.Conditions[0].Reason, otherwise.Status.Conditions[2].Status = "ScaleDownStabilized", corev1.ConditionTrue
	otherwise.Status.Conditions[2].Message = "the desired replica count is more than the maximum replica count"
	off := broken(web(), "scaling is disabled since the replica count of the target is zero")
	off.Status.Conditions[1].Reason = "ScalingDisabled"
	for _, step := range []struct {
		name    string
		object  *autoscalingv2.HorizontalPodAutoscaler
		calls   []string
		counts  Counts
		failing []string
	}{
		{"new", fresh, []string{"asked", "counted", "failing"}, Counts{Total: 1}, []string{"shop/web"}},
		{"looked at", web(), []string{"counted", "failing"}, Counts{Total: 1, Working: 1}, nil},
		{"the same again", web(), nil, Counts{Total: 1, Working: 1}, nil},
		{"scaled, and limited", scaled, nil, Counts{Total: 1, Working: 1}, nil},
		{"failing", broken(web(), "no metrics"), []string{"counted", "failing"}, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"failing on", broken(web(), "no metrics"), nil, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"failing otherwise", broken(web(), "forbidden"), []string{"failing"}, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"another target", broken(other, "forbidden"), []string{"asked", "failing"}, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"repaired", web(), []string{"asked", "counted", "failing"}, Counts{Total: 1, Working: 1}, nil},
		{"one bad metric of two", partly, []string{"asked", "counted", "failing"}, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"the same, and limited", otherwise, nil, Counts{Total: 1, Failing: 1}, []string{"shop/web"}},
		{"no replicas", off, []string{"asked", "counted", "failing"}, Counts{Total: 1, Working: 1}, nil},
	} {
		must(t, w.store.Update(step.object))
		w.expect(t, step.name, step.calls...)
		if w.Counts() != step.counts || !slices.Equal(w.failing(10), step.failing) {
			t.Errorf("%s: %+v, failing %q", step.name, w.Counts(), w.failing(10))
		}
	}
	must(t, w.store.Delete(web()))
	w.expect(t, "deleted", "asked", "counted")
	if w.Counts() != (Counts{}) || len(w.namespaces) != 0 {
		t.Errorf("deleted: %+v, %v", w.Counts(), w.namespaces)
	}
}

// TestSince: an HPA fails since it was first seen to fail, whatever its message says, and one of the same name made anew begins anew.
func TestSince(t *testing.T) {
	w := newWatched()
	began := w.clock.Now()
	must(t, w.store.Add(broken(hpa("shop", "web"), "no metrics")))
	w.clock.Step(time.Minute)
	must(t, w.store.Update(broken(hpa("shop", "web"), "forbidden")))
	if got := w.Failing(1, 1000)["shop"][0]; !got.Since.Equal(began) || !got.Created.Equal(time.Unix(500_000, 0)) {
		t.Errorf("%+v", got)
	}
	anew := broken(hpa("shop", "web"), "forbidden")
	anew.UID = "another"
	must(t, w.store.Update(anew))
	if got := w.Failing(1, 1000)["shop"][0]; !got.Since.Equal(w.clock.Now()) || got.UID != "another" {
		t.Errorf("made anew: %+v", got)
	}
}

// TestFailingIsBounded: of a namespace those that have failed longest are given.
func TestFailingIsBounded(t *testing.T) {
	w := newWatched()
	for _, name := range []string{"c", "b", "a"} {
		must(t, w.store.Add(broken(hpa("shop", name), "no metrics")))
		w.clock.Step(time.Second)
	}
	must(t, w.store.Add(broken(hpa("bank", "a"), "no metrics")))
	if got, want := w.failing(2), []string{"bank/a", "shop/b", "shop/c"}; !slices.Equal(got, want) {
		t.Errorf("failing %q, want %q", got, want)
	}
	if got := w.Failing(10, 3); len(got["shop"]) != 1 || len(got["bank"]) != 1 {
		t.Errorf("a share of 3: %v", got)
	}
}

// TestReplace finds what happened while the watch was interrupted, and a closed store changes nothing.
func TestReplace(t *testing.T) {
	w := newWatched()
	must(t, w.store.Add(hpa("shop", "web", podsMetric("requests"))))
	if w.Listed() {
		t.Error("listed before a list")
	}
	w.expect(t, "added", "asked", "counted")
	list := []any{broken(hpa("shop", "worker"), "no metrics"), hpa("bank", "web")}
	must(t, w.store.Replace(list, "7"))
	w.expect(t, "replaced", "asked", "counted", "failing", "listed")
	if got := w.Counts(); got != (Counts{Total: 2, Working: 1, Failing: 1}) || !w.Listed() || w.State("bank", "web") != Working ||
		w.State("shop", "worker") != Fails || w.State("shop", "web") != Gone {
		t.Errorf("replaced: %+v", got)
	}
	must(t, w.store.Replace(list, "8"))
	w.expect(t, "the same list")
	must(t, w.store.Resync())
	old := w.store
	w.store = w.Open()
	w.expect(t, "opened anew", "counted", "failing")
	must(t, old.Add(hpa("shop", "late")))
	must(t, old.Replace(list, "9"))
	w.expect(t, "late")
	if w.Counts() != (Counts{}) || w.Listed() {
		t.Errorf("late: %+v", w.Counts())
	}
	if w.store.Add(&corev1.Pod{}) == nil {
		t.Error("a Pod was taken")
	}
}

// TestAsked: what HPAs ask custom and external metrics APIs for, with who does.
func TestAsked(t *testing.T) {
	w := newWatched()
	cpu := autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu"}}
	must(t, w.store.Add(hpa("shop", "web", cpu, podsMetric("requests"), externalMetric("queue", map[string]string{"b": "2", "a": "1"}))))
	must(t, w.store.Add(broken(hpa("shop", "api", podsMetric("requests"), objectMetric("load", "Service", "api")), "no metrics")))
	must(t, w.store.Add(hpa("bank", "web", podsMetric("requests"))))
	must(t, w.store.Add(hpa("farm", "gone", podsMetric("requests"))))
	must(t, w.store.Delete(hpa("farm", "gone")))
	target := func(name string) autoscalingv2.CrossVersionObjectReference {
		return autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	}
	want := []Asked{
		{Metric{Namespace: "bank", Type: "Pods", Name: "requests"}, []Asker{{Name: "web", Target: target("web")}}, 1},
		{Metric{Namespace: "shop", Type: "External", Name: "queue", Selector: "a=1,b=2"}, []Asker{{Name: "web", Target: target("web")}}, 1},
		{Metric{Namespace: "shop", Type: "Object", Name: "load", APIVersion: "v1", Kind: "Service"},
			[]Asker{{Name: "api", Target: target("api"), Object: "api", Failing: true}}, 1},
		{Metric{Namespace: "shop", Type: "Pods", Name: "requests"},
			[]Asker{{Name: "api", Target: target("api"), Failing: true}, {Name: "web", Target: target("web")}}, 2},
	}
	if diff := cmp.Diff(want, w.Asked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for i := range 2 * MostAskers {
		must(t, w.store.Add(hpa("bank", fmt.Sprintf("web-%02d", i), podsMetric("requests"))))
	}
	if got := w.Asked()[0]; len(got.HPAs) != MostAskers || got.Total != 2*MostAskers+1 {
		t.Errorf("%d of %d are named", len(got.HPAs), got.Total)
	}
}

// TestWhatATenantWritesIsBounded: long names, selectors and lists of metrics are not kept, and a free place is taken by the next event.
func TestWhatATenantWritesIsBounded(t *testing.T) {
	w := newWatched()
	long := strings.Repeat("x", 1<<20)
	huge := hpa("shop", "huge", podsMetric(long), externalMetric("queue", map[string]string{"a": long}), objectMetric("load", long, long),
		externalMetric("invalid", map[string]string{"-": "-"}))
	huge.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: long, Kind: long, Name: long}
	for i := range 2 * mostMetrics {
		huge.Spec.Metrics = append(huge.Spec.Metrics, podsMetric(fmt.Sprintf("metric_%d", i)))
	}
	must(t, w.store.Add(huge))
	asked := w.Asked()
	if len(asked) != mostMetrics {
		t.Errorf("%d metrics are kept", len(asked))
	}
	for _, metric := range asked {
		by := metric.HPAs[0]
		for _, text := range []string{metric.Name, metric.Selector, metric.Kind, by.Object, by.Target.Name, by.Target.Kind, by.Target.APIVersion} {
			if len(text) > longestSelector {
				t.Errorf("%d bytes are kept", len(text))
			}
		}
	}
	for i := range mostMetricsOfNamespace {
		must(t, w.store.Add(hpa("shop", fmt.Sprintf("web-%03d", i), podsMetric(fmt.Sprintf("requests_%03d", i)))))
	}
	if got := len(w.Asked()); got != mostMetricsOfNamespace {
		t.Errorf("%d metrics of the namespace are kept", got)
	}
	last := hpa("shop", "web-099", podsMetric("requests_099"))
	kept := func() bool {
		return slices.ContainsFunc(w.Asked(), func(a Asked) bool { return a.Name == "requests_099" })
	}
	if kept() {
		t.Error("the last one has a place")
	}
	must(t, w.store.Delete(huge))
	must(t, w.store.Update(last))
	if !kept() {
		t.Error("the free place is not taken")
	}
}
