// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// pipeline is one with the default spec.
func pipeline(changes ...func(*v1alpha1.MetricsPipelineSpec)) *v1alpha1.MetricsPipeline {
	p := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: "pipeline"}}
	p.Spec.Scrape = v1alpha1.ScrapeSpec{Targets: []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices, v1alpha1.ScrapePods},
		Granularity: v1alpha1.ScrapePerNamespace, AnnotationPrefix: "prometheus.io",
		Limits: v1alpha1.ScrapeLimits{Samples: ptr.To[int64](50000)}}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

func TestSettings(t *testing.T) {
	labeled := func(set map[string]string) func(*monitoringv1.PrometheusSpec) {
		return func(s *monitoringv1.PrometheusSpec) {
			s.ServiceMonitorSelector = &metav1.LabelSelector{MatchLabels: set}
			s.PodMonitorSelector = &metav1.LabelSelector{MatchLabels: set}
		}
	}
	scrapes := func(interval monitoringv1.Duration) func(*monitoringv1.PrometheusSpec) {
		return func(s *monitoringv1.PrometheusSpec) { s.ScrapeInterval = interval }
	}
	agentRef := &v1alpha1.PrometheusReference{Kind: v1alpha1.KindPrometheusAgent, Namespace: "monitoring", Name: "agent"}
	onNodes := func(s *monitoringv1alpha1.PrometheusAgentSpec) {
		s.Mode, s.ServiceMonitorSelector = ptr.To(monitoringv1alpha1.DaemonSetPrometheusAgentMode), nil
	}
	second := everything()
	second.Name = "other"
	for name, tc := range map[string]struct {
		objects     []client.Object
		spec        func(*v1alpha1.MetricsPipelineSpec)
		met         bool
		reason      string
		says        string
		retain, off bool
	}{
		"everything is there":   {objects: append(crds(), everything()), met: true, reason: "Selected", says: "monitoring/k8s"},
		"no CRDs":               {reason: "CRDsMissing", says: "install prometheus-operator", retain: true},
		"no CRD of PodMonitors": {objects: append(slices.Delete(crds(), 1, 2), everything()), reason: "CRDsMissing", retain: true},
		"off": {objects: append(crds(), everything()), spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.Targets = nil },
			met: true, reason: "ScrapeOff", off: true},
		"off without CRDs": {spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.Targets = nil }, met: true, reason: "ScrapeOff", retain: true, off: true},
		"no Prometheus":    {objects: crds(), met: true, reason: "SelectorsUnknown", says: "if it selects them by labels, set those in spec.scrape.labels. A Prometheus"},
		"no Prometheus, and labels": {objects: crds(), met: true, reason: "SelectorsUnknown", says: "they carry spec.scrape.labels",
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.Labels = map[string]v1alpha1.LabelValue{"team": "web"} }},
		"not even its CRD": {objects: slices.Delete(crds(), 2, 3), met: true, reason: "SelectorsUnknown", says: "Grafana Alloy"},
		"the only PrometheusAgent": {objects: append(crds(), agent()), met: true, reason: "Selected",
			says: "PrometheusAgent monitoring/agent selects every monitor."},
		"the PrometheusAgent that is named": {objects: append(crds(), everything(), second, agent()), met: true, reason: "Selected",
			says: "PrometheusAgent monitoring/agent", spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Prometheus.URL, s.Prometheus.Ref = "http://mimir", agentRef
			}},
		"a PrometheusAgent that is not there": {objects: append(crds(), everything()), reason: "PrometheusNotFound",
			says: "There is no PrometheusAgent object monitoring/agent", retain: true,
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus.URL, s.Prometheus.Ref = "http://mimir", agentRef }},
		"a PrometheusAgent on every node": {objects: append(crds(), agent(onNodes)), reason: "NotSelected", says: "set spec.scrape.targets to [Pods]"},
		"a PrometheusAgent on every node, and Pods": {objects: append(crds(), agent(onNodes)), met: true, reason: "Selected",
			says: "PrometheusAgent monitoring/agent selects every monitor.",
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapePods} }},
		"a Prometheus and a Thanos in front": {objects: append(crds(), everything(), second), met: true, reason: "Selected", says: "monitoring/other",
			spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Prometheus.URL = "http://thanos:9090"
				s.Prometheus.Ref = &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "other"}
			}},
		"two": {objects: append(crds(), everything(), second), reason: "PrometheusAmbiguous", says: "monitoring/other", retain: true},
		"not the named one": {objects: append(crds(), everything()), reason: "PrometheusNotFound", retain: true,
			spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Prometheus.Ref = &v1alpha1.PrometheusReference{Namespace: "x", Name: "y"}
			}},
		"a URL": {objects: crds(), met: true, reason: "SelectorsUnknown", says: "spec.scrape.labels",
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus.URL = "http://thanos:9090" }},
		"a URL and labels": {objects: crds(), met: true, reason: "SelectorsUnknown", says: "the monitors carry spec.scrape.labels",
			spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Prometheus.URL, s.Scrape.Labels = "http://thanos:9090", map[string]v1alpha1.LabelValue{"release": "stack"}
			}},
		"a timeout above the Prometheus' interval": {objects: append(crds(), everything(scrapes("30s"))), reason: "ScrapeTimeoutTooLong",
			says: "spec.scrape.scrapeTimeout is 45s, above the scrapeInterval 30s of Prometheus monitoring/k8s", retain: true,
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.ScrapeTimeout = "45s" }},
		"a timeout as long as it": {objects: append(crds(), everything(scrapes("30s"))), met: true, reason: "Selected",
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.ScrapeTimeout = "30s" }},
		"a timeout and an interval of our own": {objects: append(crds(), everything(scrapes("30s"))), met: true, reason: "Selected",
			spec: func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.ScrapeTimeout, s.Scrape.Interval = "45s", "1m" }},
		"a timeout, and an interval that is not known": {objects: crds(), met: true, reason: "SelectorsUnknown",
			spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Prometheus.URL, s.Scrape.ScrapeTimeout = "http://thanos:9090", "45s"
			}},
		"labels that can be met": {objects: append(crds(), everything(labeled(map[string]string{"release": "stack"}))), met: true, reason: "Selected"},
		"labels that cannot": {objects: append(crds(), everything(labeled(map[string]string{v1alpha1.ComponentLabel: "other"}))),
			met: false, reason: "NotSelected", says: "serviceMonitorSelector"},
		"no selector of PodMonitors": {objects: append(crds(), everything(func(s *monitoringv1.PrometheusSpec) { s.PodMonitorSelector = nil })),
			reason: "NotSelected", says: "podMonitorSelector"},
		"a namespace selector that cannot be read": {objects: append(crds(), everything()), reason: "NotSelected", says: "namespaceSelector", retain: true,
			spec: func(s *v1alpha1.MetricsPipelineSpec) {
				s.Scrape.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			change := tc.spec
			if change == nil {
				change = func(*v1alpha1.MetricsPipelineSpec) {}
			}
			w := newWorld(t, append(tc.objects, pipeline(change))...)
			s := w.settings(t)
			if s.state.Met != tc.met || s.state.Reason != tc.reason || !strings.Contains(s.state.Message, tc.says) {
				t.Errorf("state %+v, want %v %s and %q", s.state, tc.met, tc.reason, tc.says)
			}
			if s.retain != tc.retain || s.off != tc.off {
				t.Errorf("retain %v, off %v, want %v, %v", s.retain, s.off, tc.retain, tc.off)
			}
		})
	}
}

// TestSettingsWithoutPrometheusObjects: with a URL in the spec, monitors need no Prometheus objects, and none that can be read.
func TestSettingsWithoutPrometheusObjects(t *testing.T) {
	for url, met := range map[string]bool{"": false, "http://thanos:9090": true} {
		w := newWorld(t, append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus.URL = url }))...)
		w.r.prometheuses = interceptor.NewClient(w.client, interceptor.Funcs{
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				return errors.New("no permission")
			}})
		served := w.r.watches.Ensure(t.Context())
		s, err := w.r.settings(t.Context(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) { s.Prometheus.URL = url }), served)
		if (err == nil) != met {
			t.Errorf("url %q: %+v, %v", url, s, err)
		}
	}
}

func TestNoSettingsWithoutPipeline(t *testing.T) {
	w := newWorld(t, crds()...)
	if s := w.settings(t); s != nil {
		t.Errorf("%+v", s)
	}
	state, status := w.observe(t)
	if state != (State{}) || status.Services != 0 {
		t.Errorf("%+v, %+v", state, status)
	}
}

// TestSettingsReadTheSpec: every field of spec.scrape is honored.
func TestSettingsReadTheSpec(t *testing.T) {
	limit := int64(7)
	w := newWorld(t, append(crds(), everything(func(s *monitoringv1.PrometheusSpec) {
		s.ServiceMonitorSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
		s.PodMonitorSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}
	}), pipeline(func(s *v1alpha1.MetricsPipelineSpec) {
		s.Scrape = v1alpha1.ScrapeSpec{Targets: []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices}, AnnotationPrefix: "example.com",
			Granularity: v1alpha1.ScrapePerService, Interval: "20s", ScrapeTimeout: "5s", Limits: v1alpha1.ScrapeLimits{Samples: &limit},
			TLS: v1alpha1.ScrapeTLS{Verification: v1alpha1.TLSInsecure}, SelectorlessServices: v1alpha1.SelectorlessAllow,
			Labels: map[string]v1alpha1.LabelValue{"mine": "too"}}
	}))...)
	s := w.settings(t)
	want := scrape.Config{Prefix: "example.com", Selectorless: true, Interval: "20s", ScrapeTimeout: "5s", SampleLimit: 7, InsecureTLS: true}
	if diff := cmp.Diff(want, s.config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(index.Rules{Prefix: "example.com", Selectorless: true, Services: true, PerService: true}, s.rules()); diff != "" {
		t.Errorf("criteria (-want +got):\n%s", diff)
	}
	own := map[string]string{"mine": "too", v1alpha1.ManagedLabel: "default", v1alpha1.ComponentLabel: "scrape",
		"app.kubernetes.io/part-of": "metricspipeline", "app.kubernetes.io/managed-by": "metricspipeline-operator"}
	for _, kind := range []struct {
		got        map[string]string
		key, value string
	}{{s.services, "release", "stack"}, {s.pods, "team", "web"}} {
		want := map[string]string{kind.key: kind.value}
		for key, value := range own {
			want[key] = value
		}
		if diff := cmp.Diff(want, kind.got); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
	}
}

// TestOwnLabelsStand: our labels find our monitors again, so spec.scrape.labels cannot replace them.
func TestOwnLabelsStand(t *testing.T) {
	w := newWorld(t, append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) {
		s.Scrape.Labels = map[string]v1alpha1.LabelValue{v1alpha1.ManagedLabel: "theirs", v1alpha1.ComponentLabel: "theirs"}
	}))...)
	s := w.settings(t)
	if s.services[v1alpha1.ManagedLabel] != v1alpha1.SingletonName || s.services[v1alpha1.ComponentLabel] != ownership.MonitorsComponent {
		t.Errorf("labels %v", s.services)
	}
}

func TestScrapes(t *testing.T) {
	for name, tc := range map[string]struct {
		selector *metav1.LabelSelector
		labels   map[string]string
		want     bool
	}{
		"no selector":      {want: true},
		"opted out":        {labels: map[string]string{v1alpha1.ScrapeOptOutLabel: "false"}},
		"opted out oddly":  {labels: map[string]string{v1alpha1.ScrapeOptOutLabel: ""}},
		"opted in":         {labels: map[string]string{v1alpha1.ScrapeOptOutLabel: "true"}, want: true},
		"selected":         {selector: metav1.SetAsLabelSelector(map[string]string{"team": "web"}), labels: map[string]string{"team": "web"}, want: true},
		"not selected":     {selector: metav1.SetAsLabelSelector(map[string]string{"team": "web"}), labels: map[string]string{"team": "ops"}},
		"opted in, though": {selector: metav1.SetAsLabelSelector(map[string]string{"team": "web"}), labels: map[string]string{v1alpha1.ScrapeOptOutLabel: "true"}},
		"selected and out": {selector: metav1.SetAsLabelSelector(map[string]string{"team": "web"}),
			labels: map[string]string{"team": "web", v1alpha1.ScrapeOptOutLabel: "false"}},
	} {
		w := newWorld(t, append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) { s.Scrape.NamespaceSelector = tc.selector }))...)
		s := w.settings(t)
		if got := s.scrapes(tc.labels); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestPendingCRDs: the API server begins to serve a CRD a moment after the CRD's last event, so nothing else would call.
func TestPendingCRDs(t *testing.T) {
	w := newWorld(t, append(append(crds(), everything(), pipeline()), namespaces("shop")...)...)
	w.seen(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	served := *w.mapper
	*w.mapper = *meta.NewDefaultRESTMapper(nil)
	result, err := w.r.Reconcile(t.Context(), inCommon)
	must(t, err)
	if result.RequeueAfter != time.Second {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
	if state, _ := w.observe(t); state.Reason != v1alpha1.ReasonCRDsMissing {
		t.Errorf("state %+v", state)
	}
	*w.mapper = served
	w.requested()
	if got := w.reconcile(t, "shop"); len(got) != 1 {
		t.Errorf("once served: %q", got)
	}
	if queued, _ := w.requested(); !slices.Contains(queued, "shop") {
		t.Errorf("once served: requests %q", queued)
	}
	if state, _ := w.observe(t); !state.Met {
		t.Errorf("once served: %+v", state)
	}
}

// TestDurations: prometheus-operator takes each unit once, from the greatest to the smallest, and our schema takes more.
func TestDurations(t *testing.T) {
	for stated, want := range map[v1alpha1.Duration]string{
		"": "", "30s": "30s", "90s": "1m30s", "30s1m": "1m30s", "30s30s": "1m", "1500ms": "1s500ms", "00015s": "15s", "24h": "1d", "36h": "1d12h",
	} {
		w := newWorld(t, append(crds(), everything(), pipeline(func(s *v1alpha1.MetricsPipelineSpec) {
			s.Scrape.Interval, s.Scrape.ScrapeTimeout = stated, stated
		}))...)
		s := w.settings(t)
		if s.config.Interval != want || s.config.ScrapeTimeout != want {
			t.Errorf("%s: %s and %s, want %s", stated, s.config.Interval, s.config.ScrapeTimeout, want)
		}
	}
}
