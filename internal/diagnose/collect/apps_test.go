// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

func TestAPI(t *testing.T) {
	custom := func(changes ...func(*v1alpha1.APIServiceStatus)) func(*world) {
		return func(w *world) {
			w.pipeline.Spec.CustomMetrics.Policy = v1alpha1.PolicyObserve
			w.pipeline.Status.APIServices = nil
			for _, change := range changes {
				status := v1alpha1.APIServiceStatus{Group: "custom.metrics.k8s.io", Available: metav1.ConditionUnknown, Reason: "NoRules"}
				change(&status)
				w.pipeline.Status.APIServices = append(w.pipeline.Status.APIServices, status)
			}
		}
	}
	absent := func(*v1alpha1.APIServiceStatus) {}
	theirs := func(s *v1alpha1.APIServiceStatus) {
		s.Owner, s.Available, s.Reason = "helm", metav1.ConditionTrue, "Passed"
	}
	broken := func(s *v1alpha1.APIServiceStatus) {
		s.Owner, s.Backend, s.Available, s.Reason, s.Message = "metricspipeline", "adapter", metav1.ConditionFalse, "MissingEndpoints", "no endpoints"
	}
	for name, test := range map[string]struct {
		change func(*world)
		want   diagnose.API
	}{
		"not registered":                        {change: custom(absent), want: diagnose.API{Policy: "Observe", Reason: "NoRules"}},
		"another's":                             {change: custom(theirs), want: diagnose.API{Policy: "Observe", Registered: true, Owner: "helm", Available: true, Reason: "Passed"}},
		"not available":                         {change: custom(broken), want: diagnose.API{Policy: "Observe", Registered: true, Ours: true, Owner: "metricspipeline", Backend: "adapter", Reason: "MissingEndpoints", Message: "no endpoints"}},
		"available in the second version alone": {change: custom(broken, theirs), want: diagnose.API{Policy: "Observe", Registered: true, Owner: "helm", Available: true, Reason: "Passed"}},
		"no pipeline":                           {change: func(w *world) { w.pipeline = nil }, want: diagnose.API{NoPipeline: true}},
		"no pipeline, and another's": {change: func(w *world) {
			w.pipeline = nil
			w.objects = append(w.objects, &apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: "v1beta1.custom.metrics.k8s.io"},
				Spec:   apiregv1.APIServiceSpec{Service: &apiregv1.ServiceReference{Namespace: "datadog", Name: "agent"}},
				Status: apiregv1.APIServiceStatus{Conditions: []apiregv1.APIServiceCondition{{Type: apiregv1.Available, Status: apiregv1.ConditionTrue, Reason: "Passed"}}}})
		}, want: diagnose.API{NoPipeline: true, Registered: true, Owner: "Service datadog/agent", Available: true, Reason: "Passed"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Group = "custom.metrics.k8s.io"
			if diff := cmp.Diff(test.want, newWorld(test.change).collect(t).Metrics[0].API); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestApps(t *testing.T) {
	annotated := func(values ...string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			s.Annotations = map[string]string{"prometheus.io/scrape": "true"}
			for i := 0; i+1 < len(values); i += 2 {
				s.Annotations["prometheus.io/"+values[i]] = values[i+1]
			}
		}
	}
	selecting := func(name string, labels, selector map[string]string) client.Object {
		return &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: name, Labels: labels},
			Spec: monitoringv1.ServiceMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: selector}}}
	}
	prometheusSelecting := func(labels map[string]string) func(*world) {
		return func(w *world) {
			w.pipeline.Status.Prometheus = &v1alpha1.PrometheusStatus{Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}
			w.objects = append(w.objects, &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"},
				Spec: monitoringv1.PrometheusSpec{CommonPrometheusFields: monitoringv1.CommonPrometheusFields{
					ServiceMonitorSelector: &metav1.LabelSelector{MatchLabels: labels}, ServiceMonitorNamespaceSelector: &metav1.LabelSelector{}}}})
		}
	}
	with := func(objects ...client.Object) func(*world) {
		return func(w *world) { w.objects = append(w.objects, objects...) }
	}
	for name, test := range map[string]struct {
		changes []func(*world)
		want    diagnose.Scrape
	}{
		"no Service": {want: diagnose.Scrape{}},
		"a Service that is not annotated, and one of other pods": {changes: []func(*world){with(service("web"), service("worker", annotated(), func(s *corev1.Service) {
			s.Spec.Selector = map[string]string{"app": "worker"}
		}))}},
		"an annotated Service": {changes: []func(*world){with(service("web", annotated()))}, want: diagnose.Scrape{Annotated: []string{"Service web"}}},
		"an annotated Pod": {changes: []func(*world){with(pod("web-2", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"prometheus.io/scrape": "true"}
		}))}, want: diagnose.Scrape{Annotated: []string{"Pod web-2"}}},
		"annotations of Services do not count": {changes: []func(*world){with(service("web", annotated())), func(w *world) {
			w.pipeline.Spec.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapePods}
		}}},
		"another prefix": {changes: []func(*world){with(service("web", annotated())), func(w *world) {
			w.pipeline.Spec.Scrape.AnnotationPrefix = "example.com"
		}}, want: diagnose.Scrape{Prefix: "example.com"}},
		"a rejected Service": {changes: []func(*world){with(service("web", annotated("port", "no port")))},
			want: diagnose.Scrape{Annotated: []string{"Service web"}, Rejected: "annotation prometheus.io/port"}},
		"what the status says": {changes: []func(*world){with(service("web", annotated())), func(w *world) {
			w.pipeline.Status.Scrape = &v1alpha1.ScrapeStatus{
				Rejected:   []v1alpha1.RejectedApp{{Kind: "Service", Namespace: "other", Name: "web", Reason: "of others"}, {Kind: "Service", Namespace: shop, Name: "web", Reason: "host network"}},
				Down:       []v1alpha1.DownApp{{Kind: "Service", Namespace: "other", Name: "web", Error: "of others"}, {Kind: "Service", Namespace: shop, Name: "web", Error: "connection refused"}},
				NotScraped: []v1alpha1.NotScrapedNamespace{{Namespace: "other", Message: "of others"}, {Namespace: shop, Message: "a quota"}}}
		}}, want: diagnose.Scrape{Annotated: []string{"Service web"}, Rejected: "host network", Error: "connection refused", NamespaceNotScraped: "a quota"}},
		"a namespace that opts out": {changes: []func(*world){func(w *world) {
			w.objects[0].SetLabels(map[string]string{v1alpha1.ScrapeOptOutLabel: "false"})
		}}, want: diagnose.Scrape{NamespaceNotScraped: "Namespace shop has the label metricspipeline.io/scrape: false"}},
		"a namespace that is not selected": {changes: []func(*world){func(w *world) {
			w.pipeline.Spec.Scrape.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
		}}, want: diagnose.Scrape{NamespaceNotScraped: `spec.scrape.namespaceSelector "team=a" of MetricsPipeline default excludes Namespace shop`}},
		"a monitor that is selected, and one of other Services": {changes: []func(*world){prometheusSelecting(map[string]string{"release": "x"}),
			with(service("web"), selecting("web", map[string]string{"release": "x"}, map[string]string{"app": "web"}), selecting("other", nil, map[string]string{"app": "other"}))},
			want: diagnose.Scrape{Monitors: []string{"ServiceMonitor web"}}},
		"a monitor that is not selected": {changes: []func(*world){prometheusSelecting(map[string]string{"release": "x"}),
			with(service("web"), selecting("web", nil, map[string]string{"app": "web"}))},
			want: diagnose.Scrape{Monitors: []string{"ServiceMonitor web"}, Unselected: []string{"ServiceMonitor web"},
				Selector: `serviceMonitorSelector "release=x"`}},
		"the operator's own monitor does not select what is not annotated": {changes: []func(*world){
			with(service("web"), selecting("metricspipeline", map[string]string{v1alpha1.ManagedLabel: "default"}, nil))}},
		"the operator's own monitor": {changes: []func(*world){
			with(service("web", annotated()), selecting("metricspipeline", map[string]string{v1alpha1.ManagedLabel: "default"}, nil))},
			want: diagnose.Scrape{Annotated: []string{"Service web"}, Monitors: []string{"ServiceMonitor metricspipeline"}}},
		"a PodMonitor": {changes: []func(*world){with(&monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"},
			Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}})},
			want: diagnose.Scrape{Monitors: []string{"PodMonitor web"}}},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := newWorld(test.changes...).collect(t)
			test.want.Known = true
			if test.want.Prefix == "" {
				test.want.Prefix = "prometheus.io"
			}
			begins := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Rejected" },
				cmp.Comparer(func(a, b string) bool {
					return (a == "") == (b == "") && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
				}))
			if diff := cmp.Diff(test.want, evidence.Metrics[0].Scrape, begins, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if len(evidence.Unseen) > 0 {
				t.Error(evidence.Unseen)
			}
		})
	}
}
