// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func (w *world) podMonitors(t *testing.T) []monitoringv1.PodMonitor {
	t.Helper()
	var list monitoringv1.PodMonitorList
	must(t, w.client.List(t.Context(), &list))
	return list.Items
}

// TestWhatAnAdministratorAllows is honored in the selected namespaces alone. Apps with the scheme https have a monitor of their own
// where it needs an object of the namespace, and only where there are some.
func TestWhatAnAdministratorAllows(t *testing.T) {
	shop := metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "shop"}}
	w := newWorld(t, append(append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) {
		s.Scrape.HonorLabels = &v1alpha1.HonorLabels{NamespaceSelector: shop}
		s.Scrape.BearerToken = &v1alpha1.ScrapeBearerToken{NamespaceSelector: shop, Secret: v1alpha1.KeyReference{Name: "metrics", Key: "token"}}
		s.Scrape.PodTargetLabels, s.Scrape.NativeSidecars = []v1alpha1.PodTargetLabel{"app"}, []v1alpha1.ContainerName{"istio-proxy"}
		s.Scrape.TLS = v1alpha1.ScrapeTLS{ServerName: "metrics.example.com"}
	})), namespaces("shop", "bank")...)...)
	w.seen(t)
	for _, namespace := range []string{"shop", "bank"} {
		must(t, w.services().Add(service(namespace, "http", annotated())))
		must(t, w.services().Add(service(namespace, "https", annotated("scheme", "https"))))
		must(t, w.pods().Add(pod(namespace, "http", annotated())))
	}
	w.reconcile(t, "shop", "bank")
	got := map[string]bool{}
	for _, monitor := range w.monitors(t) {
		for _, endpoint := range monitor.Spec.Endpoints {
			token := endpoint.Authorization != nil && endpoint.Authorization.Credentials.Name == "metrics" && endpoint.Authorization.Credentials.Key == "token"
			got[monitor.Namespace+"/"+monitor.Name] = token
			if endpoint.HonorLabels != (monitor.Namespace == "shop") || !slices.Equal(monitor.Spec.PodTargetLabels, []string{"app"}) {
				t.Errorf("%s/%s: honors labels: %v, labels of Pods %q", monitor.Namespace, monitor.Name, endpoint.HonorLabels, monitor.Spec.PodTargetLabels)
			}
			if hasTLS := endpoint.TLSConfig != nil && *endpoint.TLSConfig.ServerName == "metrics.example.com"; hasTLS != (token || monitor.Namespace == "bank") {
				t.Errorf("%s/%s: %+v", monitor.Namespace, monitor.Name, endpoint.TLSConfig)
			}
		}
	}
	want := map[string]bool{"shop/metricspipeline-annotated": false, "shop/metricspipeline-annotated.https": true, "bank/metricspipeline-annotated": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("monitors of Services (-want +got):\n%s", diff)
	}
	if pods := w.podMonitors(t); len(pods) != 2 {
		t.Errorf("%d monitors of Pods, of which none has the scheme https", len(pods))
	}

	// The last app with the scheme goes, and its monitor with it.
	must(t, w.services().Add(service("shop", "https", annotated())))
	if writes := w.reconcile(t, "shop"); !slices.Equal(writes, []string{"delete ServiceMonitor shop/metricspipeline-annotated.https"}) {
		t.Errorf("the last with the scheme: %q", writes)
	}
	must(t, w.pods().Add(pod("shop", "https", annotated("scheme", "https"))))
	if writes := w.reconcile(t, "shop"); !slices.Equal(writes, []string{"apply PodMonitor shop/metricspipeline-annotated.https"}) {
		t.Errorf("a Pod with the scheme: %q", writes)
	}
}

// TestAuthorityOfTargets: the authority is in the namespace of the app, so every namespace with the scheme has a monitor for it.
func TestAuthorityOfTargets(t *testing.T) {
	for name, ca := range map[string]v1alpha1.CertificateAuthority{
		"a ConfigMap": {ConfigMap: &v1alpha1.KeyReference{Name: "ca", Key: "ca.crt"}}, "a Secret": {Secret: &v1alpha1.KeyReference{Name: "ca", Key: "ca.crt"}}} {
		w := newWorld(t, append(append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) {
			s.Scrape.TLS.CA, s.Scrape.Granularity = &ca, v1alpha1.ScrapePerService
		})), namespaces("shop")...)...)
		w.seen(t)
		must(t, w.services().Add(service("shop", "http", annotated())))
		must(t, w.services().Add(service("shop", "https", annotated("scheme", "https"))))
		must(t, w.pods().Add(pod("shop", "https", annotated("scheme", "https"))))
		w.reconcile(t, "shop")
		var with []string
		for _, monitor := range w.monitors(t) {
			if tls := monitor.Spec.Endpoints[0].TLSConfig; tls != nil && (tls.CA.ConfigMap != nil) == (ca.ConfigMap != nil) && (tls.CA.Secret != nil) == (ca.Secret != nil) {
				with = append(with, monitor.Name)
			}
		}
		for _, monitor := range w.podMonitors(t) {
			if tls := monitor.Spec.PodMetricsEndpoints[0].TLSConfig; tls != nil {
				with = append(with, monitor.Name)
			}
		}
		if want := []string{"metricspipeline-annotated-https", "metricspipeline-annotated.https"}; !slices.Equal(with, want) {
			t.Errorf("%s: %q have the authority, want %q", name, with, want)
		}
	}
}

// TestUnreadableSelectors name their field.
func TestUnreadableSelectors(t *testing.T) {
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	for field, spec := range map[string]v1alpha1.ScrapeSpec{
		"spec.scrape.namespaceSelector":                 {NamespaceSelector: &bad},
		"spec.scrape.hostNetworkPods.namespaceSelector": {HostNetworkPods: &v1alpha1.HostNetworkPods{NamespaceSelector: bad}},
		"spec.scrape.honorLabels.namespaceSelector":     {HonorLabels: &v1alpha1.HonorLabels{NamespaceSelector: bad}},
		"spec.scrape.bearerToken.namespaceSelector":     {BearerToken: &v1alpha1.ScrapeBearerToken{NamespaceSelector: bad}},
	} {
		if problem := new(settings).selectors(spec); len(problem) < len(field) || problem[:len(field)] != field {
			t.Errorf("%s: %q", field, problem)
		}
	}
}

// TestListsAndQueriesOfPods cost a write when the first of their kind comes.
func TestListsAndQueriesOfPods(t *testing.T) {
	w := newWorld(t, append(append(crds(), everything(), pipeline()), namespaces("shop")...)...)
	w.seen(t)
	must(t, w.pods().Add(pod("shop", "a", annotated("port", "1"))))
	w.reconcile(t, "shop")
	for i, tc := range []struct {
		annotations map[string]string
		endpoints   int
	}{{annotated("port", "1,2"), 2}, {annotated("port", "3,4"), 2}, {annotated("path", "/m?x=1"), 3}, {annotated("param_x", "1"), 4}, {annotated("scrape-slow", "true"), 6}} {
		must(t, w.pods().Add(pod("shop", string(rune('b'+i)), tc.annotations)))
		w.reconcile(t, "shop")
		if got := w.podMonitors(t)[0].Spec.PodMetricsEndpoints; len(got) != tc.endpoints {
			t.Errorf("%d: %d endpoints, want %d", i, len(got), tc.endpoints)
		}
	}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: monitorName}, &monitoringv1.PodMonitor{}))
	if _, status := w.observe(t); status.Pods != 6 || status.RejectedTotal != 0 {
		t.Errorf("%+v", status)
	}
}
