// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/internal/prometheus"
)

func TestTargets(t *testing.T) {
	scraped := func(up, read, stored float64) store {
		return store{`up{namespace="shop",pod="web-0"}`: {value: up}, `scrape_samples_scraped{namespace="shop",pod="web-0"}`: {value: read},
			`scrape_samples_post_metric_relabeling{namespace="shop",pod="web-0"}`: {value: stored}}
	}
	for name, test := range map[string]struct {
		store    store
		up, down int
		dropped  string
	}{
		"none":                        {},
		"up":                          {store: scraped(1, 5, 5), up: 1},
		"down":                        {store: scraped(0, 0, 0), down: 1},
		"of another namespace":        {store: store{`up{namespace="other",pod="web-0"}`: {value: 1}}},
		"beyond a limit":              {store: scraped(0, 5, 0), down: 1, dropped: "it reads samples of 1 of the targets and stores none"},
		"dropped by relabelings":      {store: scraped(1, 5, 0), up: 1, dropped: "metricRelabelings drop all samples"},
		"by the labels of kubernetes": {store: store{`up{kubernetes_namespace="shop",kubernetes_pod_name="web-1"}`: {value: 1}}, up: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(func(w *world) {
				w.store, w.pipeline.Spec.CustomMetrics.Rules = test.store, nil // Also without a rule.
				w.objects = append(w.objects, service("web"))
			})
			scrape := w.collect(t).Metrics[0].Scrape
			if scrape.Up != test.up || scrape.Down != test.down || !strings.Contains(scrape.Dropped, test.dropped) ||
				(scrape.Dropped == "") != (test.dropped == "") || !scrape.Known {
				t.Errorf("%+v", scrape)
			}
		})
	}
}

// Why a target is down only who scrapes knows.
func TestErrorsOfTargets(t *testing.T) {
	var asked []string
	why := "refused"
	w := newWorld(func(w *world) {
		w.store = store{`up{namespace="shop",pod="web-0"}`: {value: 0}, `scrape_samples_scraped{namespace="shop",pod="web-0"}`: {value: 5}}
		w.objects = append(w.objects, &monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"},
			Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
				PodMetricsEndpoints: []monitoringv1.PodMetricsEndpoint{{}, {}}}})
		w.change = func(s *Sources) {
			s.Targets = func(_ context.Context, pool string) ([]prometheus.PodTarget, error) {
				asked = append(asked, pool)
				return map[string][]prometheus.PodTarget{"podMonitor/shop/web/1": {{Pod: "worker-0", Down: true, Error: "of others"},
					{Pod: "web-0", URL: "http://10.0.0.1:80/metrics", Down: true, Error: why}}}[pool], nil
			}
		}
	})
	scrape := w.collect(t).Metrics[0].Scrape
	if scrape.Error != "refused" || scrape.Dropped != "" || scrape.URL != "http://10.0.0.1:80/metrics" || !slices.Equal(asked, []string{"podMonitor/shop/web/0", "podMonitor/shop/web/1"}) {
		t.Errorf("%+v, asked %v", scrape, asked)
	}
	if why = "sample limit exceeded"; w.collect(t).Metrics[0].Scrape.Dropped != why {
		t.Errorf("%s is not said", why)
	}
	asked, w.store = nil, store{`up{namespace="shop",pod="web-0"}`: {value: 1}}
	if w.collect(t); asked != nil {
		t.Errorf("asked %v, and nothing is down", asked)
	}
}

// TestQuestionsAboutTargets: all the apps of one HPA share the questions about scrape pools, the target's own first, and after one without
// an answer there is no other.
func TestQuestionsAboutTargets(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want []string
	}{
		"answered": {nil, []string{"podMonitor/shop/web/0", "podMonitor/shop/web/1", "podMonitor/shop/app-0/0", "podMonitor/shop/app-0/1"}},
		"not":      {context.DeadlineExceeded, []string{"podMonitor/shop/web/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			w := newWorld(func(w *world) {
				w.hpa = hpa(objectMetric("depth", "v1", "Service", "app-0"), objectMetric("depth", "v1", "Service", "app-1"), podsMetric("depth", nil))
				w.store = store{`up{namespace="shop",pod="web-0"}`: {}}
				for _, app := range []string{"app-0", "app-1"} {
					w.objects = append(w.objects, ofApp(app, app), pod(app, labeled("app", app)))
					w.store[`up{namespace="shop",pod="`+app+`"}`] = sample{}
				}
				for _, app := range []string{"web", "app-0", "app-1"} {
					w.objects = append(w.objects, &monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: app},
						Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
							PodMetricsEndpoints: []monitoringv1.PodMetricsEndpoint{{}, {}}}})
				}
				w.change = func(s *Sources) {
					s.Targets = func(_ context.Context, pool string) ([]prometheus.PodTarget, error) {
						asked = append(asked, pool)
						return nil, test.err
					}
				}
			})
			for _, metric := range w.collect(t).Metrics {
				if metric.Scrape.Down != 1 {
					t.Errorf("%+v", metric.Scrape)
				}
			}
			if !slices.Equal(asked, test.want) {
				t.Errorf("asked %q, want %q", asked, test.want)
			}
		})
	}
}
