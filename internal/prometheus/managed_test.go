// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// managedObject is the Prometheus object that the operator has made.
func managedObject() monitoringv1.Prometheus {
	object := monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: ManagedObject,
		Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}}}
	object.Spec.ScrapeInterval = "7s"
	object.Spec.Web = &monitoringv1.PrometheusWebSpec{WebConfigFileFields: monitoringv1.WebConfigFileFields{
		TLSConfig: &monitoringv1.WebTLSConfig{}}}
	return object
}

// TestManaged: the Prometheus that the operator runs is the source where the spec wants it, in the form that it has; where the spec does
// not any more, only while there is no other.
func TestManaged(t *testing.T) {
	wanted := v1alpha1.PrometheusSpec{Managed: &v1alpha1.ManagedPrometheusSpec{ScrapeInterval: "9s"}}
	theirs := monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	home := Managed{Namespace: "metrics"}
	running, deployed := home, home
	running.Exists, deployed.Exists, deployed.Plain, deployed.Revision = true, true, true, "uid/1/1"
	type want struct {
		URL, Origin, Object           string
		Interval                      time.Duration
		Managed, Abandoned, Configs   bool
		Starting, NotFound, Monitored bool
	}
	const service, operated = "https://managed-prometheus.metrics.svc:9090", "https://prometheus-operated.metrics.svc:9090"
	for name, tc := range map[string]struct {
		spec    v1alpha1.PrometheusSpec
		objects Objects
		want    want
	}{
		"a Deployment": {wanted, Objects{Managed: deployed}, want{URL: service, Origin: ManagedField,
			Object: "Deployment metrics/managed-prometheus", Interval: 9 * time.Second, Managed: true, Configs: true}},
		"an object": {wanted, Objects{Served: true, Managed: running, Prometheuses: []monitoringv1.Prometheus{theirs, managedObject()}},
			want{URL: operated, Origin: ManagedField, Object: "Prometheus metrics/metricspipeline", Interval: 7 * time.Second, Managed: true,
				Monitored: true}},
		"an object that is not made yet": {wanted, Objects{Served: true, Managed: home}, want{Starting: true, NotFound: true}},
		"a Deployment that is not wanted any more": {v1alpha1.PrometheusSpec{}, Objects{Managed: deployed}, want{URL: service,
			Origin: ManagedField, Object: "Deployment metrics/managed-prometheus", Interval: 30 * time.Second, Managed: true, Abandoned: true,
			Configs: true}},
		"an object that is not wanted any more": {v1alpha1.PrometheusSpec{},
			Objects{Served: true, Managed: running, Prometheuses: []monitoringv1.Prometheus{managedObject()}},
			want{URL: operated, Origin: ManagedField, Object: "Prometheus metrics/metricspipeline", Interval: 7 * time.Second, Managed: true,
				Abandoned: true, Monitored: true}},
		"not wanted any more, and there is another": {v1alpha1.PrometheusSpec{},
			Objects{Served: true, Managed: running, Prometheuses: []monitoringv1.Prometheus{theirs, managedObject()}},
			want{URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s", Object: "Prometheus monitoring/k8s",
				Interval: 30 * time.Second, Monitored: true}},
		"not wanted, and nothing there": {v1alpha1.PrometheusSpec{}, Objects{Managed: home}, want{NotFound: true}},
		"a URL goes first": {v1alpha1.PrometheusSpec{URL: "http://p"}, Objects{Managed: deployed},
			want{URL: "http://p", Origin: "spec.prometheus.url"}},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Resolve(tc.spec, tc.objects, nil)
			var notFound *NotFoundError
			got := want{URL: target.URL, Origin: target.Origin, Object: target.Object, Interval: target.ScrapeInterval, Managed: target.Managed,
				Abandoned: target.Abandoned, Configs: target.ScrapeConfigs, NotFound: errors.As(err, &notFound),
				Monitored: target.ServiceMonitors != nil}
			got.Starting = got.NotFound && notFound.Starting
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%v", diff, err)
			}
			if target.Managed && target.Chosen != nil {
				t.Error("the operator's own is nobody's choice")
			}
		})
	}
}

// TestManagedNamespace: the URL of the operator's own Deployment alone has one.
func TestManagedNamespace(t *testing.T) {
	for base, want := range map[string]string{
		Managed{Namespace: "metrics"}.url():                              "metrics",
		"https://managed-prometheus.metrics.svc:9090/prefix":             "",
		"https://managed-prometheus.metrics.svc.cluster.local:9090":      "",
		"http://managed-prometheus.metrics.svc:9090":                     "",
		"https://prometheus-operated.metrics.svc:9090":                   "",
		"https://managed-prometheus.metrics.svc:9090.example.com:9090":   "",
		"https://managed-prometheus.metrics.svc:9090@thanos.example.com": "",
		"": "",
	} {
		if got := ManagedNamespace(base); got != want {
			t.Errorf("%q: got %q, want %q", base, got, want)
		}
	}
}

// TestShards: every namespace has one ConfigMap, which stays.
func TestShards(t *testing.T) {
	if got := ShardName(ShardOf("shop")); got != "managed-prometheus-scrape-1" {
		t.Errorf("namespace shop is in %s", got)
	}
	used := map[int]bool{}
	for _, namespace := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "default", "shop", "bank"} {
		used[ShardOf(namespace)] = true
	}
	if len(used) < 4 {
		t.Errorf("%d of %d are in use", len(used), Shards)
	}
}
