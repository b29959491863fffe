// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

const (
	groupedServices = "ServiceMonitor shop/metricspipeline-annotated"
	groupedPods     = "PodMonitor shop/metricspipeline-annotated"
	monitorOfA      = "ServiceMonitor shop/metricspipeline-annotated-a"
	monitorOfB      = "ServiceMonitor shop/metricspipeline-annotated-b"
)

// working is a world in which everything is there, with the namespaces shop and bank and no app yet.
func working(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := newWorld(t, slices.Concat(crds(), namespaces("shop", "bank"), []client.Object{everything(), pipeline()}, objects)...)
	w.seen(t)
	return w
}

func expectWrites(t *testing.T, step string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: writes (-want +got):\n%s", step, diff)
	}
}

// TestLifeOfANamespace: from its first app to its last.
func TestLifeOfANamespace(t *testing.T) {
	w := working(t)
	expectWrites(t, "no app", w.reconcile(t, "shop", "bank"))
	must(t, w.services().Add(service("shop", "a", annotated())))
	expectWrites(t, "the first app", w.reconcile(t, "shop", "bank"), "apply "+groupedServices)
	must(t, w.services().Add(service("shop", "b", annotated())))
	expectWrites(t, "a second app", w.reconcile(t, "shop"))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	expectWrites(t, "the first Pod, beside Services", w.reconcile(t, "shop"), "apply "+groupedServices, "apply "+groupedPods)
	expectWrites(t, "nothing new", w.reconcile(t, "shop"))
	must(t, w.services().Update(service("shop", "b", annotated("port", "9"))))
	expectWrites(t, "an undeclared port", w.reconcile(t, "shop"), "apply "+groupedServices)

	state, status := w.observe(t)
	if !state.Met || status.Services != 2 || status.Pods != 1 || status.Monitors != 2 {
		t.Errorf("observed %+v, %+v", state, status)
	}
	monitor := w.monitors(t)[0]
	if owner := metav1.GetControllerOf(&monitor); owner == nil || owner.UID != "pipeline" {
		t.Errorf("owner %+v", owner)
	}
	if monitor.Spec.SampleLimit == nil || *monitor.Spec.SampleLimit != 50000 {
		t.Errorf("spec %+v", monitor.Spec)
	}

	must(t, w.services().Delete(service("shop", "b", nil)))
	must(t, w.pods().Delete(pod("shop", "p", nil)))
	expectWrites(t, "the last Pod", w.reconcile(t, "shop"), "apply "+groupedServices, "delete "+groupedPods)
	must(t, w.services().Delete(service("shop", "a", nil)))
	expectWrites(t, "the last app", w.reconcile(t, "shop"), "delete "+groupedServices)
}

// TestGranularity: a switch applies before it prunes, and leaves no orphan.
func TestGranularity(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.services().Add(service("shop", "b", annotated("port", "9"))))
	w.reconcile(t, "shop")
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Granularity = v1alpha1.ScrapePerService })
	expectWrites(t, "to Service", w.reconcile(t, "shop"), "apply "+monitorOfA, "apply "+monitorOfB, "delete "+groupedServices)
	must(t, w.services().Delete(service("shop", "a", nil)))
	expectWrites(t, "a Service goes", w.reconcile(t, "shop"), "delete "+monitorOfA)
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Granularity = v1alpha1.ScrapePerNamespace })
	expectWrites(t, "to Namespace", w.reconcile(t, "shop"), "apply "+groupedServices, "delete "+monitorOfB)
	if left := w.monitors(t); len(left) != 1 {
		t.Errorf("%d monitors left", len(left))
	}
}

// TestNothingIsDeletedEarly: a restarted operator knows no app at first.
func TestNothingIsDeletedEarly(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	w.stores[index.Service], w.stores[index.Pod] = w.r.index.Open(index.Service, "prometheus.io"), w.r.index.Open(index.Pod, "prometheus.io")
	expectWrites(t, "nothing seen", w.reconcile(t, "shop"))
	must(t, w.services().Replace([]any{service("shop", "b", nil)}, "1"))
	expectWrites(t, "without the Pods", w.reconcile(t, "shop"))
	must(t, w.pods().Replace(nil, "1"))
	expectWrites(t, "everything seen", w.reconcile(t, "shop"), "delete "+groupedServices)
}

// TestRetained: what is there stays when it is not known what should be.
func TestRetained(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	must(t, w.chosen())
	must(t, w.client.Delete(t.Context(), everything()))
	must(t, w.services().Delete(service("shop", "a", nil)))
	must(t, w.services().Add(service("bank", "a", annotated())))
	expectWrites(t, "without a Prometheus", w.reconcile(t, "shop", "bank"))
	if state, _ := w.observe(t); state.Met || state.Reason != v1alpha1.ReasonPrometheusNotFound {
		t.Errorf("state %+v", state)
	}
	must(t, w.client.Create(t.Context(), everything()))
	expectWrites(t, "with one again", w.reconcile(t, "shop", "bank"),
		"delete "+groupedServices, "apply ServiceMonitor bank/metricspipeline-annotated")
}

// TestRemoved: what takes a namespace's monitors away.
func TestRemoved(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *world){
		"scraping is off": func(t *testing.T, w *world) {
			t.Helper()
			w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = nil })
		},
		"the namespace selector": func(t *testing.T, w *world) {
			t.Helper()
			w.change(t, func(s *v1alpha1.ScrapeSpec) {
				s.NamespaceSelector = metav1.SetAsLabelSelector(map[string]string{"team": "web"})
			})
		},
		"another prefix": func(t *testing.T, w *world) {
			t.Helper()
			w.change(t, func(s *v1alpha1.ScrapeSpec) { s.AnnotationPrefix = "example.com" })
		},
		"opted out": func(t *testing.T, w *world) {
			t.Helper()
			ns := &corev1.Namespace{}
			must(t, w.client.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns))
			ns.Labels[v1alpha1.ScrapeOptOutLabel] = "false"
			must(t, w.client.Update(t.Context(), ns))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := working(t)
			must(t, w.services().Add(service("shop", "a", annotated())))
			must(t, w.pods().Add(pod("shop", "p", annotated())))
			expectWrites(t, "before", w.reconcile(t, "shop"), "apply "+groupedServices, "apply "+groupedPods)
			change(t, w)
			expectWrites(t, "after", w.reconcile(t, "shop"), "delete "+groupedServices, "delete "+groupedPods)
			expectWrites(t, "and then", w.reconcile(t, "shop"))
		})
	}
}

// TestForgedMonitors: a Prometheus of the operator's selects monitors by the operator's label, which anyone may give to one of theirs: what
// the operator has not written is deleted, whatever component it says that it is of.
func TestForgedMonitors(t *testing.T) {
	for _, component := range []string{"", "self-monitoring", ownership.MonitorsComponent} {
		forged := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "mine",
			Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: component}}}
		w := working(t, forged)
		expectWrites(t, component, w.reconcile(t, "shop"), "delete ServiceMonitor shop/mine")
	}
}

// TestOthersMonitorsStay: the operator's own, of its components, and those of users.
func TestOthersMonitorsStay(t *testing.T) {
	own := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: "metrics-server",
		Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: "metrics-server"}}}
	users := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	w := working(t, own, users)
	expectWrites(t, "no app", w.reconcile(t, "shop"))
	expectWrites(t, "the operator's own namespace", w.reconcile(t, "metrics"))

	users = &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: monitorName},
		Spec: monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{Port: "web"}}}} // The CRD demands one.
	must(t, w.client.Create(t.Context(), users))
	must(t, w.services().Add(service("bank", "a", annotated())))
	result, err := w.r.Reconcile(t.Context(), requestFor("bank"))
	must(t, err)
	if result.RequeueAfter != time.Second {
		t.Errorf("a monitor of the same name: again after %s", result.RequeueAfter)
	}
	w.expectProblem(t, "bank", v1alpha1.ReasonNameTaken, "is left alone")
}

// expectProblem demands that a namespace has a problem that the status lists, of which it got one Event, and that the condition does
// not depend on.
func (w *world) expectProblem(t *testing.T, namespace, reason, says string) {
	t.Helper()
	for range 2 {
		state, status := w.observe(t)
		if !state.Met || status.NotScrapedTotal != 1 || len(status.NotScraped) != 1 {
			t.Fatalf("state %+v, namespaces %+v", state, status.NotScraped)
		}
		if got := status.NotScraped[0]; got.Namespace != namespace || got.Reason != reason || !strings.Contains(got.Message, says) {
			t.Errorf("namespaces %+v, want %s for %s and %q", status.NotScraped, namespace, reason, says)
		}
	}
	if len(w.events) != 1 || !strings.HasPrefix(w.events[0], namespace+": ") || !strings.Contains(w.events[0], says) {
		t.Errorf("Events %q", w.events)
	}
	w.events = nil
}

// TestTerminatingNamespaces are left alone: nothing can be created in them, and what is there is deleted with them.
func TestTerminatingNamespaces(t *testing.T) {
	now := metav1.Now()
	going := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going", DeletionTimestamp: &now, Finalizers: []string{"kubernetes"}}}
	w := working(t, going)
	must(t, w.services().Add(service("going", "a", annotated())))
	must(t, w.services().Add(service("gone", "a", annotated())))
	expectWrites(t, "on its way and gone", w.reconcile(t, "going", "gone"))
}

func TestExcludedNamespaces(t *testing.T) {
	team := metav1.SetAsLabelSelector(map[string]string{"kubernetes.io/metadata.name": "bank"})
	for name, tc := range map[string]struct {
		spec    func(*monitoringv1.PrometheusSpec)
		exclude []string
		reason  string
		says    string
		// problem is what is said of namespace shop.
		problem string
	}{
		"all are selected": {spec: func(*monitoringv1.PrometheusSpec) {}, reason: "Selected"},
		"one is not": {spec: func(s *monitoringv1.PrometheusSpec) { s.ServiceMonitorNamespaceSelector = team }, reason: "Selected",
			says: `is "kubernetes.io/metadata.name=bank"`, problem: "does not look for monitors in namespace shop"},
		"its home only": {spec: func(s *monitoringv1.PrometheusSpec) { s.ServiceMonitorNamespaceSelector = nil }, reason: "Selected",
			says: "its own namespace alone", problem: "its own namespace alone"},
		"not for PodMonitors, and there is no Pod": {spec: func(s *monitoringv1.PrometheusSpec) { s.PodMonitorNamespaceSelector = team }, reason: "Selected"},
		"left out by us as well": {spec: func(s *monitoringv1.PrometheusSpec) { s.ServiceMonitorNamespaceSelector = team },
			exclude: []string{"shop"}, reason: "Selected"},
		"a selector that cannot be read": {spec: func(s *monitoringv1.PrometheusSpec) {
			s.ServiceMonitorNamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		}, reason: "NotSelected", says: "serviceMonitorNamespaceSelector cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			w := working(t)
			p := everything()
			must(t, w.client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
			tc.spec(&p.Spec)
			must(t, w.client.Update(t.Context(), p))
			for _, name := range tc.exclude {
				w.change(t, func(s *v1alpha1.ScrapeSpec) {
					s.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
						{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{name}}}}
				})
			}
			must(t, w.services().Add(service("shop", "a", annotated())))
			must(t, w.services().Add(service("gone", "a", annotated())))
			state, status := w.observe(t)
			if state.Reason != tc.reason || !strings.Contains(state.Message, tc.says) {
				t.Errorf("state %+v, want %s and %q", state, tc.reason, tc.says)
			}
			if tc.problem != "" {
				w.expectProblem(t, "shop", v1alpha1.ReasonNotSelected, tc.problem)
			} else if status.NotScrapedTotal != 0 && state.Met {
				t.Errorf("namespaces %+v", status.NotScraped)
			}
		})
	}
}
