// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientmetrics "github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// series returns what an exporter exports, by name and labels, without the name's common beginning.
func series(t *testing.T, e *Exporter) map[string]float64 {
	t.Helper()
	registry := clientmetrics.NewPedanticRegistry()
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
	o, status := statusOf(func(o *Observation) {
		outcomeOf(o, usageServer).Certificate.Known = false
		o.APIServices[metricsapi.CustomV1Beta1.Name()] = registered(metricsapi.CustomV1Beta1, rulesServer, apiregv1.ConditionFalse,
			"MissingEndpoints")
		served(o, foreign(metricsapi.External, apiregv1.ConditionTrue, "Passed"))
		unregister(o, metricsapi.Resource, nil)
	})
	status.Certificates = []v1alpha1.CertificateStatus{
		{Name: "usage-server-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: ptr.To(metav1.NewTime(moment))},
		{Name: "rules-server-tls", Provider: v1alpha1.CertificatesCertManager},
	}
	e := &Exporter{}
	e.Set(o, status)
	want := map[string]float64{
		"apiservice_available{apiservice=v1beta1.metrics.k8s.io,owner=none}":             0,
		"apiservice_available{apiservice=v1beta1.custom.metrics.k8s.io,owner=ours}":      0,
		"apiservice_available{apiservice=v1beta2.custom.metrics.k8s.io,owner=ours}":      1,
		"apiservice_available{apiservice=v1beta1.external.metrics.k8s.io,owner=other}":   1,
		"certificate_expiry_timestamp_seconds{provider=BuiltIn,secret=usage-server-tls}": float64(moment.Unix()),
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

	// What is no longer in the status has no series.
	e.Set(o, v1alpha1.MetricsPipelineStatus{})
	if got := series(t, e); len(got) > 0 {
		t.Errorf("series of an empty status: %v", got)
	}
	e.Set(o, status)
	e.Clear()
	if got := series(t, e); len(got) > 0 {
		t.Errorf("series without a pipeline: %v", got)
	}
}

// TestOnlyDemandedAPIsAreExported: no alert fires for an API that the spec does without, also while no plan can be made.
func TestOnlyDemandedAPIsAreExported(t *testing.T) {
	o, status := statusOf(func(o *Observation) {
		o.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
		served(o, foreign(metricsapi.Resource, apiregv1.ConditionFalse, "MissingEndpoints"))
		omit(o, metricsapi.Resource, metricsapi.Omission{Reason: v1alpha1.ReasonDisabled, Message: "disabled."})
		for i, reason := range []string{v1alpha1.ReasonNoRules, v1alpha1.ReasonServedByOther, v1alpha1.ReasonNotServed} {
			unregister(o, metricsapi.All()[i+1], &metricsapi.Omission{Reason: reason, Message: "so it is."})
		}
	})
	unplannable := Observation{Generation: 3, Spec: o.Spec}
	for name, o := range map[string]Observation{"planned": o, "unplannable": unplannable} {
		e := &Exporter{}
		e.Set(o, Status(o, status))
		var apis []string
		for name := range series(t, e) {
			if strings.HasPrefix(name, "apiservice_available") {
				apis = append(apis, name)
			}
		}
		want := []string{"apiservice_available{apiservice=v1beta1.external.metrics.k8s.io,owner=none}"}
		if diff := cmp.Diff(want, apis); diff != "" {
			t.Errorf("%s: APIs (-want +got):\n%s", name, diff)
		}
	}
}

// TestExpiryStaysExported: the alert about an expiry must not end because a component is retained, or its certificate could not be
// looked at.
func TestExpiryStaysExported(t *testing.T) {
	renewed := moment.AddDate(0, 6, 0)
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   time.Time
	}{
		"the component is retained": {func(o *Observation) {
			c := planOf(o, rulesServer)
			c.Retained, c.LastGood = "it is not known which Prometheus to query.", &operand.LastGood{Component: c.Component}
			o.Facts.Prometheus.NotFound, o.Facts.Prometheus.Target = &prometheus.NotFoundError{Reason: "PrometheusNotFound"}, prometheus.Target{}
		}, moment},
		"it is retained, and renewed": {func(o *Observation) {
			planOf(o, rulesServer).Retained = "no rule is usable."
			outcomeOf(o, rulesServer).Certificate.InUse.Expires = ptr.To(metav1.NewTime(renewed))
		}, renewed},
		"its certificate is not known": {func(o *Observation) { outcomeOf(o, rulesServer).Certificate = Certificate{} }, moment},
		"it is retained, and its certificate is not known": {func(o *Observation) {
			planOf(o, rulesServer).Retained = "no rule is usable."
			outcomeOf(o, rulesServer).Certificate = Certificate{}
		}, moment},
	} {
		_, before := statusOf()
		o, _ := statusOf(tc.change)
		status := Status(o, before)
		index := slices.IndexFunc(status.Certificates, func(c v1alpha1.CertificateStatus) bool { return c.Name == rulesServer+"-tls" })
		if index < 0 || !status.Certificates[index].Expires.Time.Equal(tc.want) {
			t.Errorf("%s: status.certificates %+v", name, status.Certificates)
		}
		e := &Exporter{}
		e.Set(o, status)
		const expires = "certificate_expiry_timestamp_seconds{provider=BuiltIn,secret=rules-server-tls}"
		if expiry, exported := series(t, e)[expires]; !exported || expiry != float64(tc.want.Unix()) {
			t.Errorf("%s: exported: %v, %v", name, exported, expiry)
		}
	}
}
