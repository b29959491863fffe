// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// object returns a Prometheus object, changed by the functions.
func object(namespace, name string, changes ...func(*monitoringv1.Prometheus)) monitoringv1.Prometheus {
	p := monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid", Generation: 3}}
	for _, change := range changes {
		change(&p)
	}
	return p
}

// among are Prometheus objects of a cluster that serves the kind.
func among(objects ...monitoringv1.Prometheus) Objects {
	return Objects{Served: true, Prometheuses: objects}
}

func ref(namespace, name string) v1alpha1.PrometheusSpec {
	return v1alpha1.PrometheusSpec{Ref: &v1alpha1.PrometheusReference{Namespace: namespace, Name: name}}
}

func TestResolve(t *testing.T) {
	const usual = "http://prometheus-operated.monitoring.svc:9090"
	spec := func(change func(*monitoringv1.PrometheusSpec)) func(*monitoringv1.Prometheus) {
		return func(p *monitoringv1.Prometheus) { change(&p.Spec) }
	}
	only := func(changes ...func(*monitoringv1.Prometheus)) []monitoringv1.Prometheus {
		return []monitoringv1.Prometheus{object("monitoring", "k8s", changes...)}
	}

	for name, tc := range map[string]struct {
		spec      v1alpha1.PrometheusSpec
		notServed bool
		objects   []monitoringv1.Prometheus
		want      string
	}{
		"a URL": {
			spec: v1alpha1.PrometheusSpec{URL: "https://thanos.example.com/api/"},
			want: "https://thanos.example.com/api/"},
		"a URL wins over the objects": {
			spec: v1alpha1.PrometheusSpec{URL: "https://thanos.example.com"}, objects: only(), want: "https://thanos.example.com"},
		"a URL needs no CRD": {
			spec: v1alpha1.PrometheusSpec{URL: "https://thanos.example.com"}, notServed: true, want: "https://thanos.example.com"},
		"the only object": {objects: only(), want: usual},
		"the named object among several": {
			spec:    ref("monitoring", "k8s"),
			objects: []monitoringv1.Prometheus{object("monitoring", "k8s"), object("other", "k8s")}, want: usual},
		"a route prefix": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) { s.RoutePrefix = "/prometheus/" })), want: usual + "/prometheus"},
		"the root as route prefix": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) { s.RoutePrefix = "/" })), want: usual},
		"web TLS": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) {
				s.Web = &monitoringv1.PrometheusWebSpec{WebConfigFileFields: monitoringv1.WebConfigFileFields{
					TLSConfig: &monitoringv1.WebTLSConfig{}}}
			})),
			want: "https://prometheus-operated.monitoring.svc:9090"},
		"a web section without TLS": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) { s.Web = &monitoringv1.PrometheusWebSpec{} })), want: usual},
		"a Service of its own": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) { s.ServiceName = ptr.To("mine") })),
			want:    "http://mine.monitoring.svc:9090"},
		"an empty Service name": {
			objects: only(spec(func(s *monitoringv1.PrometheusSpec) { s.ServiceName = ptr.To("") })), want: usual},
		// prometheus-operated leads to the pods of both: only the pod's own name is one Prometheus.
		"two that share their Service": {
			spec:    ref("monitoring", "k8s"),
			objects: []monitoringv1.Prometheus{object("monitoring", "k8s"), object("monitoring", "other")},
			want:    "http://prometheus-k8s-0.prometheus-operated.monitoring.svc:9090"},
		"two in one namespace with a Service each": {
			spec: ref("monitoring", "k8s"),
			objects: []monitoringv1.Prometheus{object("monitoring", "k8s"),
				object("monitoring", "other", spec(func(s *monitoringv1.PrometheusSpec) { s.ServiceName = ptr.To("mine") }))},
			want: usual},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(tc.spec, Objects{Served: !tc.notServed, Prometheuses: tc.objects}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.URL != tc.want {
				t.Errorf("URL %q, want %q", got.URL, tc.want)
			}
		})
	}
}

func TestResolveReadsTheObject(t *testing.T) {
	p := object("monitoring", "k8s", func(p *monitoringv1.Prometheus) {
		p.Spec.ScrapeInterval = "1m30s"
		p.Spec.ServiceMonitorSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
		p.Spec.PodMonitorNamespaceSelector = &metav1.LabelSelector{}
		p.Status.AvailableReplicas = 2
	})
	got, err := Resolve(v1alpha1.PrometheusSpec{}, among(p), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Target{
		URL:            "http://prometheus-operated.monitoring.svc:9090",
		Origin:         "Prometheus monitoring/k8s",
		Object:         "Prometheus monitoring/k8s",
		TargetsURL:     "http://prometheus-operated.monitoring.svc:9090",
		Namespace:      "monitoring",
		Chosen:         &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"},
		Revision:       "uid/3/2",
		ScrapeInterval: 90 * time.Second,
		Shards:         1,
		ServiceMonitors: &Selection{
			Field: "serviceMonitorSelector", Selector: p.Spec.ServiceMonitorSelector,
			NamespaceField: "serviceMonitorNamespaceSelector", HomeNamespace: "monitoring"},
		PodMonitors: &Selection{
			Field:          "podMonitorSelector",
			NamespaceField: "podMonitorNamespaceSelector", Namespaces: p.Spec.PodMonitorNamespaceSelector, HomeNamespace: "monitoring"},
		Rules: &Selection{
			Objects: "rules", Field: "ruleSelector", Selector: p.Spec.RuleSelector,
			NamespaceField: "ruleNamespaceSelector", HomeNamespace: "monitoring"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}

	for interval, want := range map[monitoringv1.Duration]time.Duration{
		"": 30 * time.Second, "0s": 30 * time.Second, "nonsense": 30 * time.Second, "1d": 24 * time.Hour,
	} {
		p.Spec.ScrapeInterval = interval
		got, err := Resolve(v1alpha1.PrometheusSpec{}, among(p), nil)
		if err != nil || got.ScrapeInterval != want {
			t.Errorf("scrapeInterval %q: %s, %v, want %s", interval, got.ScrapeInterval, err, want)
		}
	}
}

// TestRevision changes when Prometheus may have come or gone, and not with the rest of a busy status.
func TestRevision(t *testing.T) {
	resolve := func(p monitoringv1.Prometheus) string {
		target, err := Resolve(v1alpha1.PrometheusSpec{}, among(p), nil)
		if err != nil {
			t.Fatal(err)
		}
		return target.Revision
	}
	before := resolve(object("monitoring", "k8s"))
	for name, change := range map[string]func(*monitoringv1.Prometheus){
		"recreated":        func(p *monitoringv1.Prometheus) { p.UID = "another" },
		"changed":          func(p *monitoringv1.Prometheus) { p.Generation++ },
		"became available": func(p *monitoringv1.Prometheus) { p.Status.AvailableReplicas = 1 },
	} {
		if resolve(object("monitoring", "k8s", change)) == before {
			t.Errorf("%s: still revision %s", name, before)
		}
	}
	busy := object("monitoring", "k8s", func(p *monitoringv1.Prometheus) {
		p.ResourceVersion, p.Status.UnavailableReplicas = "77", 1
		p.Status.Conditions = []monitoringv1.Condition{{Type: monitoringv1.Reconciled}}
	})
	if got := resolve(busy); got != before {
		t.Errorf("revision %s after a change of the status that says nothing, before it %s", got, before)
	}
}

func TestResolveFindsNone(t *testing.T) {
	several := []monitoringv1.Prometheus{object("monitoring", "k8s"), object("apps", "team")}
	var many []monitoringv1.Prometheus
	for i := range 8 {
		many = append(many, object("monitoring", fmt.Sprintf("p%d", i)))
	}
	for name, tc := range map[string]struct {
		spec      v1alpha1.PrometheusSpec
		notServed bool
		objects   []monitoringv1.Prometheus
		reason    string
		says      []string
	}{
		"the CRD is not there": {
			notServed: true, reason: v1alpha1.ReasonPrometheusNotFound,
			says: []string{"prometheuses.monitoring.coreos.com", "spec.prometheus.url"}},
		"a named one, and the CRD is not there": {
			spec: ref("monitoring", "k8s"), notServed: true, reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"spec.prometheus.url"}},
		"none": {reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"create one", "spec.prometheus.url"}},
		"not the one that is named": {
			spec: ref("monitoring", "main"), objects: several, reason: v1alpha1.ReasonPrometheusNotFound,
			says: []string{"monitoring/main", "spec.prometheus.ref", "apps/team, monitoring/k8s"}},
		"the name in another namespace": {
			spec: ref("default", "k8s"), objects: several, reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"default/k8s"}},
		"a named one where there is none": {
			spec: ref("monitoring", "main"), reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"there is none"}},
		"several": {
			objects: several, reason: v1alpha1.ReasonPrometheusAmbiguous,
			says: []string{"2 Prometheus objects", "apps/team, monitoring/k8s", "spec.prometheus.ref"}},
		"very many": {
			objects: many, reason: v1alpha1.ReasonPrometheusAmbiguous, says: []string{"8 Prometheus objects", "monitoring/p4, and 3 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Resolve(tc.spec, Objects{Served: !tc.notServed, Prometheuses: tc.objects}, nil)
			var notFound *NotFoundError
			if !errors.As(err, &notFound) {
				t.Fatalf("got %+v and the error %v, want a NotFoundError", target, err)
			}
			if notFound.Reason != tc.reason {
				t.Errorf("reason %s, want %s", notFound.Reason, tc.reason)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestChoiceStays: whoever may make a Prometheus object in a namespace of theirs neither takes the source of metrics away from
// everybody nor becomes it.
func TestChoiceStays(t *testing.T) {
	k8s := &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}
	mine, theirs := object("monitoring", "k8s"), object("team-a", "main")
	var many []monitoringv1.Prometheus
	for i := range 8 {
		many = append(many, object("team-b", fmt.Sprintf("p%d", i)))
	}
	for name, tc := range map[string]struct {
		spec    v1alpha1.PrometheusSpec
		objects []monitoringv1.Prometheus
		chosen  *v1alpha1.PrometheusReference
		// origin, stays and others are of the target; without an origin there is none, and the error has the reason and says.
		origin string
		stays  *v1alpha1.PrometheusReference
		others bool
		reason string
		says   []string
	}{
		"the only one at first":           {objects: []monitoringv1.Prometheus{mine}, origin: "Prometheus monitoring/k8s", stays: k8s},
		"two at first":                    {objects: []monitoringv1.Prometheus{mine, theirs}, reason: v1alpha1.ReasonPrometheusAmbiguous, says: []string{"team-a/main", "monitoring/k8s"}},
		"the same one":                    {objects: []monitoringv1.Prometheus{mine}, chosen: k8s, origin: "Prometheus monitoring/k8s", stays: k8s},
		"another appears":                 {objects: []monitoringv1.Prometheus{mine, theirs}, chosen: k8s, origin: "Prometheus monitoring/k8s", stays: k8s, others: true},
		"another that is listed before":   {objects: []monitoringv1.Prometheus{theirs, mine}, chosen: k8s, origin: "Prometheus monitoring/k8s", stays: k8s, others: true},
		"very many appear":                {objects: append([]monitoringv1.Prometheus{mine}, many...), chosen: k8s, origin: "Prometheus monitoring/k8s", stays: k8s, others: true},
		"it is made anew":                 {objects: []monitoringv1.Prometheus{object("monitoring", "k8s", func(p *monitoringv1.Prometheus) { p.UID = "another" })}, chosen: k8s, origin: "Prometheus monitoring/k8s", stays: k8s},
		"it goes, and one other is there": {objects: []monitoringv1.Prometheus{theirs}, chosen: k8s, reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"monitoring/k8s, which was in use", "there is team-a/main", "create it again", "spec.prometheus.ref"}},
		"it goes, and none is there":      {chosen: k8s, reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"monitoring/k8s, which was in use", "there is none"}},
		"a ref to another":                {spec: ref("team-a", "main"), objects: []monitoringv1.Prometheus{mine, theirs}, chosen: k8s, origin: "Prometheus team-a/main"},
		"a ref to the chosen one":         {spec: ref("monitoring", "k8s"), objects: []monitoringv1.Prometheus{mine, theirs}, chosen: k8s, origin: "Prometheus monitoring/k8s"},
		"a ref to one that does not exist": {spec: ref("team-a", "other"), objects: []monitoringv1.Prometheus{mine, theirs}, chosen: k8s,
			reason: v1alpha1.ReasonPrometheusNotFound, says: []string{"team-a/other"}},
		"a URL": {spec: v1alpha1.PrometheusSpec{URL: "https://thanos"}, objects: []monitoringv1.Prometheus{mine, theirs}, chosen: k8s, origin: "spec.prometheus.url"},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Resolve(tc.spec, among(tc.objects...), tc.chosen)
			if target.Origin != tc.origin || target.Others != tc.others {
				t.Errorf("%q beside others %v, want %q beside %v", target.Origin, target.Others, tc.origin, tc.others)
			}
			if diff := cmp.Diff(tc.stays, target.Chosen); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
			var notFound *NotFoundError
			if errors.As(err, &notFound) != (tc.reason != "") || notFound != nil && notFound.Reason != tc.reason {
				t.Fatalf("error %v, want the reason %q", err, tc.reason)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}
