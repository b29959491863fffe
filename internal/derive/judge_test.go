// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
)

const pod = `{namespace="shop",pod="web-6d4cf56db6-x2x4k"}`

// TestJudge: which rule follows from the name of a metric and the series that there are, or why none does.
func TestJudge(t *testing.T) {
	pods := func(query string) string { return query + " by (<<.GroupBy>>)" }
	for name, tc := range map[string]struct {
		asked  Ask
		series store
		query  string // Of the rule; empty for none.
		reason string
		says   []string
	}{
		"the rate of a counter, per second": {asked: ofPods("http_requests_per_second"), series: store{"http_requests_total" + pod},
			query: pods(`sum(rate(http_requests_total{<<.LabelMatchers>>}[2m]))`)},
		"the same in short": {asked: ofPods("http_requests_qps"), series: store{"http_requests_total" + pod},
			query: pods(`sum(rate(http_requests_total{<<.LabelMatchers>>}[2m]))`)},
		"with the counter's own suffix": {asked: ofPods("http_requests_total_per_second"), series: store{"http_requests_total" + pod},
			query: pods(`sum(rate(http_requests_total{<<.LabelMatchers>>}[2m]))`)},
		"a counter without its suffix": {asked: ofPods("http_requests"), series: store{"http_requests_total" + pod},
			query: pods(`sum(rate(http_requests_total{<<.LabelMatchers>>}[2m]))`)},
		"a gauge beside a counter of its name": {asked: ofPods("http_requests"), series: store{"http_requests_total" + pod, "http_requests" + pod},
			query: pods(`sum(http_requests{<<.LabelMatchers>>})`)},
		"a gauge": {asked: ofPods("queue_depth"), series: store{"queue_depth" + pod}, query: pods(`sum(queue_depth{<<.LabelMatchers>>})`)},
		"a recording rule": {asked: ofPods("job_http_requests_rate5m"), series: store{"job:http_requests:rate5m" + pod},
			query: pods(`sum(job:http_requests:rate5m{<<.LabelMatchers>>})`)},
		"cpu of containers by the name of the chart's rules": {asked: ofPods("cpu_usage"), series: store{"container_cpu_usage_seconds_total" + pod},
			query: pods(`sum(rate(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!="POD"}[2m]))`)},
		"memory of containers by that name": {asked: ofPods("memory_rss"), series: store{"container_memory_rss" + pod},
			query: pods(`sum(container_memory_rss{<<.LabelMatchers>>,container!="POD"})`)},
		"seconds by that name": {asked: ofPods("process_cpu"), series: store{"process_cpu_seconds_total" + pod},
			query: pods(`sum(rate(process_cpu_seconds_total{<<.LabelMatchers>>}[2m]))`)},
		"labels of annotated pods": {asked: ofPods("queue_depth"), series: store{`queue_depth{kubernetes_namespace="shop",kubernetes_pod_name="web-6d4cf56db6-x2x4k"}`},
			query: pods(`sum(queue_depth{<<.LabelMatchers>>,namespace=""})`)},
		"a count that is no part of a histogram": {asked: ofPods("message_count"), series: store{"message_count" + pod},
			query: pods(`sum(message_count{<<.LabelMatchers>>})`)},

		"a Service": {asked: ofObject("http_requests_per_second", "v1", "Service", "web"), series: store{`http_requests_total{namespace="shop",service="web"}`},
			query: pods(`sum(rate(http_requests_total{<<.LabelMatchers>>}[2m]))`)},
		"an Ingress": {asked: ofObject("requests", "networking.k8s.io/v1", "Ingress", "web"), series: store{`requests{namespace="shop",ingress="web"}`},
			query: pods(`sum(requests{<<.LabelMatchers>>})`)},
		"a Deployment": {asked: ofObject("backlog", "apps/v1", "Deployment", "web"), series: store{`backlog{namespace="shop",deployment="web"}`},
			query: pods(`sum(backlog{<<.LabelMatchers>>})`)},
		"the namespace": {asked: ofObject("backlog", "v1", "Namespace", "any"), series: store{`backlog{namespace="shop"}`},
			query: pods(`sum(backlog{<<.LabelMatchers>>})`)},
		"an external metric": {asked: ofNothing("queue_depth", "queue=orders"), series: store{`queue_depth{namespace="shop",queue="orders"}`},
			query: `sum(queue_depth{<<.LabelMatchers>>})`},
		"the rate of one": {asked: ofNothing("orders_per_second", ""), series: store{`orders_total{namespace="shop"}`},
			query: `sum(rate(orders_total{<<.LabelMatchers>>}[2m]))`},

		"nothing":                           {asked: ofPods("queue_depth"), reason: v1alpha1.AutoscalerRuleMissing, says: []string{"Deployment web", "queue_depth_total"}},
		"samples of another namespace":      {asked: ofPods("queue_depth"), series: store{`queue_depth{namespace="other",pod="web-6d4cf56db6-x2x4k"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"samples of other pods":             {asked: ofPods("queue_depth"), series: store{`queue_depth{namespace="shop",pod="web-api-6d4cf56db6-x2x4k"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"samples of another Service":        {asked: ofObject("backlog", "v1", "Service", "web"), series: store{`backlog{namespace="shop",service="web-2"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"samples of another selector":       {asked: ofNothing("queue_depth", "queue=orders"), series: store{`queue_depth{namespace="shop",queue="bills"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"labels that an app set itself":     {asked: ofPods("queue_depth"), series: store{`queue_depth{namespace="evil",kubernetes_namespace="shop",kubernetes_pod_name="web-6d4cf56db6-x2x4k"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"the namespace that an app set":     {asked: ofPods("queue_depth"), series: store{`queue_depth{namespace="evil",exported_namespace="shop",pod="web-6d4cf56db6-x2x4k"}`}, reason: v1alpha1.AutoscalerRuleMissing},
		"containers for an external metric": {asked: ofNothing("memory_rss", ""), series: store{`container_memory_rss{namespace="shop"}`}, reason: v1alpha1.AutoscalerRuleMissing},

		"two candidates": {asked: ofPods("cpu_usage"), series: store{"container_cpu_usage_seconds_total" + pod, "cpu_usage" + pod}, reason: v1alpha1.AutoscalerDeriveAmbiguous,
			says: []string{"the rate of container_cpu_usage_seconds_total", "the sum of cpu_usage", "spec.customMetrics.rules"}},
		"a counter":                    {asked: ofPods("http_requests_total"), series: store{"http_requests_total" + pod}, reason: v1alpha1.AutoscalerDeriveCounter, says: []string{"ask for http_requests_per_second"}},
		"the count of a histogram":     {asked: ofPods("latency_seconds_count"), series: store{"latency_seconds_count" + pod, "latency_seconds_sum" + pod}, reason: v1alpha1.AutoscalerDeriveCounter, says: []string{"latency_seconds_sum"}},
		"a bucket":                     {asked: ofPods("latency_seconds_bucket"), reason: v1alpha1.AutoscalerDeriveQuantile, says: []string{"histogram_quantile"}},
		"a quantile by its name":       {asked: ofPods("latency_p99"), series: store{"latency_p99" + pod}, reason: v1alpha1.AutoscalerDeriveQuantile},
		"a quantile by its label":      {asked: ofPods("latency_seconds"), series: store{`latency_seconds{namespace="shop",pod="web-6d4cf56db6-x2x4k",quantile="0.9"}`}, reason: v1alpha1.AutoscalerDeriveQuantile, says: []string{"label quantile"}},
		"a ratio":                      {asked: ofNothing("cache_hit_ratio", ""), series: store{"cache_hit_ratio" + pod}, reason: v1alpha1.AutoscalerDeriveRatio, says: []string{"spec.externalMetrics.rules"}},
		"a Job":                        {asked: ofObject("backlog", "batch/v1", "Job", "import"), series: store{`backlog{namespace="shop",job="import"}`}, reason: v1alpha1.AutoscalerDeriveJob, says: []string{"Job import", "job_name"}},
		"a Node":                       {asked: ofObject("load", "v1", "Node", "n1"), reason: v1alpha1.AutoscalerDeriveRefused, says: []string{"Node n1"}},
		"a kind of another group":      {asked: ofObject("load", "example.com/v1", "Deployment", "web"), reason: v1alpha1.AutoscalerDeriveRefused},
		"a name that no series has":    {asked: ofPods(`x{}) or vector(1`), reason: v1alpha1.AutoscalerDeriveRefused},
		"a name of unbounded length":   {asked: ofPods(strings.Repeat("x", 200)), reason: v1alpha1.AutoscalerDeriveRefused, says: []string{"200 characters"}},
		"a label that no series has":   {asked: ofNothing("queue_depth", "app.kubernetes.io/name=web"), reason: v1alpha1.AutoscalerDeriveRefused, says: []string{"app_kubernetes_io_name"}},
		"an object that cannot be":     {asked: ofObject("backlog", "v1", "Service", `web"}`), reason: v1alpha1.AutoscalerDeriveRefused},
		"a namespace that cannot be":   {asked: by(ofPods("queue_depth"), `a"}`, "web"), reason: v1alpha1.AutoscalerDeriveRefused},
		"a selector that is not a one": {asked: ofNothing("queue_depth", `queue="} or`), reason: v1alpha1.AutoscalerDeriveRefused},
	} {
		t.Run(name, func(t *testing.T) {
			got := Judge(tc.asked, tc.series.answers(t))
			if !got.Known {
				t.Fatal("it is not known")
			}
			if got.Problem != nil {
				if tc.query != "" || got.Problem.Reason != tc.reason {
					t.Fatalf("%s: %s, want %q %q", got.Problem.Reason, got.Problem.Message, tc.query, tc.reason)
				}
				for _, words := range tc.says {
					if !strings.Contains(got.Problem.Message, words) {
						t.Errorf("%q has no %q", got.Problem.Message, words)
					}
				}
				return
			}
			key, _ := KeyOf(tc.asked)
			rule := Rule{Key: key, Candidate: got.Found[0].Candidate}
			if diff := cmp.Diff(tc.query, rule.Query(2*time.Minute)); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
			if !rule.Valid() {
				t.Errorf("%+v is outside of the grammar", rule)
			}
		})
	}
}

// TestPodNames: which pods belong to a workload by their names.
func TestPodNames(t *testing.T) {
	long := strings.Repeat("a", 60)
	for _, tc := range []struct {
		kind, name, pod string
		own             bool
	}{
		{"Deployment", "web", "web-6d4cf56db6-x2x4k", true},
		{"Deployment", "web", "web-6d4cf56db6-x2x4k-0", false},
		{"Deployment", "web.eu", "web-eu-6d4cf56db6-x2x4k", false},
		{"Deployment", "web", "web-0", false},
		{"Deployment", long, long[:58] + "x2x4k", true},
		{"StatefulSet", "web", "web-12", true},
		{"StatefulSet", "web", "web-x2x4k", false},
		{"ReplicaSet", "web", "web-x2x4k", true},
		{"Rollout", "web", "web-6d4cf56db6-x2x4k", true},
		{"Rollout", "web", "website-6d4cf56db6-x2x4k", false},
	} {
		asked := ofPods("x")
		asked.Target.Kind, asked.Target.Name = tc.kind, tc.name
		answer := Judge(asked, store{`x{namespace="shop",pod="` + tc.pod + `"}`}.answers(t))
		if own := answer.Problem == nil; own != tc.own {
			t.Errorf("pod %s of %s %s: %t, want %t", tc.pod, tc.kind, tc.name, own, tc.own)
		}
	}
}

// TestSelectors: each operator of a selector becomes the matcher that the backend makes of it.
func TestSelectors(t *testing.T) {
	questions, problem := Questions(ofNothing("queue_depth", "a=1,b in (1,2),c notin (1),d,!e"))
	if problem != nil {
		t.Fatal(problem.Message)
	}
	const want = `{__name__=~"queue[_:]depth|queue_depth_total",namespace="shop",a="1",b=~"1|2",c!~"1",d!="",e=""}`
	if diff := cmp.Diff(want, questions[0].Selector); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
}

// TestAwaited: as long as one question has no answer, nothing is known.
func TestAwaited(t *testing.T) {
	asked := ofPods("queue_depth")
	questions, _ := Questions(asked)
	all := store{"queue_depth" + pod}.answers(t)
	got := Judge(asked, func(selector string) (Answer, bool) {
		if selector == questions[1].Selector {
			return nil, false
		}
		return all(selector)
	})
	if got.Known || got.only() {
		t.Errorf("%+v", got)
	}
}

// TestWindow: rates are taken over four scrapes, and two minutes at least.
func TestWindow(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{0: 5 * time.Minute, 15 * time.Second: 2 * time.Minute, time.Minute: 4 * time.Minute} {
		if got := Window(interval); got != want {
			t.Errorf("scraped every %s: %s, want %s", interval, got, want)
		}
	}
}

// TestAsks: what the index has of HPAs, and the spec of one, lead to the same.
func TestAsks(t *testing.T) {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	hpa.Spec.ScaleTargetRef = ofPods("").Target
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"b": "2", "a": "1"}}
	hpa.Spec.Metrics = []autoscalingv2.MetricSpec{
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "a", Selector: selector}}},
		{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "b"},
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "front"}}},
		{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "c"}}},
		{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu"}},
	}
	var got []Ask
	for _, metric := range hpa.Spec.Metrics {
		if ask, is := AskOf(hpa, metric); is {
			got = append(got, ask)
		}
	}
	want := []Ask{ofNothing("a", "a=1,b=2"), ofObject("b", "v1", "Service", "front"), ofPods("c")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked by a spec (-want +got):\n%s", diff)
	}
	index := autoscaler.NewIndex(autoscaler.Events{Failing: func() {}, Counted: func() {}, Asked: func() {}, Listed: func() {}}, clock.RealClock{})
	store := index.Open()
	compacted, err := store.Transformer()(hpa)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Add(compacted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, Asks(index.Asked())); diff != "" {
		t.Errorf("asked by the index (-want +got):\n%s", diff)
	}

	hpa.Spec.Metrics[0].External.Metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "no value"}}
	ask, _ := AskOf(hpa, hpa.Spec.Metrics[0])
	if _, problem := Questions(ask); problem == nil {
		t.Error("a selector that cannot be read is answered")
	}
}
