// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// globalSeries are those of a rule that says that its series belong to no namespace.
const globalSeries = "global_depth"

// statedRules are rules as people write them: with names, with expressions for names, joined with series that no matcher restricts.
func statedRules() v1alpha1.MetricsPipelineSpec {
	spec := pipeline().Spec
	custom := func(series, matches, as, query string) {
		rule := *spec.CustomMetrics.Rules[0].DeepCopy()
		rule.ID += "x"
		rule.SeriesQuery, rule.Name, rule.MetricsQuery = series, v1alpha1.MetricName{Matches: matches, As: as}, query
		spec.CustomMetrics.Rules = append(spec.CustomMetrics.Rules, rule)
	}
	const rate = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"
	custom(`{__name__=~"^container_.*",pod!=""}`, "^container_(.*)_seconds_total$", "", rate)
	custom(`{__name__=~"^app_.*"}`, "^app_.*$", "load", rate)
	custom(`{__name__=~".*_(?:total|count)"}`, "^(.*)_(?:total|count)$", "${1}_qps", rate)
	custom("jobs", "", "", "sum(jobs{<<.LabelMatchers>>}) by (<<.GroupBy>>) * on (pod) group_left kube_pod_info")
	custom("memory", "", "", `sum(memory{<<.LabelMatchers>>} or memory{namespace!="",pod!=""}) by (<<.GroupBy>>)`)
	templated := *spec.CustomMetrics.Rules[0].DeepCopy()
	templated.ID, templated.SeriesQuery, templated.Name = "templated", "templated", v1alpha1.MetricName{}
	templated.Resources = v1alpha1.ResourceMapping{Template: "kube_<<.Group>>_<<.Resource>>"}
	spec.CustomMetrics.Rules = append(spec.CustomMetrics.Rules, templated)
	global := *spec.ExternalMetrics.Rules[0].DeepCopy()
	global.ID, global.SeriesQuery, global.Resources.Namespaced = "global", globalSeries, ptr.To(false)
	spec.ExternalMetrics.Rules = append(spec.ExternalMetrics.Rules, global)
	return spec
}

// FuzzQuestions looks for an HPA that makes a question which is no PromQL, or which reads series of another namespace. Only the series of
// a stated rule are counted without a namespace. Run it with go test -fuzz=FuzzQuestions ./internal/diagnose/collect.
func FuzzQuestions(f *testing.F) {
	for _, name := range []string{"http_requests_per_second", "cpu_usage", "load", "hits_qps", "jobs", "memory", "templated", "queue_depth", globalSeries} {
		f.Add(name, "verb", "GET", "In", "web-0", "v1", "Pod", "web")
	}
	f.Add(`x"} or up{a="`, `a="b"} or {c`, `"} or up{namespace="other`, "NotIn", `a|.*`, "v1", "Service", `x"}`)
	f.Add("load\n", "namespace", "other", "Exists", "", "v1", "Namespace", "other")
	f.Add("memory", "__name__", ".*", "DoesNotExist", "web.0", "apps/v1", "Deployment", ".*")
	f.Add("http_requests_per_second", "a.b/c", "d", "In", "web-0", "networking.k8s.io/v1", "Ingress", "web")
	f.Add("templated", "question", "total 0", "In", "web-0", "example.com/v1alpha1", "Widget", "web")
	f.Fuzz(func(t *testing.T, name, key, value, operator, podName, version, kind, object string) {
		for _, text := range []string{name, key, value, operator, podName, version, kind, object} {
			if !utf8.ValidString(text) {
				t.Skip("the API server stores only UTF-8")
			}
		}
		identified := autoscalingv2.MetricIdentifier{Name: name, Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: values(operator, value)}}}}
		described := objectMetric(name, version, kind, object)
		described.Object.Metric = identified
		plain := objectMetric(name, version, kind, object)
		ofPods, external := podsMetric(name, nil), externalMetric(name, nil)
		ofPods.Pods.Metric, external.External.Metric = identified, identified
		w := newWorld(func(w *world) {
			w.hpa = hpa(podsMetric(name, nil), ofPods, described, plain, external, externalMetric(name, nil))
			spec := statedRules()
			w.pipeline.Spec.CustomMetrics.Rules, w.pipeline.Spec.ExternalMetrics.Rules = spec.CustomMetrics.Rules, spec.ExternalMetrics.Rules
			w.objects = nil
			if podName != "" {
				w.objects = append(w.objects, pod(podName), pod(podName+"x", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }))
			}
		})
		for _, something := range []bool{false, true} {
			asked := &recorder{something: something}
			w.asker = asked
			w.collect(t)
			for _, question := range asked.asked {
				expectInside(t, question)
			}
		}
	})
}

func values(operator, value string) []string {
	if operator == string(metav1.LabelSelectorOpExists) || operator == string(metav1.LabelSelectorOpDoesNotExist) {
		return nil
	}
	return []string{value, "other"}
}

// expectInside demands of each selector of a question that it is of the namespace, or is that of a stated rule.
func expectInside(t *testing.T, question string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(question)
	if err != nil {
		t.Fatalf("%s is no PromQL: %v", question, err)
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok || slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Type == labels.MatchEqual && m.Value == shop && slices.Contains(append(namespaceLabels, "kubernetes_namespace", "kube__namespace"), m.Name)
		}) {
			return nil
		}
		global := slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && m.Value == globalSeries
		})
		counted, isCount := path[len(path)-1].(*parser.AggregateExpr)
		if !global && (!isCount || counted.Op != parser.COUNT || !stated(selector)) {
			t.Errorf("%s reads beyond the namespace: %s", question, selector)
		}
		return nil
	})
}

// stated is true for the selector of a stated rule, of which a name may have been chosen.
func stated(selector *parser.VectorSelector) bool {
	of := func(matchers []*labels.Matcher) (others []string) {
		for _, m := range matchers {
			if m.Name != model.MetricNameLabel {
				others = append(others, m.String())
			}
		}
		return others
	}
	for _, rule := range statedRules().CustomMetrics.Rules {
		matchers := parseSelector(rule.SeriesQuery)
		named := !slices.ContainsFunc(selector.LabelMatchers, func(one *labels.Matcher) bool {
			return one.Name == model.MetricNameLabel && slices.ContainsFunc(matchers, func(m *labels.Matcher) bool {
				return m.Name == model.MetricNameLabel && !m.Matches(one.Value)
			})
		})
		if named && slices.Equal(of(matchers), of(selector.LabelMatchers)) {
			return true
		}
	}
	for _, rule := range statedRules().ExternalMetrics.Rules {
		if slices.Equal(of(parseSelector(rule.SeriesQuery)), of(selector.LabelMatchers)) && selector.LabelMatchers[0].Value == rule.SeriesQuery {
			return true
		}
	}
	return false
}
