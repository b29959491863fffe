// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// ask is what an HPA of Deployment web in namespace shop asks for.
func ask(kind autoscalingv2.MetricSourceType, metric, selector string) derive.Ask {
	return derive.Ask{Metric: autoscaler.Metric{Namespace: "shop", Type: kind, Name: metric, Selector: selector}, HPA: "web",
		Target: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}
}

// about is the same of an object.
func about(metric, apiVersion, kind, name string) derive.Ask {
	asked := ask(autoscalingv2.ObjectMetricSourceType, metric, "")
	asked.APIVersion, asked.Kind, asked.Object = apiVersion, kind, name
	return asked
}

// decide derives from names of series that there are.
func decide(asked derive.Ask, names ...string) derive.Decision {
	answer := derive.Answer{}
	for _, name := range names {
		answer[name] = derive.Count{Series: 1}
	}
	return derive.Decide(derive.Input{
		Asked: []derive.Ask{asked}, Served: func(derive.Key, []string) bool { return false },
		Answers: func(selector string) (derive.Answer, bool) {
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(selector)
			if err != nil {
				return nil, false
			}
			for _, m := range expr.(*parser.VectorSelector).LabelMatchers {
				if m.Name == "namespace" && m.Value != "" {
					return answer, true
				}
			}
			return derive.Answer{}, true
		},
	})
}

// sent returns what the adapter sends by a derived rule for an HPA, by the code that it builds queries with.
func sent(t *testing.T, rule derive.Rule, asked derive.Ask, selector kubelabels.Selector, names ...string) string {
	t.Helper()
	form := rules.Of(derive.Add(v1alpha1.MetricsPipelineSpec{}, []derive.Rule{rule}, queryWindow))[0]
	namers, err := naming.NamersFromConfig([]adapter.DiscoveryRule{form.Discovery}, operandtest.Mapper())
	if err != nil {
		t.Fatal(err)
	}
	if asked.Type == autoscalingv2.ExternalMetricSourceType {
		query, err := namers[0].QueryForExternalSeries(rule.From, asked.Namespace, selector)
		if err != nil {
			t.Fatal(err)
		}
		return string(query)
	}
	resource := schema.ParseGroupResource(rule.Resource)
	namespace := asked.Namespace
	if resource == naming.NsGroupResource {
		namespace, names = "", []string{asked.Namespace}
	}
	query, err := namers[0].QueryForSeries(rule.From, resource, namespace, selector, names...)
	if err != nil {
		t.Fatal(err)
	}
	return string(query)
}

// TestDerivedQueries: what the adapter sends gives the numbers of the HPA's own objects, by Prometheus' own engine.
func TestDerivedQueries(t *testing.T) {
	prometheus := store{
		counters: map[string]float64{
			`http_requests_total{namespace="shop",pod="web-6d4cf56db6-x2x4k",service="web",code="200"}`:       3,
			`http_requests_total{namespace="shop",pod="web-6d4cf56db6-x2x4k",service="web",code="500"}`:       1,
			`http_requests_total{namespace="shop",pod="web-6d4cf56db6-p8q2z",service="web",code="200"}`:       2,
			`http_requests_total{namespace="other",pod="web-6d4cf56db6-x2x4k",service="web",code="200"}`:      100,
			`container_cpu_usage_seconds_total{namespace="shop",pod="web-6d4cf56db6-x2x4k",container="app"}`:  0.25,
			`container_cpu_usage_seconds_total{namespace="shop",pod="web-6d4cf56db6-x2x4k",container="POD"}`:  8,
			`container_cpu_usage_seconds_total{namespace="other",pod="web-6d4cf56db6-x2x4k",container="app"}`: 100,
			`orders_total{namespace="shop",queue="a"}`:                                                        4,
			`orders_total{namespace="other",queue="a"}`:                                                       100,
		},
		gauges: map[string]float64{
			`depth{namespace="shop",pod="web-6d4cf56db6-x2x4k",shard="1"}`: 5,
			`depth{namespace="shop",pod="web-6d4cf56db6-x2x4k",shard="2"}`: 6,
			`depth{namespace="shop",queue="b"}`:                            7,
			`depth{namespace="other",pod="web-6d4cf56db6-x2x4k"}`:          100,
			`job:depth:sum{namespace="shop",deployment="web"}`:             9,
			`job:depth:sum{namespace="other",deployment="web"}`:            100,
			`requests{namespace="shop",ingress="web"}`:                     11,
		},
	}
	one, two := "web-6d4cf56db6-x2x4k", "web-6d4cf56db6-p8q2z"
	pods, external := autoscalingv2.PodsMetricSourceType, autoscalingv2.ExternalMetricSourceType
	for name, tc := range map[string]struct {
		asked derive.Ask
		from  string
		names []string
		by    string
		want  map[string]float64
	}{
		"a rate of pods":       {ask(pods, "http_requests_per_second", ""), "http_requests_total", []string{one, two}, "pod", map[string]float64{one: 4, two: 2}},
		"by a selector":        {ask(pods, "http_requests_per_second", "code=500"), "http_requests_total", []string{one, two}, "pod", map[string]float64{one: 1}},
		"a gauge of pods":      {ask(pods, "depth", ""), "depth", []string{one}, "pod", map[string]float64{one: 11}},
		"cpu of containers":    {ask(pods, "cpu_usage", ""), "container_cpu_usage_seconds_total", []string{one}, "pod", map[string]float64{one: 0.25}},
		"a Service":            {about("http_requests_per_second", "v1", "Service", "web"), "http_requests_total", []string{"web"}, "service", map[string]float64{"web": 6}},
		"a Deployment":         {about("job_depth_sum", "apps/v1", "Deployment", "web"), "job:depth:sum", []string{"web"}, "deployment", map[string]float64{"web": 9}},
		"an Ingress":           {about("requests", "networking.k8s.io/v1", "Ingress", "web"), "requests", []string{"web"}, "ingress", map[string]float64{"web": 11}},
		"the namespace":        {about("orders_per_second", "v1", "Namespace", "other"), "orders_total", nil, "namespace", map[string]float64{"shop": 4}},
		"an external rate":     {ask(external, "orders_per_second", ""), "orders_total", nil, "", map[string]float64{"": 4}},
		"an external selector": {ask(external, "depth", "queue in (b,c)"), "depth", nil, "", map[string]float64{"": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(tc.asked, tc.from)
			if len(d.Rules) != 1 {
				t.Fatalf("%d rules: %+v", len(d.Rules), d.Verdicts[0].Problem)
			}
			selector, err := kubelabels.Parse(tc.asked.Selector)
			if err != nil {
				t.Fatal(err)
			}
			var by []string
			if tc.by != "" {
				by = []string{tc.by}
			}
			query := sent(t, d.Rules[0], tc.asked, selector, tc.names...)
			if diff := cmp.Diff(tc.want, prometheus.query(t, query, by...), cmpopts.EquateApprox(1e-6, 0)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", query, diff)
			}
		})
	}
}

// FuzzDerivedRules: no HPA leads to a rule that the adapter would not run, or to a query that reads series of another namespace.
func FuzzDerivedRules(f *testing.F) {
	for _, metric := range []string{"http_requests_per_second", "cpu_usage", "queue:depth", `x"} or {a="`} {
		for of := range uint8(3) {
			f.Add("shop", of, metric, "a=1,b in (c,d)", "Service", "web", metric+"_total")
			f.Add("shop", of, metric, "namespace=other", "Deployment", `web"`, "container_"+metric)
		}
	}
	f.Fuzz(func(t *testing.T, namespace string, of uint8, metric, selector, kind, name, series string) {
		types := []autoscalingv2.MetricSourceType{autoscalingv2.PodsMetricSourceType, autoscalingv2.ObjectMetricSourceType, autoscalingv2.ExternalMetricSourceType}
		asked := ask(types[int(of)%len(types)], metric, selector)
		asked.Namespace, asked.Kind, asked.Object, asked.APIVersion, asked.Target.Name = namespace, kind, name, "v1", name
		if kind == "Deployment" {
			asked.APIVersion = "apps/v1"
		}
		for _, rule := range decide(asked, series, metric, metric+"_total").Rules {
			form := rules.Of(derive.Add(v1alpha1.MetricsPipelineSpec{}, []derive.Rule{rule}, queryWindow))[0]
			if _, err := form.Check(operandtest.Mapper(), ""); err != nil {
				t.Fatalf("%+v is refused: %v", rule, err)
			}
			parsed, err := kubelabels.Parse(selector)
			if err != nil {
				t.Fatalf("a rule follows from the selector %q: %v", selector, err)
			}
			query := sent(t, rule, asked, parsed, name)
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
				vector, is := node.(*parser.VectorSelector)
				if is && !slices.ContainsFunc(vector.LabelMatchers, func(m *labels.Matcher) bool {
					return m.Type == labels.MatchEqual && m.Name == rule.Labels.Namespace && m.Value == namespace
				}) {
					t.Errorf("%s reads more than namespace %s", query, namespace)
				}
				return nil
			})
		}
	})
}
