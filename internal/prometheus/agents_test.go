// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// agent returns a PrometheusAgent, changed by the functions.
func agent(namespace, name string, changes ...func(*monitoringv1alpha1.PrometheusAgent)) monitoringv1alpha1.PrometheusAgent {
	a := monitoringv1alpha1.PrometheusAgent{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	a.Spec.ScrapeInterval = "15s"
	a.Spec.ServiceMonitorSelector = metav1.SetAsLabelSelector(map[string]string{"agent": "main"})
	a.Spec.PodMonitorSelector = metav1.SetAsLabelSelector(map[string]string{"agent": "main"})
	for _, change := range changes {
		change(&a)
	}
	return a
}

func refTo(kind v1alpha1.PrometheusKind, namespace, name string) *v1alpha1.PrometheusReference {
	return &v1alpha1.PrometheusReference{Kind: kind, Namespace: namespace, Name: name}
}

// TestWhoScrapesAndWhoAnswers: a ref says who scrapes, a URL who answers queries, and each is found without the other.
func TestWhoScrapesAndWhoAnswers(t *testing.T) {
	const store = "http://mimir.mimir.svc/prometheus"
	const agentHost, promHost = "http://prometheus-agent-operated.monitoring.svc:9090", "http://prometheus-operated.monitoring.svc:9090"
	main := refTo(v1alpha1.KindPrometheusAgent, "monitoring", "agent")
	k8s := refTo("", "monitoring", "k8s")
	agents := []monitoringv1alpha1.PrometheusAgent{agent("monitoring", "agent")}
	both := Objects{Served: true, Agents: agents, Prometheuses: []monitoringv1.Prometheus{object("monitoring", "k8s")}}
	alone := Objects{Served: true, Agents: agents}
	sharded := among(object("monitoring", "k8s", func(p *monitoringv1.Prometheus) { p.Spec.Shards = ptr.To[int32](3) }))
	type found struct {
		URL, Origin, Object, TargetsURL string
		Chosen                          *v1alpha1.PrometheusReference
	}
	for name, tc := range map[string]struct {
		spec    v1alpha1.PrometheusSpec
		objects Objects
		chosen  *v1alpha1.PrometheusReference
		want    found
		// unanswered is why nothing answers queries, and unscraped why it is not known who scrapes.
		unanswered, unscraped string
		nobody                bool
	}{
		"an agent and its store": {spec: v1alpha1.PrometheusSpec{Ref: main, URL: store}, objects: both,
			want: found{URL: store, Origin: "spec.prometheus.url", Object: "PrometheusAgent monitoring/agent", TargetsURL: agentHost}},
		"an agent alone": {spec: v1alpha1.PrometheusSpec{Ref: main}, objects: both,
			want:       found{Origin: "PrometheusAgent monitoring/agent", Object: "PrometheusAgent monitoring/agent", TargetsURL: agentHost},
			unanswered: "PrometheusAgent monitoring/agent scrapes and answers no queries; set spec.prometheus.url"},
		"a Prometheus and a Thanos in front": {spec: v1alpha1.PrometheusSpec{Ref: k8s, URL: store}, objects: both,
			want: found{URL: store, Origin: "spec.prometheus.url", Object: "Prometheus monitoring/k8s", TargetsURL: promHost}},
		"shards and a Thanos in front": {spec: v1alpha1.PrometheusSpec{Ref: k8s, URL: store}, objects: sharded,
			want: found{URL: store, Origin: "spec.prometheus.url", Object: "Prometheus monitoring/k8s"}},
		"a store, and a ref to nothing": {spec: v1alpha1.PrometheusSpec{Ref: refTo(v1alpha1.KindPrometheusAgent, "a", "b"), URL: store}, objects: both,
			want: found{URL: store, Origin: "spec.prometheus.url"}, unscraped: "There is no PrometheusAgent object a/b, which spec.prometheus.ref names; there is monitoring/agent."},
		"a Prometheus of an agent's name": {spec: v1alpha1.PrometheusSpec{Ref: refTo("", "monitoring", "agent")}, objects: both,
			unanswered: "no Prometheus object monitoring/agent", unscraped: "no Prometheus object monitoring/agent"},
		"the only agent": {objects: alone,
			want: found{Origin: "PrometheusAgent monitoring/agent", Object: "PrometheusAgent monitoring/agent", TargetsURL: agentHost, Chosen: main},
			// Nothing is queried before a person says where.
			unanswered: "set spec.prometheus.url"},
		"the only agent, without the CRD of Prometheus objects": {objects: Objects{Agents: agents},
			want:       found{Origin: "PrometheusAgent monitoring/agent", Object: "PrometheusAgent monitoring/agent", TargetsURL: agentHost, Chosen: main},
			unanswered: "set spec.prometheus.url"},
		"a Prometheus comes before an agent": {objects: both,
			want: found{URL: promHost, Origin: "Prometheus monitoring/k8s", Object: "Prometheus monitoring/k8s", TargetsURL: promHost,
				Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}},
		"an agent that was chosen stays": {objects: both, chosen: main,
			want:       found{Origin: "PrometheusAgent monitoring/agent", Object: "PrometheusAgent monitoring/agent", TargetsURL: agentHost, Chosen: main},
			unanswered: "set spec.prometheus.url"},
		"an agent that was chosen goes": {objects: among(object("monitoring", "k8s")), chosen: main,
			unanswered: "The PrometheusAgent object monitoring/agent, which was in use, does not exist any more",
			unscraped:  "create it again"},
		"two agents": {objects: Objects{Served: true, Agents: append(agents, agent("team-a", "agent"))},
			unanswered: "2 PrometheusAgent objects: monitoring/agent, team-a/agent", unscraped: "name one in spec.prometheus.ref"},
		"nobody":           {objects: Objects{Served: true}, unanswered: "create one", unscraped: "create one", nobody: true},
		"nobody, no CRD":   {unanswered: "install prometheus-operator", unscraped: "install prometheus-operator", nobody: true},
		"the CRD went":     {chosen: k8s, unanswered: "install prometheus-operator", unscraped: "install prometheus-operator"},
		"a URL alone":      {spec: v1alpha1.PrometheusSpec{URL: store}, objects: both, want: found{URL: store, Origin: "spec.prometheus.url"}},
		"a named one went": {spec: v1alpha1.PrometheusSpec{Ref: k8s}, objects: Objects{Served: true}, unanswered: "there is none", unscraped: "there is none"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(tc.spec, tc.objects, tc.chosen)
			if diff := cmp.Diff(tc.want, found{got.URL, got.Origin, got.Object, got.TargetsURL, got.Chosen}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			expectNotFound(t, err, tc.unanswered)
			_, err = Scraper(tc.spec, tc.objects, tc.chosen)
			expectNotFound(t, err, tc.unscraped)
			if IsNobody(err) != tc.nobody {
				t.Errorf("nobody: %v", err)
			}
		})
	}
}

func expectNotFound(t *testing.T, err error, says string) {
	t.Helper()
	var notFound *NotFoundError
	switch {
	case says == "" && err == nil:
	case says == "" || !errors.As(err, &notFound) || !strings.Contains(err.Error(), says):
		t.Errorf("error %v, want one that says %q", err, says)
	}
}

// TestWhatAnAgentDemands: what is read of an agent, and of what the cache keeps of it, is what is read of a Prometheus object.
func TestWhatAnAgentDemands(t *testing.T) {
	whole := agent("monitoring", "agent", func(a *monitoringv1alpha1.PrometheusAgent) {
		a.Spec.Version, a.Spec.ExternalLabels = "v3.5.0", map[string]string{"a": strings.Repeat("x", 200<<10)}
	})
	onNodes := agent("monitoring", "nodes", func(a *monitoringv1alpha1.PrometheusAgent) {
		a.Spec.Mode, a.Spec.ServiceMonitorSelector = ptr.To(monitoringv1alpha1.DaemonSetPrometheusAgentMode), nil
	})
	for _, object := range []monitoringv1alpha1.PrometheusAgent{whole, onNodes} {
		compacted, err := Compact(&object)
		kept, ok := compacted.(*monitoringv1alpha1.PrometheusAgent)
		if err != nil || !ok || kept.Spec.ExternalLabels != nil {
			t.Fatalf("kept %+v, %v", compacted, err)
		}
		ref := v1alpha1.PrometheusSpec{Ref: refTo(v1alpha1.KindPrometheusAgent, object.Namespace, object.Name)}
		before, err := Scraper(ref, Objects{Agents: []monitoringv1alpha1.PrometheusAgent{object}}, nil)
		if err != nil || before.ScrapeInterval != 15*time.Second || before.Rules != nil {
			t.Errorf("%+v, %v", before, err)
		}
		after, err := Scraper(ref, Objects{Agents: []monitoringv1alpha1.PrometheusAgent{*kept}}, nil)
		if diff := cmp.Diff(before, after); diff != "" || err != nil {
			t.Errorf("(-whole +kept): %v\n%s", err, diff)
		}
		if demanded, err := after.PodMonitors.Labels(nil); err != nil || demanded["agent"] != "main" {
			t.Errorf("labels %v, %v", demanded, err)
		}
		_, err = after.ServiceMonitors.Labels(nil)
		if never := object.Name == "nodes"; never != (err != nil) || never && (!strings.Contains(err.Error(), "mode DaemonSet") || after.TargetsURL != "") {
			t.Errorf("%s: ServiceMonitors %v, targets at %q", object.Name, err, after.TargetsURL)
		}
	}
}

// TestAgentsAreListedWhereTheyCount: a missing permission for agents must not matter to who uses none.
func TestAgentsAreListedWhereTheyCount(t *testing.T) {
	main := refTo(v1alpha1.KindPrometheusAgent, "monitoring", "agent")
	for name, tc := range map[string]struct {
		spec    v1alpha1.PrometheusSpec
		objects Objects
		chosen  *v1alpha1.PrometheusReference
		want    bool
	}{
		"a ref to one":           {spec: v1alpha1.PrometheusSpec{Ref: main, URL: "http://mimir"}, objects: among(object("a", "b")), want: true},
		"a ref to a Prometheus":  {spec: ref("a", "b")},
		"a URL":                  {spec: v1alpha1.PrometheusSpec{URL: "http://mimir"}},
		"there is a Prometheus":  {objects: among(object("a", "b"))},
		"there is none":          {want: true},
		"a chosen one":           {objects: among(object("a", "b")), chosen: main, want: true},
		"a Prometheus is chosen": {chosen: refTo("", "a", "b")},
	} {
		if got := tc.objects.NeedsAgents(tc.spec, tc.chosen); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestShardsBehindAURL(t *testing.T) {
	sharded := Target{Object: "Prometheus monitoring/k8s", Shards: 3}
	if got := sharded.behind("http://thanos"); got.PartialAnswers() != "" || !strings.Contains(got.TakenForWhole(), "has spec.shards 3") {
		t.Errorf("%q, %q", got.PartialAnswers(), got.TakenForWhole())
	}
	if sharded.TakenForWhole() != "" || (Target{Shards: 1}).behind("http://thanos").TakenForWhole() != "" {
		t.Error("said where it does not matter")
	}
}
