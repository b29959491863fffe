// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// series returns what an exporter exports, by name and labels, without the name's common beginning.
func series(t *testing.T, e *exporter) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(e)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "metricspipeline_")
			found[fmt.Sprintf("%s{%s}", name, strings.Join(labels, ","))] = metric.GetGauge().GetValue()
		}
	}
	return found
}

func TestExportedMetrics(t *testing.T) {
	o := working()
	o.certificates.looked = false
	replace(&o, registered(component.CustomMetricsBeta1, component.PrometheusAdapter, apiregv1.ConditionFalse, "MissingEndpoints"))
	replace(&o, foreign(component.ExternalMetricsBeta, apiregv1.ConditionTrue, "Passed"))
	unregister(&o, component.ResourceMetrics, nil)
	status := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
	status.Certificates = []v1alpha1.CertificateStatus{
		{Name: "metrics-server-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: ptr.To(metav1.NewTime(moment))},
		{Name: "prometheus-adapter-tls", Provider: v1alpha1.CertificatesCertManager},
	}
	e := &exporter{}
	e.set(v1alpha1.MetricsPipelineSpec{}, status)
	want := map[string]float64{
		"apiservice_available{apiservice=v1beta1.metrics.k8s.io,owner=none}":               0,
		"apiservice_available{apiservice=v1beta1.custom.metrics.k8s.io,owner=ours}":        0,
		"apiservice_available{apiservice=v1beta2.custom.metrics.k8s.io,owner=ours}":        1,
		"apiservice_available{apiservice=v1beta1.external.metrics.k8s.io,owner=other}":     1,
		"certificate_expiry_timestamp_seconds{provider=BuiltIn,secret=metrics-server-tls}": float64(moment.Unix()),
		"condition{condition=Ready}":                 0,
		"condition{condition=Reconciling}":           1,
		"condition{condition=Stalled}":               0,
		"condition{condition=AggregationLayerReady}": 1,
		"condition{condition=RulesAccepted}":         1,
		"condition{condition=PrometheusReady}":       1,
		"condition{condition=ScrapeReady}":           1,
		"condition{condition=CertificatesReady}":     -1,
		"condition{condition=ComponentsReady}":       1,
		"condition{condition=APIServicesAvailable}":  0,
	}
	if diff := cmp.Diff(want, series(t, e)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}

	// What is gone leaves nothing behind.
	e.set(v1alpha1.MetricsPipelineSpec{}, v1alpha1.MetricsPipelineStatus{})
	if got := series(t, e); len(got) > 0 {
		t.Errorf("series of an empty status: %v", got)
	}
	e.set(v1alpha1.MetricsPipelineSpec{}, status)
	e.clear()
	if got := series(t, e); len(got) > 0 {
		t.Errorf("series without a pipeline: %v", got)
	}
}

// TestOnlyDemandedAPIsAreExported: nobody is to be woken for an API that the spec does without.
func TestOnlyDemandedAPIsAreExported(t *testing.T) {
	o := working()
	replace(&o, foreign(component.ResourceMetrics, apiregv1.ConditionFalse, "MissingEndpoints"))
	o.apis[0].omission = &component.Omission{Reason: v1alpha1.ReasonDisabled, Message: "disabled."}
	for i, reason := range []string{v1alpha1.ReasonNoRules, v1alpha1.ReasonServedByOther, v1alpha1.ReasonNotServed} {
		unregister(&o, component.APIs()[i+1], &component.Omission{Reason: reason, Message: "so it is."})
	}
	var spec v1alpha1.MetricsPipelineSpec
	spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
	e := &exporter{}
	e.set(spec, computeStatus(o, v1alpha1.MetricsPipelineStatus{}))
	var apis []string
	for name := range series(t, e) {
		if strings.HasPrefix(name, "apiservice_available") {
			apis = append(apis, name)
		}
	}
	want := []string{"apiservice_available{apiservice=v1beta1.external.metrics.k8s.io,owner=none}"}
	if diff := cmp.Diff(want, apis); diff != "" {
		t.Errorf("APIs (-want +got):\n%s", diff)
	}
}

// TestExportedByTheEndpoint: the operator's metrics endpoint serves this registry.
func TestExportedByTheEndpoint(t *testing.T) {
	if err := metrics.Registry.Register(&exported); err == nil {
		t.Error("the metrics of the pipeline were not registered")
	}
}
