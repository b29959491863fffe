// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
)

// usual are the criteria of a pipeline with the default spec.
var usual = Rules{Prefix: "prometheus.io", Services: true, Pods: true}

// watched is an index whose calls are written down.
type watched struct {
	*Index
	store map[Kind]*Store
	// affected are the namespaces whose monitors may have to change, rejected the apps with a new rejection, first whether they
	// are of a first list, and listed the kinds that have been seen whole.
	affected, rejected []string
	first              []bool
	listed             []Kind
	counted            int
	// nearMisses are the apps that got an Event about one.
	nearMisses []string
}

func newWatched(r Rules) *watched {
	w := &watched{store: map[Kind]*Store{}}
	w.Index = New(Events{
		Affected: func(namespace string) { w.affected = append(w.affected, namespace) },
		Rejected: func(a *App, rejection *scrape.Rejection, first bool) {
			w.rejected, w.first = append(w.rejected, fmt.Sprintf("%s %s: %s", a.kind, a.Key(), rejection.Reason)), append(w.first, first)
		},
		NearMiss: func(a *App, reason string, _ bool) { w.nearMisses = append(w.nearMisses, a.Key()+": "+reason) },
		Counted:  func() { w.counted++ },
		Listed:   func(kind Kind) { w.listed = append(w.listed, kind) },
	})
	for _, kind := range append([]Kind{Service, Pod, HostPod}, Workloads()...) {
		w.store[kind] = w.Open(kind, r.Prefix)
	}
	w.JudgeBy(r)
	return w
}

// status counts the apps of every namespace.
func (w *watched) status() v1alpha1.ScrapeStatus {
	return w.Status(func(string) Namespace { return Namespace{Scraped: true} })
}

func (w *watched) services() *Store { return w.store[Service] }
func (w *watched) pods() *Store     { return w.store[Pod] }
func (w *watched) hostPods() *Store { return w.store[HostPod] }

// calls returns what was called since the last time.
func (w *watched) calls() (affected, rejected []string) {
	affected, rejected = w.affected, w.rejected
	w.affected, w.rejected, w.counted = nil, nil, 0
	slices.Sort(affected)
	slices.Sort(rejected)
	return slices.Compact(affected), rejected
}

func (w *watched) expect(t *testing.T, step string, affected, rejected []string) {
	t.Helper()
	gotAffected, gotRejected := w.calls()
	if diff := cmp.Diff(affected, gotAffected); diff != "" {
		t.Errorf("%s: affected (-want +got):\n%s", step, diff)
	}
	if diff := cmp.Diff(rejected, gotRejected); diff != "" {
		t.Errorf("%s: rejected (-want +got):\n%s", step, diff)
	}
}

func (w *watched) expectCounts(t *testing.T, step string, services, pods, rejected int32) {
	t.Helper()
	got := w.status()
	if got.Services != services || got.Pods != pods || got.RejectedTotal != rejected {
		t.Errorf("%s: %d Services, %d Pods, %d rejected; want %d, %d, %d",
			step, got.Services, got.Pods, got.RejectedTotal, services, pods, rejected)
	}
}

// annotated returns the annotations of an app that wants to be scraped, with further ones as name, value.
func annotated(further ...string) map[string]string {
	all := map[string]string{"prometheus.io/scrape": "true"}
	for i := 0; i < len(further); i += 2 {
		all["prometheus.io/"+further[i]] = further[i+1]
	}
	return all
}

func service(namespace, name string, annotations map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations, UID: types.UID(name)},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
}

func pod(namespace, name string, annotations map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations, UID: types.UID(name)}}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// TestOnlyChangesOfMonitorsAreAnnounced: an event about an app in a namespace that has its monitor already costs nothing.
func TestOnlyChangesOfMonitorsAreAnnounced(t *testing.T) {
	w := newWatched(usual)
	w.calls()
	for _, step := range []struct {
		name     string
		do       func() error
		affected []string
	}{
		{"a Service without annotations", func() error { return w.services().Add(service("shop", "plain", nil)) }, nil},
		{"the first app", func() error { return w.services().Add(service("shop", "a", annotated())) }, []string{"shop"}},
		{"a second app", func() error { return w.services().Add(service("shop", "b", annotated())) }, nil},
		{"the same again", func() error { return w.services().Update(service("shop", "b", annotated())) }, nil},
		{"another path", func() error { return w.services().Update(service("shop", "b", annotated("path", "/m"))) }, nil},
		{"a target's port", func() error { return w.services().Update(service("shop", "b", annotated("port", "8080"))) }, nil},
		{"an app elsewhere", func() error { return w.services().Add(service("bank", "a", annotated())) }, []string{"bank"}},
		{"an undeclared port", func() error { return w.services().Update(service("shop", "b", annotated("port", "9"))) }, []string{"shop"}},
		{"another one", func() error { return w.services().Update(service("shop", "b", annotated("port", "10"))) }, []string{"shop"}},
		{"declared again", func() error { return w.services().Update(service("shop", "b", annotated("port", "8080"))) }, []string{"shop"}},
		{"one app fewer", func() error { return w.services().Delete(service("shop", "b", annotated())) }, nil},
		{"the first Pod", func() error { return w.pods().Add(pod("shop", "p1", annotated())) }, []string{"shop"}},
		{"a second Pod", func() error { return w.pods().Add(pod("shop", "p2", annotated())) }, nil},
		{"a Pod's port", func() error { return w.pods().Update(pod("shop", "p2", annotated("port", "9"))) }, nil},
		{"a Pod fewer", func() error { return w.pods().Delete(pod("shop", "p1", annotated())) }, nil},
		{"the last Pod", func() error { return w.pods().Delete(pod("shop", "p2", annotated())) }, []string{"shop"}},
		{"the annotation goes", func() error { return w.services().Update(service("shop", "a", nil)) }, []string{"shop"}},
		{"what was never there", func() error { return w.services().Delete(service("shop", "x", annotated())) }, nil},
		{"the other namespace", func() error { return w.services().Delete(service("bank", "a", annotated())) }, []string{"bank"}},
	} {
		must(t, step.do())
		w.expect(t, step.name, step.affected, nil)
	}
	if names := w.Namespaces(); len(names) != 0 {
		t.Errorf("namespaces without apps are kept: %q", names)
	}
	w.expectCounts(t, "at the end", 0, 0, 0)
}

// TestCounts follows apps through every verdict.
func TestCounts(t *testing.T) {
	w := newWatched(usual)
	w.calls()
	bad := annotated("port", "many")
	bad["prometheus.io/port"] = "70000"
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.services().Add(service("shop", "b", annotated("port", "9"))))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	w.expectCounts(t, "accepted", 2, 1, 0)
	w.calls()

	must(t, w.services().Update(service("shop", "a", bad)))
	w.expectCounts(t, "one turns bad", 1, 1, 1)
	_, rejected := w.calls()
	if len(rejected) != 1 || !strings.Contains(rejected[0], `prometheus.io/port is "70000"`) {
		t.Errorf("rejected %q", rejected)
	}
	must(t, w.services().Update(service("shop", "a", bad)))
	w.expect(t, "as bad as before", nil, nil)

	must(t, w.pods().Update(pod("shop", "p", annotated("port", "1,2", "path", "/m?x=1"))))
	w.expectCounts(t, "a Pod turns bad", 1, 0, 2)
	w.expect(t, "a Pod turns bad", []string{"shop"}, []string{
		`Pod shop/p: annotation prometheus.io/port is "1,2": an app with parameters cannot have a list of ports; ` +
			`annotate a Service for each port, or leave the parameters out`})

	must(t, w.services().Update(service("shop", "a", annotated())))
	must(t, w.pods().Delete(pod("shop", "p", nil)))
	w.expectCounts(t, "corrected", 2, 0, 0)
}

// TestView returns what the monitors of a namespace have to say.
func TestView(t *testing.T) {
	perService := usual
	perService.PerService = true
	fill := func(r Rules) *watched {
		w := newWatched(r)
		must(t, w.services().Add(service("shop", "z", annotated("port", "9"))))
		must(t, w.services().Add(service("shop", "c", annotated("path", "/m?x=1"))))
		must(t, w.services().Add(service("shop", "a", annotated())))
		must(t, w.services().Add(service("shop", "bad", annotated("scheme", "ftp"))))
		must(t, w.pods().Add(pod("shop", "p", annotated())))
		return w
	}
	names := func(apps []scrape.App) (all []string) {
		for _, a := range apps {
			all = append(all, a.Name)
		}
		return all
	}
	grouped := fill(usual).View("shop")
	if !grouped.Plain || !grouped.Pods || grouped.Services != nil || !slices.Equal(names(grouped.Special), []string{"c", "z"}) {
		t.Errorf("grouped: %+v", grouped)
	}
	each := fill(perService)
	if got := each.View("shop"); !slices.Equal(names(got.Services), []string{"a", "c", "z"}) {
		t.Errorf("each Service: %+v", got)
	}
	each.calls()
	must(t, each.services().Add(service("shop", "b", annotated())))
	each.expect(t, "a Service with a monitor of its own", []string{"shop"}, nil)
	if got := each.View("elsewhere"); got.Plain || got.Pods || got.Services != nil || got.Special != nil {
		t.Errorf("a namespace without apps: %+v", got)
	}
}

// TestRejectedIsSortedAndCapped: the status lists 20 in a fixed order, whatever the order in which they came.
func TestRejectedIsSortedAndCapped(t *testing.T) {
	w := newWatched(usual)
	for i := range 30 {
		number := i * 7 % 30
		must(t, w.services().Add(service(fmt.Sprintf("ns-%d", number%2), fmt.Sprintf("app-%02d", number), annotated("scheme", "ftp"))))
	}
	must(t, w.pods().Add(pod("ns-0", "app", annotated("scheme", "ftp"))))
	got := w.status()
	if len(got.Rejected) != mostRejected || got.RejectedTotal != 31 {
		t.Fatalf("%d listed, total %d", len(got.Rejected), got.RejectedTotal)
	}
	if first := got.Rejected[0]; first.Kind != string(Pod) || first.Name != "app" || !strings.Contains(first.Reason, `scheme is "ftp"`) {
		t.Errorf("the first: %+v", first)
	}
	var keys []string
	for _, entry := range got.Rejected {
		keys = append(keys, entry.Namespace+"/"+entry.Kind+"/"+entry.Name)
	}
	if !slices.IsSorted(keys) {
		t.Errorf("not sorted: %q", keys)
	}
	got.Rejected[0].Name = "changed"
	if w.status().Rejected[0].Name != "app" {
		t.Error("the list is shared with the index")
	}
	for i := range 30 {
		must(t, w.services().Delete(service(fmt.Sprintf("ns-%d", i%2), fmt.Sprintf("app-%02d", i), nil)))
	}
	must(t, w.pods().Delete(pod("ns-0", "app", nil)))
	if got := w.status(); got.RejectedTotal != 0 || len(got.Rejected) != 0 {
		t.Errorf("all gone: %+v", got)
	}
}

// TestRulesChange: every app is judged again, and the namespaces of before and after are looked at.
func TestRulesChange(t *testing.T) {
	w := newWatched(usual)
	bare := service("hand", "a", annotated())
	bare.Spec.Selector = nil
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.services().Add(bare))
	must(t, w.pods().Add(pod("pods", "p", annotated())))
	w.expectCounts(t, "by default", 1, 1, 1)
	_, rejection := w.calls()

	w.JudgeBy(usual)
	w.expect(t, "the same criteria", nil, nil)

	for _, step := range []struct {
		name                     string
		rules                    Rules
		services, pods, rejected int32
		affected, news           []string
	}{
		{"a monitor for each Service", Rules{Prefix: "prometheus.io", Services: true, Pods: true, PerService: true}, 1, 1, 1,
			[]string{"pods", "shop"}, nil},
		{"selectorless allowed", Rules{Prefix: "prometheus.io", Services: true, Pods: true, Selectorless: true}, 2, 1, 0,
			[]string{"hand", "pods", "shop"}, nil},
		{"Services only", Rules{Prefix: "prometheus.io", Services: true}, 1, 0, 1, []string{"hand", "pods", "shop"}, rejection},
		{"Pods only", Rules{Prefix: "prometheus.io", Pods: true}, 0, 1, 0, []string{"hand", "pods", "shop"}, nil},
		{"nothing", Rules{Prefix: "prometheus.io"}, 0, 0, 0, []string{"pods"}, nil},
	} {
		w.JudgeBy(step.rules)
		w.expectCounts(t, step.name, step.services, step.pods, step.rejected)
		affected, rejected := w.calls()
		if !slices.Equal(rejected, step.news) {
			t.Errorf("%s: rejected %q, want %q", step.name, rejected, step.news)
		}
		for _, name := range step.affected {
			// A namespace with a rejected app alone has no monitors, so it may be looked at or not.
			if !slices.Contains(affected, name) && name != "hand" {
				t.Errorf("%s: %s is not looked at, but %q", step.name, name, affected)
			}
		}
	}
}

// TestIndexAgreesWithACount: whatever happened in whatever order, the sums are those of a fresh index with what is left.
func TestIndexAgreesWithACount(t *testing.T) {
	w := newWatched(usual)
	variants := []map[string]string{nil, annotated(), annotated("port", "9"), annotated("path", "/m?x=1"), annotated("scheme", "ftp"),
		annotated("port", "web"), {"prometheus.io/scrape": "false"}}
	left := map[string]*corev1.Service{}
	state := uint32(1)
	next := func(n int) int {
		state = state*1664525 + 1013904223
		return int(state>>8) % n
	}
	for range 5000 {
		namespace, name := fmt.Sprintf("ns-%d", next(3)), fmt.Sprintf("app-%d", next(8))
		object := service(namespace, name, variants[next(len(variants))])
		if next(4) == 0 {
			must(t, w.services().Delete(object))
			delete(left, namespace+"/"+name)
		} else {
			must(t, w.services().Add(object))
			left[namespace+"/"+name] = object
		}
	}
	fresh := newWatched(usual)
	for _, key := range slices.Sorted(maps.Keys(left)) {
		must(t, fresh.services().Add(left[key]))
	}
	if diff := cmp.Diff(fresh.status(), w.status()); diff != "" {
		t.Errorf("status (-fresh +got):\n%s", diff)
	}
	for i := range 3 {
		name := fmt.Sprintf("ns-%d", i)
		if diff := cmp.Diff(fresh.View(name), w.View(name)); diff != "" {
			t.Errorf("%s (-fresh +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(fresh.Namespaces(), w.Namespaces()); diff != "" {
		t.Errorf("namespaces (-fresh +got):\n%s", diff)
	}
}
