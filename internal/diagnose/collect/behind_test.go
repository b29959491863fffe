// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

// TestMetricsOfAnotherService: an HPA scales web by a metric of Service queue, whose pods are others. What Prometheus scrapes of those
// counts, and not what it scrapes of web.
func TestMetricsOfAnotherService(t *testing.T) {
	annotated := func(s *corev1.Service) { s.Annotations = map[string]string{"prometheus.io/scrape": "true"} }
	queue := func(changes ...func(*corev1.Service)) *corev1.Service {
		s := service("queue", changes...)
		s.Labels, s.Spec.Selector = map[string]string{"app": "worker"}, map[string]string{"app": "worker"}
		return s
	}
	up := func(pod, value string) string { return `up{namespace="shop",pod="` + pod + `"}` + value }
	for name, test := range map[string]struct {
		described  string
		queue, web func(*corev1.Service)
		store      store
		want       diagnose.Scrape
		reason     string
	}{
		"its pods are scraped": {described: "queue", queue: annotated, store: store{up("worker-0", ""): {value: 1}},
			want:   diagnose.Scrape{Of: "Service queue", Known: true, Up: 1, Annotated: []string{"Service queue"}},
			reason: v1alpha1.AutoscalerRuleMissing},
		"its pods are down": {described: "queue", queue: annotated, store: store{up("worker-0", ""): {value: 0}},
			want:   diagnose.Scrape{Of: "Service queue", Known: true, Down: 1, Annotated: []string{"Service queue"}},
			reason: v1alpha1.AutoscalerScrapeDown},
		"only the HPA's own pods are scraped": {described: "queue", web: annotated, store: store{up("web-0", ""): {value: 1}},
			want: diagnose.Scrape{Of: "Service queue", Known: true}, reason: v1alpha1.AutoscalerAppNotAnnotated},
		"the HPA's own Service": {described: "web", web: annotated, store: store{up("web-0", ""): {value: 1}},
			want:   diagnose.Scrape{Known: true, Up: 1, Annotated: []string{"Service web"}},
			reason: v1alpha1.AutoscalerRuleMissing},
		"a Service that does not exist": {described: "gone", web: annotated, store: store{up("web-0", ""): {value: 1}},
			reason: v1alpha1.AutoscalerRuleMissing},
	} {
		t.Run(name, func(t *testing.T) {
			none := func(*corev1.Service) {}
			either := func(change func(*corev1.Service)) func(*corev1.Service) {
				if change == nil {
					return none
				}
				return change
			}
			w := newWorld(func(w *world) {
				w.hpa, w.store = hpa(objectMetric("depth", "v1", "Service", test.described)), test.store
				w.hpa.Status, w.pipeline.Spec.CustomMetrics.Rules = failing, nil
				w.objects = append(w.objects, service("web", either(test.web)), queue(either(test.queue)))
			})
			evidence := w.collect(t)
			got := evidence.Metrics[0].Scrape
			if test.want.Known {
				test.want.Prefix = "prometheus.io"
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			finding := diagnose.Examine(evidence).Chains[0].Finding
			if finding == nil || finding.Reason != test.reason || strings.Contains(finding.Message(), "Deployment web") {
				t.Errorf("found %+v, want %s, which is not about the pods of Deployment web", finding, test.reason)
			}
		})
	}
}
