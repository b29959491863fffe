// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// rivals are two gadgets that can both serve metrics.k8s.io. The spec's backend says which is to.
func rivals() []*gadget {
	serving := func(name string, fromPrometheus bool) *gadget {
		g := &gadget{name: name, apis: []metricsapi.API{metricsapi.Resource}}
		g.plan = func(in operand.Input, p *operand.Proposal) error {
			if in.Spec.ResourceMetrics.FromPrometheus() == fromPrometheus {
				return nil
			}
			if p.Leaving = p.Component.APIs; !in.Facts.Leads(metricsapi.Resource, name) {
				*p = operand.Proposal{}
			}
			return nil
		}
		return g
	}
	return []*gadget{serving("lamp", false), serving("torch", true)}
}

// leadsTo is the Service that metrics.k8s.io leads to.
func (w *world) leadsTo() string {
	w.t.Helper()
	found := &apiregv1.APIService{}
	if !w.exists(found, metricsapi.Resource.Name()) || found.Labels[v1alpha1.ComponentLabel] != found.Spec.Service.Name {
		w.t.Fatalf("APIService %s: %+v", metricsapi.Resource.Name(), found)
	}
	return found.Spec.Service.Name
}

// until calls the operator until something is so, and then until it writes nothing more.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	w.first(what, so)
	w.settle()
}

// first calls the operator until something is so, and no more.
func (w *world) first(what string, so func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %+v", what, w.pipeline().Status.APIServices)
		}
		if _, err := w.reconcile(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestSwitch of a metrics API from one component of ours to another, and back: the API leads to the earlier one until the other serves,
// is switched by one write and never deleted, and the earlier one goes last.
func TestSwitch(t *testing.T) {
	w := newWorld(t, rivals())
	w.settle()
	w.run("lamp")
	w.registered(metricsapi.Resource)
	w.available(apiregv1.ConditionTrue, metricsapi.Resource)
	first := &apiregv1.APIService{}
	w.exists(first, metricsapi.Resource.Name())

	for from, to := "lamp", "torch"; ; from, to = to, from {
		w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
			spec.ResourceMetrics.Backend = map[string]v1alpha1.ResourceBackend{"torch": v1alpha1.BackendPrometheusAdapter}[to]
		})
		w.settle()
		waiting := "False WaitingForBackend: v1beta1.metrics.k8s.io: " + from + " serves it until it is taken over. "
		if got := w.condition(v1alpha1.ConditionAPIServicesAvailable); w.leadsTo() != from || !strings.HasPrefix(got, waiting) ||
			!strings.Contains(got, to) {
			t.Fatalf("before %s serves: the API leads to %s, %s", to, w.leadsTo(), got)
		}
		// What still serves is repaired, also by an operator that has just started.
		w.remove(&corev1.Service{}, from)
		w.restart()
		w.settle()
		if !w.exists(&corev1.Service{}, from) || w.leadsTo() != from {
			t.Fatalf("before %s serves: the Service %s was not put back, or the API leads to %s", to, from, w.leadsTo())
		}
		w.drain()
		w.run(to)
		w.until("switch to "+to, func() bool { return w.leadsTo() == to })
		if said := w.drain(); !slices.ContainsFunc(said, func(event string) bool { return strings.Contains(event, "APITakenOver") }) {
			t.Errorf("switched to %s without an Event: %q", to, said)
		}
		w.available(apiregv1.ConditionTrue, metricsapi.Resource)
		w.settle()
		if got := w.condition(v1alpha1.ConditionAPIServicesAvailable); !strings.HasPrefix(got, "True ") {
			t.Errorf("after the switch to %s: %s", to, got)
		}
		if !w.exists(&appsv1.Deployment{}, from) {
			t.Errorf("%s was deleted as soon as the API led to %s: an API server may not have seen that", from, to)
		}
		if result, err := w.reconcile(); err != nil || result.RequeueAfter == 0 {
			t.Errorf("nothing brings the operator back to delete %s: %+v, %v", from, result, err)
		}
		w.restart()
		w.settle()
		if w.exists(&appsv1.Deployment{}, from) || w.exists(&corev1.Service{}, from) || !w.exists(&appsv1.Deployment{}, to) {
			t.Errorf("after the switch to %s, %s is still there, or %s is not", to, from, to)
		}
		w.removeEndpointsOf(from)
		if to == "lamp" {
			break
		}
	}
	last := &apiregv1.APIService{}
	if !w.exists(last, metricsapi.Resource.Name()) || last.UID != first.UID || !last.CreationTimestamp.Equal(&first.CreationTimestamp) {
		t.Errorf("the APIService was deleted and made again: %s, %s", first.UID, last.UID)
	}
}

// removeEndpointsOf removes the endpoint of pods that have gone.
func (w *world) removeEndpointsOf(name string) {
	w.t.Helper()
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := w.client.Delete(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
}

// TestSwitchBackBeforeItServes leaves the API where it led all the time.
func TestSwitchBackBeforeItServes(t *testing.T) {
	w := newWorld(t, rivals())
	w.settle()
	w.run("lamp")
	w.registered(metricsapi.Resource)
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
		spec.ResourceMetrics.Backend = v1alpha1.BackendPrometheusAdapter
	})
	w.settle()
	if !w.exists(&appsv1.Deployment{}, "torch") {
		t.Fatal("what is to serve is not deployed")
	}
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ResourceMetrics.Backend = "" })
	w.settle()
	if w.exists(&appsv1.Deployment{}, "torch") || !w.exists(&appsv1.Deployment{}, "lamp") || w.leadsTo() != "lamp" {
		t.Errorf("the API leads to %s", w.leadsTo())
	}
}
