// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// A real engine of Prometheus answers on real series.
func TestSeries(t *testing.T) {
	growing, gone := sample{value: 1e6, growth: 5}, sample{value: 1, ended: 20 * time.Minute}
	webSeries := store{`http_requests_total{namespace="shop",pod="web-0"}`: growing, `http_requests_total{namespace="shop",pod="web-1"}`: growing}
	query := func(text string) func(*world) {
		return func(w *world) { w.pipeline.Spec.CustomMetrics.Rules[0].MetricsQuery = text }
	}
	asking := func(metric autoscalingv2.MetricSpec) func(*world) {
		return func(w *world) { w.hpa.Spec.Metrics[0] = metric }
	}
	of := func(s diagnose.Series) diagnose.Series {
		if s.NamespaceLabel == "" {
			s.NamespaceLabel, s.ObjectLabel = "namespace", "pod"
		}
		return s
	}
	outside := func(s diagnose.Series) diagnose.Series {
		s.NamespaceLabel = "namespace"
		return s
	}
	for name, test := range map[string]struct {
		store  store
		change func(*world)
		want   diagnose.Series
	}{
		"works": {store: webSeries, want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: -1, Samples: 2, Pods: []string{"web-0", "web-1"}})},
		"none":  {want: of(diagnose.Series{ForSelector: -1, Samples: -1, NaN: -1})},
		"of another namespace": {store: store{`http_requests_total{namespace="other",pod="web-0"}`: growing},
			want: of(diagnose.Series{Total: 1, ForSelector: -1, Samples: -1, NaN: -1})},
		"the namespace in another label": {store: store{`http_requests_total{namespace="monitoring",exported_namespace="shop",pod="web-0"}`: growing},
			want: of(diagnose.Series{Total: 1, OtherLabel: "exported_namespace", ForSelector: -1, Samples: -1, NaN: -1})},
		"ended": {store: store{`http_requests_total{namespace="shop",pod="web-0"}`: gone},
			want: of(diagnose.Series{ForSelector: -1, Samples: -1, NaN: -1, LastSeen: queryTime.Add(-20 * time.Minute).UTC()})},
		"of the pods ended": {store: store{`http_requests_total{namespace="shop",pod="web-0"}`: gone, `http_requests_total{namespace="shop",pod="old"}`: growing},
			want: of(diagnose.Series{Total: 1, InNamespace: 1, ForSelector: -1, Samples: -1, NaN: -1, OtherObjects: []string{"old"},
				LastSeen: queryTime.Add(-20 * time.Minute).UTC()})},
		"the pod in another label": {store: store{`http_requests_total{namespace="shop",pod="exporter-0",exported_pod="web-0"}`: growing},
			want: of(diagnose.Series{Total: 1, InNamespace: 1, ForSelector: -1, Samples: -1, NaN: -1, OtherObjects: []string{"exporter-0"},
				OtherObjectLabel: "exported_pod"})},
		"without a pod": {store: store{`http_requests_total{namespace="shop"}`: growing},
			want: of(diagnose.Series{Total: 1, InNamespace: 1, ForSelector: -1, Samples: -1, NaN: -1})},
		"that the rule excludes": {store: store{`http_requests_total{namespace="shop",pod="web-0",verb="TRACE"}`: growing},
			want: of(diagnose.Series{ForSelector: -1, Samples: -1, NaN: -1})},
		"that the metric's selector selects": {change: asking(podsMetric("http_requests_per_second", map[string]string{"verb": "GET"})),
			store: store{`http_requests_total{namespace="shop",pod="web-0",verb="GET"}`: growing, `http_requests_total{namespace="shop",pod="web-0",verb="PUT"}`: growing},
			want:  of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: 1, Samples: 1, Pods: []string{"web-0"}})},
		"that the metric's selector does not select": {store: webSeries, change: asking(podsMetric("http_requests_per_second", map[string]string{"verb": "GET"})),
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: 0, Samples: 0})},
		"not a number": {store: webSeries, change: query("sum(<<.Series>>{<<.LabelMatchers>>} - <<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) / 0"),
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: -1, Samples: 2, NaN: 2, Pods: []string{"web-0", "web-1"}})},
		"no answer to the rule's query": {store: webSeries, change: query("sum(<<.Series>>{<<.LabelMatchers>>}) by (pod) * on (namespace) sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)"),
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: -1, Samples: -1, NaN: -1, QueryError: "many-to-many"})},
		"a rule whose query reaches beyond the namespace": {store: webSeries, change: query("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) / scalar(sum(up))"),
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: -1, Samples: -1, NaN: -1})},
		"of an object": {change: asking(objectMetric("http_requests_per_second", "v1", "Pod", "web-0")), store: webSeries,
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 1, ForSelector: -1, Samples: 1, Pods: []string{"web-0"}})},
		"of the namespace": {change: asking(objectMetric("http_requests_per_second", "v1", "Namespace", "other")), store: webSeries,
			want: of(diagnose.Series{Total: 2, InNamespace: 2, ForPods: 2, ForSelector: -1, Samples: 1, NamespaceLabel: "namespace", ObjectLabel: "namespace", Pods: []string{"shop"}})},
		"external": {change: asking(externalMetric("queue_depth", map[string]string{"queue": "mail"})),
			store: store{`queue_depth{namespace="shop",queue="mail"}`: growing, `queue_depth{namespace="shop",queue="sms"}`: growing},
			want:  outside(diagnose.Series{Total: 2, InNamespace: 2, ForPods: -1, ForSelector: 1, Samples: 1})},
		"external, of no namespace": {change: func(w *world) {
			asking(externalMetric("queue_depth", map[string]string{"queue": "mail"}))(w)
			w.pipeline.Spec.ExternalMetrics.Rules[0].Resources.Namespaced = ptr.To(false)
		}, store: store{`queue_depth{queue="mail"}`: growing}, want: diagnose.Series{Total: 1, InNamespace: 1, ForPods: -1, ForSelector: -1, Samples: 1}},
		"external, of no namespace, and no answer to the rule's query": {change: func(w *world) {
			asking(externalMetric("queue_depth", nil))(w)
			w.pipeline.Spec.ExternalMetrics.Rules[0].Resources.Namespaced = ptr.To(false)
			w.pipeline.Spec.ExternalMetrics.Rules[0].MetricsQuery = "<<.Series>> * on () <<.Series>>"
		}, store: store{`queue_depth{team="a"}`: growing, `queue_depth{team="b"}`: growing},
			want: diagnose.Series{Total: 2, InNamespace: 2, ForPods: -1, ForSelector: -1, Samples: -1, NaN: -1, QueryError: "it cannot be evaluated"}},
		"external, of no namespace and none": {change: func(w *world) {
			asking(externalMetric("queue_depth", nil))(w)
			w.pipeline.Spec.ExternalMetrics.Rules[0].Resources.Namespaced = ptr.To(false)
		}, want: diagnose.Series{ForPods: -1, ForSelector: -1, Samples: -1, NaN: -1}},
		"of a derived rule, which are not counted elsewhere": {change: func(w *world) {
			w.pipeline.Spec.CustomMetrics.Rules = nil
			w.pipeline.Status.Rules = []v1alpha1.RuleStatus{{API: "custom.metrics.k8s.io", ID: "derived/http_requests_per_second/pods", Origin: v1alpha1.RuleDerived, State: v1alpha1.RuleInUse}}
			w.objects = append(w.objects, pod("web-5d7f9-abcde"))
		}, store: store{`http_requests_total{namespace="shop",pod="web-5d7f9-abcde"}`: growing, `http_requests_total{namespace="other",pod="web-0"}`: growing},
			want: of(diagnose.Series{Total: 1, InNamespace: 1, ForPods: 1, ForSelector: -1, Samples: 1, Pods: []string{"web-5d7f9-abcde"}})},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(func(w *world) { w.store = test.store })
			if test.change != nil {
				test.change(w)
			}
			evidence := w.collect(t)
			got := evidence.Metrics[0].Series
			if len(got.Queries) == 0 || len(got.Queries) > perMetric {
				t.Errorf("%d questions: %q", len(got.Queries), got.Queries)
			}
			contains := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".QueryError" },
				cmp.Comparer(func(a, b string) bool {
					return (a == "") == (b == "") && (strings.Contains(a, b) || strings.Contains(b, a))
				}))
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(diagnose.Series{}, "Queries"), contains); diff != "" {
				t.Errorf("%s\n%s", diff, strings.Join(got.Queries, "\n"))
			}
			if len(evidence.Unseen) > 0 {
				t.Error(evidence.Unseen)
			}
		})
	}
}

func TestWithoutAnAnswer(t *testing.T) {
	w := newWorld(func(w *world) {
		w.hpa = hpa(podsMetric("http_requests_per_second", nil), externalMetric("queue_depth", nil))
		w.change = func(s *Sources) {
			client, err := prometheus.NewClient("http://127.0.0.1:1", prometheus.Access{}, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			s.Prometheus = Ask(client)
		}
	})
	for _, metric := range w.collect(t).Metrics {
		if !strings.Contains(metric.Series.Unreachable, "127.0.0.1:1") || metric.Series.Total != -1 || len(metric.Rules) != 1 {
			t.Errorf("%+v", metric)
		}
	}
	w.change = func(s *Sources) { s.Prometheus, s.NoPrometheus = nil, "no way leads to it" }
	for link, want := range map[diagnose.LinkName]string{diagnose.LinkSeries: "ask Prometheus: no way leads to it",
		diagnose.LinkScrape: "ask Prometheus for its targets: no way leads to it"} {
		if seen := w.collect(t).Unseen[link]; seen != want {
			t.Error(seen)
		}
	}
	// One that does not answer is not asked again.
	silent := &unanswering{}
	w.change = func(s *Sources) { s.Prometheus = silent }
	if w.collect(t); silent.asked != 1 {
		t.Errorf("asked %d times", silent.asked)
	}
}

// Of two rules that make one metric the later one serves, if it has series.
func TestRulesInTheirOrder(t *testing.T) {
	second := func(w *world) {
		rule := w.pipeline.Spec.CustomMetrics.Rules[0]
		rule.ID, rule.SeriesQuery = "later", `http_requests_total{job="later"}`
		w.pipeline.Spec.CustomMetrics.Rules = append(w.pipeline.Spec.CustomMetrics.Rules, rule)
	}
	rejected := func(w *world) {
		second(w)
		w.pipeline.Status.Rules = []v1alpha1.RuleStatus{{API: "custom.metrics.k8s.io", ID: "later", State: v1alpha1.RuleRejected, Message: "it is bad"}}
	}
	elsewhere := func(w *world) {
		second(w)
		w.pipeline.Spec.CustomMetrics.Rules[1].Resources.Overrides = map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}, "service": {Resource: "service"}}
	}
	early, late := sample{value: 1, growth: 1}, sample{value: 1, growth: 2}
	for name, test := range map[string]struct {
		change func(*world)
		store  store
		want   []string
		pods   int
	}{
		"the later one": {change: second, want: []string{"later", "requests"}, pods: 1, store: store{
			`http_requests_total{namespace="shop",pod="web-0",job="later"}`: late, `http_requests_total{namespace="shop",pod="web-1"}`: early}},
		"the earlier one, where the later one has no series": {change: second, want: []string{"requests", "later"}, pods: 1,
			store: store{`http_requests_total{namespace="shop",pod="web-1"}`: early}},
		"the earlier one, where the later one is rejected": {change: rejected, want: []string{"requests", "later"}, pods: 2, store: store{
			`http_requests_total{namespace="shop",pod="web-0",job="later"}`: late, `http_requests_total{namespace="shop",pod="web-1"}`: early}},
		"the earlier one, where the later one is of Services": {change: elsewhere, want: []string{"requests", "later"}, pods: 2, store: store{
			`http_requests_total{namespace="shop",pod="web-0",job="later"}`: late, `http_requests_total{namespace="shop",pod="web-1"}`: early}},
	} {
		t.Run(name, func(t *testing.T) {
			metric := newWorld(test.change, func(w *world) { w.store = test.store }).collect(t).Metrics[0]
			var ids []string
			for _, rule := range metric.Rules {
				ids = append(ids, rule.ID)
			}
			if !slices.Equal(ids, test.want) || metric.Series.ForPods != test.pods {
				t.Errorf("rules %v with %d series, want %v with %d", ids, metric.Series.ForPods, test.want, test.pods)
			}
		})
	}
}

// A question is a URL, which has a bound; each part that has no room is left out, or put alone.
func TestLongestQuestion(t *testing.T) {
	asked := &recorder{something: true}
	w := newWorld(func(w *world) {
		w.asker, w.objects = asked, nil
		w.hpa = hpa(podsMetric("http_requests_per_second", map[string]string{"verb": "GET"}))
		w.pipeline.Spec.CustomMetrics.Rules[0].SeriesQuery = `http_requests_total{path!="` + strings.Repeat("x", 1500) + `"}`
		for i := range 30 {
			w.objects = append(w.objects, pod(strings.Repeat("w", 60)+strconv.Itoa(i)))
		}
	})
	scrape := w.collect(t).Metrics[0].Series
	for _, question := range asked.asked {
		if len(question) > longestQuestion+100 {
			t.Errorf("%d bytes: %s", len(question), question)
		}
	}
	if !strings.Contains(strings.Join(asked.asked, "\n"), `"dropped"`) || scrape.ForPods != 1 {
		t.Errorf("the targets or the pods were not asked for: %q", asked.asked)
	}
}
