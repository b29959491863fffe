// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
)

// TestWhatRequestsNamespaces: every namespace is reconciled when what its monitors depend on has changed, and not before.
func TestWhatRequestsNamespaces(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	must(t, w.services().Delete(service("shop", "a", nil)))
	must(t, w.services().Add(service("bank", "a", annotated())))
	w.reconcile(t)
	both, none := []string{"bank", "shop"}, []string(nil) // One has an app, the other a monitor.
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"nothing happened", func() error { return nil }, none},
		{"another CRD comes", func() error {
			return w.client.Create(t.Context(), &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "others.example.com"}})
		}, none},
		{"the Prometheus demands a label", func() error {
			p := everything()
			must(t, w.client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
			p.Spec.ServiceMonitorSelector.MatchLabels = map[string]string{"release": "stack"}
			return w.client.Update(t.Context(), p)
		}, both},
		{"it changes otherwise", func() error {
			p := everything()
			must(t, w.client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
			p.Spec.Retention = "7d"
			return w.client.Update(t.Context(), p)
		}, none},
		{"the spec", func() error {
			w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Interval = "20s" })
			return nil
		}, both},
		{"a CRD of monitors goes", func() error { return w.client.Delete(t.Context(), crds()[0]) }, []string{"bank"}},
		{"and comes back", func() error { return w.client.Create(t.Context(), crds()[0]) }, both},
	} {
		must(t, step.do())
		w.requested()
		w.reconcile(t)
		if queued, _ := w.requested(); !slices.Equal(queued, step.want) {
			t.Errorf("%s: requests %q, want %q", step.name, queued, step.want)
		}
	}
}

// TestEvents: the requests that objects' events make.
func TestEvents(t *testing.T) {
	w := working(t)
	monitor := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: monitorName}}
	if got := w.r.itself(t.Context(), namespaces("shop")[0]); len(got) != 1 || got[0].Name != "shop" {
		t.Errorf("a Namespace's event: %v", got)
	}
	if got := w.r.everything(t.Context(), everything()); len(got) != 1 || got[0] != inCommon {
		t.Errorf("a Prometheus' event: %v", got)
	}
	w.requested()
	if got := w.r.ownNamespace(t.Context(), monitor); len(got) != 1 || got[0].Name != "shop" {
		t.Errorf("a monitor's event: %v", got)
	}
	if _, delayed := w.requested(); !slices.Equal(delayed, []string{" after 10s"}) {
		t.Errorf("a monitor's event: later %q", delayed)
	}
}

// TestAnAppCostsOneRequest: whatever a thousand apps change, the snapshot is computed once, later, and a namespace that has its
// monitor is left alone.
func TestAnAppCostsOneRequest(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	w.requested()
	for _, name := range []string{"b", "c", "d"} {
		must(t, w.services().Add(service("shop", name, annotated())))
	}
	queued, delayed := w.requested()
	if len(queued) > 0 || !slices.Equal(delayed, []string{" after 10s"}) {
		t.Errorf("requests %q, later %q", queued, delayed)
	}
}

// TestLabelsOfNamespaces: the snapshot depends on them, and no other event shows that they have changed.
func TestLabelsOfNamespaces(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	relabel := func(name, key, value string) {
		ns := &corev1.Namespace{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Name: name}, ns))
		ns.Labels[key] = value
		must(t, w.client.Update(t.Context(), ns))
	}
	for _, step := range []struct {
		name       string
		do         func()
		now, later bool
	}{
		{"a first look", func() {}, false, true}, // Of many namespaces at once.
		{"nothing new", func() {}, false, false},
		{"a label, which the Prometheus may select by", func() { relabel("shop", "team", "web") }, true, false},
		{"nothing new again", func() {}, false, false},
		{"a label of a namespace without apps", func() { relabel("bank", "team", "web") }, false, true},
		{"opted out: the monitor goes", func() { relabel("shop", v1alpha1.ScrapeOptOutLabel, "false") }, true, true},
	} {
		step.do()
		w.reconcile(t)
		w.requested()
		for _, name := range []string{"shop", "bank"} {
			_, err := w.r.Reconcile(t.Context(), requestFor(name))
			must(t, err)
		}
		queued, delayed := w.requested()
		if slices.Contains(queued, "") != step.now || slices.Contains(delayed, " after 10s") != step.later {
			t.Errorf("%s: requests %q, later %q", step.name, queued, delayed)
		}
	}
}

// TestPipelineGoes: nothing is followed and nothing said of one that is gone.
func TestPipelineGoes(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	if w.r.Snapshot() == nil {
		t.Fatal("no snapshot")
	}
	must(t, w.client.Delete(t.Context(), pipeline()))
	w.announced = 0
	for range 2 {
		expectWrites(t, "the pipeline is gone", w.reconcile(t, "shop"))
	}
	if w.r.Snapshot() != nil || w.announced != 1 {
		t.Errorf("snapshot %+v, announced %d times", w.r.Snapshot(), w.announced)
	}
	if len(w.r.accepted) != 0 {
		t.Errorf("monitors of %v count as accepted", w.r.accepted)
	}
}

func TestAboutToBeServed(t *testing.T) {
	w := newWorld(t, crds()...)
	if w.r.aboutToBeServed(w.r.watches.Ensure(t.Context())) {
		t.Error("what is served is not about to be")
	}
	if len(kinds.Monitors) != 2 || kinds.Monitors[0].Kind != monitoringv1.ServiceMonitorsKind {
		t.Error("the kinds of monitors stand for Services and Pods, in this order")
	}
}
