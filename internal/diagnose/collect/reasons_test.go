// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"encoding/json"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

// failing is the status that the HPA controller gives an HPA without a number.
var failing = autoscalingv2.HorizontalPodAutoscalerStatus{CurrentMetrics: []autoscalingv2.MetricStatus{{}},
	Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
		{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "SucceededGetScale"},
		{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionFalse, Reason: "FailedGetPodsMetric", Message: "unable to get metric"}}}

// What is collected of a broken chain is what the diagnosis names it by.
func TestReasons(t *testing.T) {
	growing := sample{value: 1, growth: 1}
	up := func(s store) store {
		s[`up{namespace="shop",pod="web-0"}`], s[`up{namespace="shop",pod="web-1"}`] = sample{value: 1}, sample{value: 1}
		return s
	}
	works := up(store{`http_requests_total{namespace="shop",pod="web-0"}`: growing})
	metric := func(metric autoscalingv2.MetricSpec) func(*world) {
		return func(w *world) { w.hpa.Spec.Metrics[0] = metric }
	}
	query := func(query string) func(*world) {
		return func(w *world) { w.pipeline.Spec.CustomMetrics.Rules[0].MetricsQuery = query }
	}
	annotated := func(w *world) {
		w.objects = append(w.objects, service("web", func(s *corev1.Service) { s.Annotations = map[string]string{"prometheus.io/scrape": "true"} }))
	}
	unselected := func(w *world) {
		w.pipeline.Status.Prometheus = &v1alpha1.PrometheusStatus{Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}
		w.objects = append(w.objects, service("web"),
			&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}},
			&monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"},
				Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}})
	}
	for want, test := range map[string]struct {
		change func(*world)
		store  store
	}{
		v1alpha1.AutoscalerTargetKindNotServed: {change: func(w *world) { w.hpa.Spec.ScaleTargetRef.Kind = "Deploiment" }},
		v1alpha1.AutoscalerTargetMissing: {change: func(w *world) {
			w.scaleErr = apierrors.NewNotFound(schema.GroupResource{Group: "apps", Resource: "deployments"}, "web")
		}},
		v1alpha1.AutoscalerObjectKindNotServed: {change: metric(objectMetric("http_requests_per_second", "extensions/v1beta1", "Ingress", "web"))},
		v1alpha1.AutoscalerAPITaken: {change: func(w *world) {
			metric(externalMetric("s0-prometheus", map[string]string{scaledObjectLabel: "web"}))(w)
			w.hpa.Labels, w.objects = map[string]string{scaledObjectLabel: "web"}, append(w.objects, other(scaledObjects, "web", map[string]any{}))
		}},
		v1alpha1.AutoscalerPodsMissing: {change: func(w *world) { w.objects = w.objects[:1] }},
		v1alpha1.AutoscalerAPIForeign: {change: func(w *world) {
			w.pipeline.Status.APIServices[1].Owner, w.pipeline.Status.APIServices[1].Backend = "helm", ""
		}},
		v1alpha1.AutoscalerRuleOfOthers: {store: works, change: metric(objectMetric("http_requests_per_second", "v1", "Service", "web"))},
		v1alpha1.AutoscalerRuleMissing:  {store: up(store{}), change: metric(podsMetric("jobs_waiting", nil))},
		v1alpha1.AutoscalerDeriveDisabled: {store: works, change: func(w *world) {
			w.pipeline.Spec.CustomMetrics.Rules, w.pipeline.Spec.CustomMetrics.Derive = nil, v1alpha1.DeriveDisabled
		}},
		v1alpha1.AutoscalerDeriveQuantile:            {store: up(store{}), change: metric(podsMetric("latency_p99", nil))},
		v1alpha1.AutoscalerSeriesMissing:             {store: up(store{})},
		v1alpha1.AutoscalerSeriesNotInNamespace:      {store: up(store{`http_requests_total{namespace="other",pod="web-0"}`: growing})},
		v1alpha1.AutoscalerSeriesNamespaceLabel:      {store: up(store{`http_requests_total{namespace="m",exported_namespace="shop",pod="web-0"}`: growing})},
		v1alpha1.AutoscalerSeriesObjectLabel:         {store: up(store{`http_requests_total{namespace="shop",pod="exporter",exported_pod="web-0"}`: growing})},
		v1alpha1.AutoscalerSeriesWithoutObject:       {store: up(store{`http_requests_total{namespace="shop"}`: growing})},
		v1alpha1.AutoscalerSeriesOfOthers:            {store: up(store{`http_requests_total{namespace="shop",pod="other"}`: growing})},
		v1alpha1.AutoscalerSeriesStale:               {store: up(store{`http_requests_total{namespace="shop",pod="web-0"}`: {value: 1, ended: 1200e9}})},
		v1alpha1.AutoscalerScrapeDown:                {change: annotated, store: store{`up{namespace="shop",pod="web-0"}`: {value: 0}}},
		v1alpha1.AutoscalerNotScraped:                {change: annotated, store: store{}},
		v1alpha1.AutoscalerAppNotAnnotated:           {store: store{}},
		v1alpha1.AutoscalerMonitorNotSelected:        {change: unselected, store: store{}},
		v1alpha1.AutoscalerMetricSelectorMatchesNone: {store: works, change: metric(podsMetric("http_requests_per_second", map[string]string{"verb": "GET"}))},
		v1alpha1.AutoscalerValueNaN:                  {store: works, change: query("sum(<<.Series>>{<<.LabelMatchers>>} * 0) by (<<.GroupBy>>) / 0")},
		v1alpha1.AutoscalerValueNotPerPod:            {store: works, change: query("sum(<<.Series>>{<<.LabelMatchers>>})")},
		v1alpha1.AutoscalerQueryFailed: {store: works, change: query(
			"sum(<<.Series>>{<<.LabelMatchers>>}) by (pod) * on () group_left sum(<<.Series>>{<<.LabelMatchers>>} or up{<<.LabelMatchers>>}) by (__name__)")},
		v1alpha1.AutoscalerValueMissing: {store: works, change: query("sum(<<.Series>>{<<.LabelMatchers>>} > 1e9) by (<<.GroupBy>>)")},
		v1alpha1.AutoscalerRuleRejected: {store: works, change: func(w *world) {
			w.pipeline.Status.Rules = []v1alpha1.RuleStatus{{API: "custom.metrics.k8s.io", ID: "requests", State: v1alpha1.RuleRejected, Message: "it is bad"}}
		}},
		v1alpha1.AutoscalerRuleDeriving: {store: up(store{`http_requests_total{namespace="shop",pod="web-5d7f9-abcde"}`: growing}), change: func(w *world) {
			w.pipeline.Spec.CustomMetrics.Rules = nil
		}},
		v1alpha1.AutoscalerSamplesDropped: {change: annotated, store: store{`up{namespace="shop",pod="web-0"}`: {value: 0}, `scrape_samples_scraped{namespace="shop",pod="web-0"}`: {value: 9}}},
		v1alpha1.AutoscalerAppRejected: {store: store{}, change: func(w *world) {
			w.objects = append(w.objects, service("web", func(s *corev1.Service) {
				s.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "no port"}
			}))
		}},
		v1alpha1.AutoscalerNamespaceNotScraped: {store: store{}, change: func(w *world) {
			annotated(w)
			w.objects[0].SetLabels(map[string]string{v1alpha1.ScrapeOptOutLabel: "false"})
		}},
		v1alpha1.AutoscalerUnexplained: {store: works},
	} {
		t.Run(want, func(t *testing.T) {
			w := newWorld(func(w *world) { w.store, w.hpa.Status = test.store, failing })
			if test.change != nil {
				test.change(w)
			}
			evidence := w.collect(t)
			finding := diagnose.Examine(evidence).Chains[0].Finding
			if finding == nil || finding.Reason != want {
				t.Errorf("found %+v of %+v, unseen %v", finding, evidence.Metrics, evidence.Unseen)
			}
		})
	}
}

// TestSeriesElsewhereAreCounted: how many series other namespaces have is for the pipeline's status; what is said of the HPA, to its
// owner, has no word of it.
func TestSeriesElsewhereAreCounted(t *testing.T) {
	growing := sample{value: 1, growth: 1}
	for name, test := range map[string]struct {
		store store
		want  int
	}{
		"elsewhere alone": {want: 2, store: store{
			`http_requests_total{namespace="foreign-a",pod="web-0"}`: growing, `http_requests_total{namespace="foreign-b",pod="web-0"}`: growing}},
		"in its own namespace too": {store: store{
			`http_requests_total{namespace="foreign-a",pod="web-0"}`: growing, `http_requests_total{namespace="shop",pod="api-0"}`: growing}},
		"nowhere": {store: store{}},
	} {
		t.Run(name, func(t *testing.T) {
			test.store[`up{namespace="shop",pod="web-0"}`] = sample{value: 1}
			w := newWorld(func(w *world) { w.store, w.hpa.Status = test.store, failing })
			finding := diagnose.Examine(w.collect(t)).Chains[0].Finding
			if finding == nil || finding.Elsewhere != test.want {
				t.Fatalf("found %+v, want %d series elsewhere", finding, test.want)
			}
			if said, err := json.Marshal(finding); err != nil || strings.Contains(string(said), "foreign") ||
				strings.Contains(string(said), "lsewhere") {
				t.Errorf("what is said of the HPA: %s, %v", said, err)
			}
		})
	}
}
