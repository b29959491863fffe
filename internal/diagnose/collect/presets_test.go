// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/presets"
)

// TestPresetsAreFound: where no rule makes a metric, series of an ingress controller that name the HPA's object lead to the preset, and
// so does the metric's name. It takes no question more: the one that counts the series of controllers asks for the targets of the pods
// too. An Ingress has no pods, so that nothing but its controllers is asked for.
func TestPresetsAreFound(t *testing.T) {
	counted := func(namespace, ingress string) store {
		return store{`nginx_ingress_controller_requests{namespace="ingress-nginx",exported_namespace="` + namespace + `",ingress="` + ingress + `"}`: {value: 9, growth: 1}}
	}
	ingress := objectMetric("requests", "networking.k8s.io/v1", "Ingress", "web")
	for name, test := range map[string]struct {
		metric autoscalingv2.MetricSpec
		store  store
		want   []string
		// more is how many questions more there are than without presets.
		more int
	}{
		"series that name the Ingress":            {ingress, counted(shop, "web"), []string{"ingress-nginx"}, 1},
		"another Ingress":                         {metric: ingress, store: counted(shop, "api"), more: 1},
		"one of another namespace":                {metric: ingress, store: counted("bank", "web"), more: 1},
		"no series":                               {metric: ingress, store: store{}, more: 1},
		"a Service of that name":                  {metric: objectMetric("requests", "v1", "Service", "web"), store: counted(shop, "web")},
		"the name of a preset's metric":           {objectMetric("traefik_service_requests_per_second", "v1", "Service", "web"), store{}, []string{"traefik"}, 0},
		"the name of two presets' metric":         {objectMetric("haproxy_backend_http_requests_per_second", "v1", "Service", "web"), store{}, []string{"haproxy", "haproxy-ingress"}, 0},
		"the name of the series":                  {objectMetric("nginx_ingress_controller_requests", "networking.k8s.io/v1", "Ingress", "web"), counted(shop, "web"), []string{"ingress-nginx"}, 1},
		"that name, of pods":                      {metric: podsMetric("traefik_service_requests_per_second", nil), store: store{}},
		"an Ingress that no object can be called": {metric: objectMetric("requests", "networking.k8s.io/v1", "Ingress", `.*`), store: counted(shop, "web"), more: 1},
	} {
		t.Run(name, func(t *testing.T) {
			questions := func() (int, diagnose.Metric) {
				w := newWorld(func(w *world) {
					w.hpa, w.store, w.pipeline.Spec.CustomMetrics.Rules = hpa(test.metric), test.store, nil
					w.objects = append(w.objects, service("web"))
				})
				server := w.store.serve(t)
				w.asker = server.asker(t)
				metric := w.collect(t).Metrics[0]
				return len(server.asked), metric
			}
			asked, metric := questions()
			if !slices.Equal(metric.Presets, test.want) || metric.FromController != (len(test.want) > 0) {
				t.Errorf("presets %q, of a controller: %t; want %q", metric.Presets, metric.FromController, test.want)
			}
			table := presets.All
			presets.All = nil
			defer func() { presets.All = table }()
			if without, _ := questions(); asked != without+test.more {
				t.Errorf("%d questions, want %d more than the %d without presets", asked, test.more, without)
			}
		})
	}
}

// TestRuleOfOneLabel: a rule that finds the object by a label with both names is measured by its own query.
func TestRuleOfOneLabel(t *testing.T) {
	traefik, _ := presets.Of("traefik")
	nginx, _ := presets.Of("ingress-nginx")
	series := store{
		`traefik_service_requests_total{namespace="traefik",service="shop-web-80@kubernetes"}`:                         {value: 9, growth: 1},
		`traefik_service_requests_total{namespace="traefik",service="bank-web-80@kubernetes"}`:                         {value: 9, growth: 1},
		`nginx_ingress_controller_requests{namespace="ingress-nginx",exported_namespace="shop",ingress="web",path=""}`: {value: 9, growth: 1},
	}
	for name, test := range map[string]struct {
		metric autoscalingv2.MetricSpec
		want   diagnose.Series
	}{
		"found by the query": {objectMetric(traefik.Metric, "v1", "Service", "web"),
			diagnose.Series{ByQuery: true, Total: 2, InNamespace: 2, ForPods: -1, Samples: 1}},
		"another Service": {objectMetric(traefik.Metric, "v1", "Service", "api"),
			diagnose.Series{ByQuery: true, Total: 2, InNamespace: 2, ForPods: -1, Samples: 0}},
		"what no Service can be called": {objectMetric(traefik.Metric, "v1", "Service", "web_"),
			diagnose.Series{ByQuery: true, Total: 2, InNamespace: 2, ForPods: -1, Samples: -1}},
		"by two labels": {objectMetric(nginx.Metric, "networking.k8s.io/v1", "Ingress", "web"),
			diagnose.Series{NamespaceLabel: "exported_namespace", ObjectLabel: "ingress", Total: 1, InNamespace: 1, ForPods: 1, Samples: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(func(w *world) {
				w.hpa, w.store = hpa(test.metric), series
				w.pipeline.Spec.CustomMetrics.Rules = append(w.pipeline.Spec.CustomMetrics.Rules,
					traefik.Rule("traefik", "", 2*time.Minute), nginx.Rule("ingress-nginx", "", 2*time.Minute))
				w.pipeline.Status.Rules = []v1alpha1.RuleStatus{{API: "custom.metrics.k8s.io", ID: "traefik-requests", State: v1alpha1.RuleInUse}}
			})
			metric := w.collect(t).Metrics[0]
			got := metric.Series
			if got.ByQuery != test.want.ByQuery || got.Total != test.want.Total || got.InNamespace != test.want.InNamespace ||
				got.ForPods != test.want.ForPods || got.Samples != test.want.Samples || got.NamespaceLabel != test.want.NamespaceLabel ||
				got.ObjectLabel != test.want.ObjectLabel || !metric.FromController || len(metric.Presets) > 0 {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
			for _, query := range got.Queries {
				if strings.Contains(query, "bank") || strings.Contains(query, "web_") {
					t.Errorf("it asks %s", query)
				}
			}
		})
	}
}
