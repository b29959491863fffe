// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientmetrics "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// series returns what an exporter exports of a pipeline, by name and labels, without the name's common beginning.
func series(t *testing.T, e *Exporter) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for name, value := range everySeries(t, e) {
		if !strings.HasPrefix(name, "reconcile_errors_total") && !strings.HasPrefix(name, "drift_repairs_total") {
			all[name] = value
		}
	}
	return all
}

// everySeries has what it counts as well.
func everySeries(t *testing.T, e *Exporter) map[string]float64 {
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
			found[fmt.Sprintf("%s{%s}", name, strings.Join(labels, ","))] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
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
		{Name: "usage-server-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: ptr.To(metav1.NewTime(moment)),
			Renews: ptr.To(metav1.NewTime(moment.Add(-time.Hour)))},
		{Name: "rules-server-tls", Provider: v1alpha1.CertificatesCertManager},
	}
	status.RulesTotal = v1alpha1.RuleTotals{InUse: 5, Warned: 3, LastGood: 2, Rejected: 1}
	status.Scrape.RejectedTotal, status.Scrape.NotScrapedTotal = 4, 1
	status.Scrape.Targets = &v1alpha1.TargetCounts{Up: 7, Down: 2}
	outcomeOf(&o, usageServer).Desired = []string{"Deployment metrics/usage-server", "ClusterRole shared", "ClusterRole usage"}
	outcomeOf(&o, rulesServer).Desired = []string{"Deployment metrics/rules-server", "ClusterRole shared"}
	e := &Exporter{}
	e.Set(o, status)
	want := map[string]float64{
		"certificate_renewal_timestamp_seconds{provider=BuiltIn,secret=usage-server-tls}": float64(moment.Add(-time.Hour).Unix()),
		"component_replicas{component=usage-server}":                                      2,
		"component_replicas{component=rules-server}":                                      2,
		"component_replicas_ready{component=usage-server}":                                2,
		"component_replicas_ready{component=rules-server}":                                2,
		"condition{condition=MonitoringReady}":                                            1,
		"condition{condition=AutoscalersServed}":                                          1,
		"managed_objects{kind=Deployment}":                                                2,
		"managed_objects{kind=ClusterRole}":                                               2,
		"rules{state=InUse}":                                                              5,
		"rules{state=Warned}":                                                             3,
		"rules{state=LastGood}":                                                           2,
		"rules{state=Rejected}":                                                           1,
		"scrape_apps{kind=Service}":                                                       3,
		"scrape_apps{kind=Pod}":                                                           1,
		"scrape_apps_rejected{}":                                                          4,
		"scrape_namespaces_not_scraped{}":                                                 1,
		"scrape_targets{state=up}":                                                        7,
		"scrape_targets{state=down}":                                                      2,
		"scrape_monitors{}":                                                               2,
		"apiservice_available{apiservice=v1beta1.metrics.k8s.io,owner=none}":              0,
		"apiservice_available{apiservice=v1beta1.custom.metrics.k8s.io,owner=ours}":       0,
		"apiservice_available{apiservice=v1beta2.custom.metrics.k8s.io,owner=ours}":       1,
		"apiservice_available{apiservice=v1beta1.external.metrics.k8s.io,owner=other}":    1,
		"certificate_expiry_timestamp_seconds{provider=BuiltIn,secret=usage-server-tls}":  float64(moment.Unix()),
		"condition{condition=Ready}":                                                      0,
		"condition{condition=Reconciling}":                                                1,
		"condition{condition=Stalled}":                                                    0,
		"condition{condition=AggregationLayerReady}":                                      1,
		"condition{condition=RulesAccepted}":                                              1,
		"condition{condition=PrometheusReady}":                                            1,
		"condition{condition=ScrapeReady}":                                                1,
		"condition{condition=CertificatesReady}":                                          -1,
		"condition{condition=ComponentsReady}":                                            1,
		"condition{condition=APIServicesAvailable}":                                       0,
	}
	if diff := cmp.Diff(want, series(t, e)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}

	// What is no longer in the status has no series.
	e.Set(Observation{}, v1alpha1.MetricsPipelineStatus{})
	for name := range series(t, e) {
		if !strings.HasPrefix(name, "rules{") {
			t.Errorf("an empty status has the series %s", name)
		}
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

// TestCounters begin at 0, so that the first increase can be seen, and go on without a pipeline.
func TestCounters(t *testing.T) {
	e := &Exporter{}
	e.Build("v1.2.3")
	before := everySeries(t, e)
	for _, phase := range Phases() {
		if value, exported := before[fmt.Sprintf("reconcile_errors_total{phase=%s}", phase)]; !exported || value != 0 {
			t.Errorf("errors of the phase %s: %v, %v", phase, value, exported)
		}
	}
	e.Failed(PhaseApply)
	e.Failed(PhaseApply)
	e.Repaired([]string{"Service metrics/usage-server", "Deployment metrics/usage-server", "Service metrics/rules-server"})
	e.Clear()
	after := everySeries(t, e)
	for name, want := range map[string]float64{
		"reconcile_errors_total{phase=apply}":                            2,
		"reconcile_errors_total{phase=read}":                             0,
		"drift_repairs_total{kind=Service}":                              2,
		"drift_repairs_total{kind=Deployment}":                           1,
		"drift_repairs_total{kind=ClusterRole}":                          0,
		"build_info{goversion=" + runtime.Version() + ",version=v1.2.3}": 1,
	} {
		if after[name] != want {
			t.Errorf("%s is %v, want %v", name, after[name], want)
		}
	}
}

// TestMetricsTable: what is exported is what the table of docs/metrics.md says, and named as Prometheus' conventions demand.
func TestMetricsTable(t *testing.T) {
	content, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(metricspipeline_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\| ([^|]+) \\|$").FindAllStringSubmatch(string(content), -1) {
		documented[row[1]] = strings.Join(row[2:], " | ")
	}
	registry := clientmetrics.NewPedanticRegistry()
	e := &Exporter{}
	e.Build("v1")
	o, status := statusOf()
	status.Certificates[0].Renews = ptr.To(metav1.NewTime(moment))
	status.Scrape.Targets = &v1alpha1.TargetCounts{Up: 1}
	outcomeOf(&o, usageServer).Desired = []string{"Deployment metrics/usage-server"}
	o.Autoscalers = failed()
	e.Set(o, status)
	registry.MustRegister(e)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("names: %v, %v", problems, err)
	}
	exported := map[string]string{}
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+label.GetName()+"`")
		}
		exported[family.GetName()] = strings.Join([]string{strings.ToLower(family.GetType().String()), strings.Join(labels, ", "), family.GetHelp()}, " | ")
	}
	if diff := cmp.Diff(documented, exported); diff != "" {
		t.Errorf("docs/metrics.md (-documented +exported):\n%s", diff)
	}
	for _, metric := range Metrics() {
		if _, is := exported[metric.Name]; !is {
			t.Errorf("%s is in the table and not exported", metric.Name)
		}
	}
}
