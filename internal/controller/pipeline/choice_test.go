// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// choosing returns a world with one Prometheus object and rules.
func choosing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, []*gadget{{name: "lamp", apis: []metricsapi.API{metricsapi.CustomV1Beta1}}}, prometheusNamed("monitoring", "k8s"))
	w.facts = cluster.Serving(kinds.PrometheusCRD)
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
		spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{MetricRule: v1alpha1.MetricRule{ID: "requests"}}}
	})
	w.settle()
	return w
}

func prometheusNamed(namespace, name string) *monitoringv1.Prometheus {
	return &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// source is the origin that the status shows, and the object that it records as chosen.
func (w *world) source() (origin, chosen string) {
	w.t.Helper()
	status := w.pipeline().Status.Prometheus
	if status == nil {
		return "", ""
	}
	if c := status.Chosen; c != nil {
		chosen = c.Namespace + "/" + c.Name
	}
	return status.Origin, chosen
}

// TestChoiceStays when any tenant makes a Prometheus object, whatever the operator remembers, and when the chosen one goes.
func TestChoiceStays(t *testing.T) {
	forget := func(w *world) {
		pipeline := w.pipeline()
		pipeline.Status.Prometheus = nil
		if err := w.client.Status().Update(w.t.Context(), pipeline); err != nil {
			w.t.Fatal(err)
		}
	}
	for name, between := range map[string]func(*world){
		"nothing happens":           func(*world) {},
		"the operator starts anew":  (*world).restart,
		"the status is not current": forget,
	} {
		t.Run(name, func(t *testing.T) {
			w := choosing(t)
			between(w)
			if err := w.client.Create(t.Context(), prometheusNamed("team-a", "main")); err != nil {
				t.Fatal(err)
			}
			w.settle()
			between(w)
			w.settle()
			origin, chosen := w.source()
			if origin != "Prometheus monitoring/k8s" || chosen != "monitoring/k8s" {
				t.Fatalf("%s, %s is recorded", origin, chosen)
			}
			if err := w.client.Delete(t.Context(), prometheusNamed("monitoring", "k8s")); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if name != "the status is not current" {
				between(w)
			}
			w.settle()
			if _, chosen = w.source(); chosen != "monitoring/k8s" {
				t.Errorf("%s is recorded once it was deleted", chosen)
			}
			const want = "False PrometheusNotFound: The Prometheus object monitoring/k8s, which was in use, does not exist any more; " +
				"there is team-a/main."
			if got := w.condition(v1alpha1.ConditionPrometheusReady); !strings.HasPrefix(got, want) {
				t.Errorf("PrometheusReady is %s", got)
			}
		})
	}
}

// TestChoiceIsChanged by a ref, which leaves nothing behind: without it the cluster is looked at as if for the first time.
func TestChoiceIsChanged(t *testing.T) {
	w := choosing(t)
	if err := w.client.Create(t.Context(), prometheusNamed("team-a", "main")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, spec := range []v1alpha1.PrometheusSpec{
		{Ref: &v1alpha1.PrometheusReference{Namespace: "team-a", Name: "main"}},
		{},
		{URL: "https://thanos.example.com"},
	} {
		w.edit(func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus = spec })
		w.settle()
		origin, chosen := w.source()
		got = append(got, origin+" "+chosen)
	}
	if diff := cmp.Diff([]string{"Prometheus team-a/main ", " ", "spec.prometheus.url "}, got); diff != "" {
		t.Errorf("source and choice for a ref, nothing and a URL (-want +got):\n%s", diff)
	}
	if err := client.IgnoreNotFound(w.client.Delete(t.Context(), prometheusNamed("team-a", "main"))); err != nil {
		t.Fatal(err)
	}
	w.edit(func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus = v1alpha1.PrometheusSpec{} })
	w.settle()
	if origin, chosen := w.source(); origin != "Prometheus monitoring/k8s" || chosen != "monitoring/k8s" {
		t.Errorf("%q, %q is recorded where one object is left", origin, chosen)
	}
}
