// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// store is a Prometheus with some series.
type store []string

// count returns how many of the series each selector selects, or two of them that are joined by "and".
func (s store) count(t *testing.T, selectors []string) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, selector := range selectors {
		expr, err := promQL.ParseExpr(selector)
		if err != nil {
			t.Fatalf("%s: %v", selector, err)
		}
		counts[selector] = int64(len(s.selected(t, expr)))
	}
	return counts
}

func (s store) selected(t *testing.T, expr parser.Expr) []labels.Labels {
	t.Helper()
	var found []labels.Labels
	switch n := expr.(type) {
	case *parser.VectorSelector:
		for _, series := range s {
			metric, err := promQL.ParseMetric(series)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(n.LabelMatchers, func(m *labels.Matcher) bool { return !m.Matches(metric.Get(m.Name)) }) {
				found = append(found, metric)
			}
		}
	case *parser.BinaryExpr:
		right := s.selected(t, n.RHS)
		for _, metric := range s.selected(t, n.LHS) {
			if n.Op == parser.LAND && slices.ContainsFunc(right, func(other labels.Labels) bool {
				return !slices.ContainsFunc(n.VectorMatching.MatchingLabels, func(name string) bool { return metric.Get(name) != other.Get(name) })
			}) {
				found = append(found, metric)
			}
		}
	}
	return found
}

// TestVerdicts: what the series of Prometheus say about rules that look well, and about those of which they say nothing.
func TestVerdicts(t *testing.T) {
	const (
		web     = `http_requests_total{namespace="shop",pod="web-0",code="200",job="web"}`
		failed  = `http_requests_total{namespace="shop",pod="web-0",code="500",job="web"}`
		other   = `http_requests_total{namespace="shop",pod="web-1",code="200",job="other"}`
		scraped = `http_requests_total{namespace="shop",instance="10.0.0.1:8080"}`
	)
	fails := selecting(`http_requests_total{namespace!="",pod!="",code="500"}`)
	for name, tc := range map[string]struct {
		rule   v1alpha1.CustomMetricRule
		series store
		want   int64
		says   []string // Words of the only defect; none for none.
		note   string
	}{
		"series": {rule: requests(), series: store{web, failed, other}, want: 3},
		"none":   {rule: requests(), series: store{"up"}, note: "no series of seriesQuery yet"},
		"none that names a pod": {rule: requests(), series: store{scraped},
			says: []string{"seriesQuery wants the label pod", "not have it"}},
		"none that names a pod and a namespace": {rule: requests(), series: store{`http_requests_total{instance="10.0.0.1:8080"}`},
			says: []string{"wants the labels namespace, pod", "has all of them"}},
		"none of another value": {rule: requests(fails), series: store{web}, note: `some where code="500" is left out`},
		"none with a label that is not an object's": {rule: requests(selecting(`http_requests_total{namespace!="",pod!="",app!=""}`)),
			series: store{web, other}, says: []string{"wants the label app"}},

		// The labels of overrides.
		"none that names an object": {rule: requests(selecting("http_requests_total")), series: store{scraped}, want: 1,
			says: []string{"none of the series", "pod and namespace (for pods)"}},
		"some that name an object": {rule: requests(selecting("http_requests_total")), series: store{scraped, web}, want: 2},
		"one resource of two": {rule: requests(selecting("http_requests_total"), mapped("namespace=namespace", "pod=pod", "service=service")),
			series: store{web}, want: 1},
		"no resource of two": {rule: requests(selecting("http_requests_total"), mapped("namespace=namespace", "app=deployments.apps", "service=service")),
			series: store{web}, want: 1, says: []string{"app and namespace (for deployments), service and namespace (for services)"}},
		"labels by a template": {rule: requests(selecting("http_requests_total"), templated("<<.Resource>>")), series: store{scraped}, want: 1},
		"another metric is queried": {rule: requests(selecting(`kube_pod_labels{pod!=""}`), named("", "pod_load"),
			querying(`sum(load{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)), series: store{`kube_pod_labels{pod="web-0"}`}, want: 1},

		// A matcher of seriesQuery that metricsQuery does not have.
		"a matcher that is lost": {rule: requests(fails), series: store{web, failed}, want: 1,
			says: []string{`metricsQuery has no code="500"`, "series too that seriesQuery excludes"}},
		"a matcher that is lost and excludes other objects alone": {rule: requests(selecting(`http_requests_total{namespace!="",pod!="",job="web"}`)),
			series: store{web, failed, other}, want: 2},
		"a matcher that is lost for pods, not for services": {rule: requests(fails, mapped("namespace=namespace", "pod=pod", "service=service")),
			series: store{web, failed, `http_requests_total{namespace="shop",pod="web-1",service="bad",code="500"}`}, want: 2},
		"a matcher that is lost and excludes nothing": {rule: requests(fails), series: store{failed}, want: 1},
		"a matcher that both have": {rule: requests(fails, querying(
			`sum(rate(<<.Series>>{<<.LabelMatchers>>,code="500"}[2m])) by (<<.GroupBy>>)`)), series: store{web, failed}, want: 1},
		"a share of what it excludes": {rule: requests(fails, querying(
			`sum(<<.Series>>{<<.LabelMatchers>>,code="500"}) by (<<.GroupBy>>) / sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)),
			series: store{web, failed}, want: 1},
		"another matcher of the label": {rule: requests(fails, querying(
			`sum(<<.Series>>{<<.LabelMatchers>>,code=~"5.."}) by (<<.GroupBy>>)`)), series: store{web, failed}, want: 1},
		"grouped by the label": {rule: requests(fails, querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>, code)`)),
			series: store{web, failed}, want: 1},
		"a matcher of an object's label": {rule: requests(selecting(`http_requests_total{namespace="shop",pod=~"web-.*"}`)),
			series: store{web, `http_requests_total{namespace="other",pod="x"}`}, want: 1},
		"a matcher on what a template leads to": {rule: requests(selecting(`http_requests_total{namespace!="",service!=""}`), templated("<<.Resource>>")),
			series: store{`http_requests_total{namespace="shop",pod="web-0",service="web"}`, web}, want: 1},
		"a matcher that is lost beside a template": {rule: requests(fails, templated("<<.Resource>>")), series: store{web, failed}, want: 1,
			says: []string{`metricsQuery has no code="500"`}},
		"names that are not known": {rule: requests(selecting(`{__name__=~"http_.+_total",code="500",namespace!="",pod!=""}`)),
			series: store{web, failed}, want: 1},

		// Filters of names that only Prometheus knows.
		"filters that exclude every series": {rule: requests(selecting(`{__name__=~"http_.+",pod!=""}`), named("^(.*)_seconds$", "")),
			series: store{web}, says: []string{"exclude every series"}},
		"filters that leave a series": {rule: requests(selecting(`{__name__=~"http_.+",pod!=""}`),
			filtering(v1alpha1.SeriesFilter{IsNot: "_sum$"}, v1alpha1.SeriesFilter{Is: "^http"})), series: store{web, `http_x_sum{pod="a"}`}, want: 1},

		// Dashes.
		"dashes": {rule: requests(named("", ""), querying(`sum(http-requests-total{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)),
			series: store{web, "http"}, want: 1, says: []string{"http-requests-total", "no series requests", `{"http-requests-total",<<.LabelMatchers>>}`}},
		"a subtraction without spaces": {rule: requests(named("", ""), querying(`sum(limit-used{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)),
			series: store{web, "limit", "used"}, want: 1},
		"a subtraction": {rule: requests(named("", ""), querying(`sum(limit - used{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)),
			series: store{web}, want: 1},
		"a subtraction of sums": {rule: requests(named("", ""), querying(
			`sum(<<.Series>>{<<.LabelMatchers>>})by(<<.GroupBy>>)-sum(used{<<.LabelMatchers>>})by(<<.GroupBy>>)`)), series: store{web}, want: 1},
		"a subtraction with matchers": {rule: requests(named("", ""), querying(
			`sum(limit{<<.LabelMatchers>>}-used{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)), series: store{web}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			found := found(t, customSpec(tc.rule))
			if len(found.Defects) > 0 {
				t.Fatalf("defects without Prometheus: %q", found.Defects)
			}
			expectVerdict(t, found.Verdict(tc.series.count(t, found.Selectors())), tc.want, tc.says, tc.note)
		})
	}
}

func expectVerdict(t *testing.T, got Verdict, series int64, says []string, note string) {
	t.Helper()
	if got.Series != series {
		t.Errorf("%d series, want %d", got.Series, series)
	}
	if !strings.Contains(got.Note, note) || note == "" && got.Note != "" {
		t.Errorf("note %q, want %q", got.Note, note)
	}
	expectDefect(t, Findings{Defects: got.Defects}, says)
}

// TestVerdictsOfExternalRules: an external metric needs no label of an object but that of the namespace.
func TestVerdictsOfExternalRules(t *testing.T) {
	here, nowhere := `queue_depth{namespace="shop",queue="orders"}`, `queue_depth{queue="orders"}`
	everything := func(r *v1alpha1.ExternalMetricRule) { r.SeriesQuery = "queue_depth" }
	for name, tc := range map[string]struct {
		rule   v1alpha1.ExternalMetricRule
		series store
		want   int64
		says   []string
		note   string
	}{
		"series":              {rule: depth(), series: store{here}, want: 1},
		"none":                {rule: depth(), note: "no series of seriesQuery yet"},
		"none of a namespace": {rule: depth(everything), series: store{nowhere}, want: 1, says: []string{"namespace (for namespaces)"}},
		"a matcher that is lost": {rule: depth(func(r *v1alpha1.ExternalMetricRule) { r.SeriesQuery = `queue_depth{namespace!="",job="web"}` }),
			series: store{`queue_depth{namespace="shop",queue="orders",job="web"}`, `queue_depth{namespace="shop",queue="orders",job="old"}`},
			want:   1, says: []string{`metricsQuery has no job="web"`}},
		"some of a namespace":       {rule: depth(everything), series: store{nowhere, here}, want: 2},
		"another metric is queried": {rule: depth(everything, func(r *v1alpha1.ExternalMetricRule) { r.MetricsQuery = "sum(x{<<.LabelMatchers>>})" }), series: store{nowhere}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			found := found(t, externalSpec(tc.rule))
			expectVerdict(t, found.Verdict(tc.series.count(t, found.Selectors())), tc.want, tc.says, tc.note)
		})
	}
}

// TestCountsAreBounded: what a rule has counted does not grow with what it says.
func TestCountsAreBounded(t *testing.T) {
	selector := "x{"
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		selector += string(letter) + `="1",`
	}
	if selectors := found(t, customSpec(requests(selecting(selector+"}"), named("", "")))).Selectors(); len(selectors) > mostCounts {
		t.Errorf("%d selectors", len(selectors))
	}
	// Nor is anything said of a part of the resources.
	labels := []string{"namespace=namespace"}
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		labels = append(labels, string(letter)+"=pod")
	}
	found := found(t, customSpec(requests(selecting("http_requests_total"), mapped(labels...))))
	verdict := found.Verdict(store{`http_requests_total{instance="a"}`}.count(t, found.Selectors()))
	if len(verdict.Defects) > 0 {
		t.Errorf("of 26 resources: %q", verdict.Defects)
	}
}

// TestShadowedRules: of two rules that make one metric of one resource the later one serves.
func TestShadowedRules(t *testing.T) {
	base := requests()
	for name, tc := range map[string]struct {
		earlier, later v1alpha1.CustomMetricRule
		alike, served  bool // Whether the later one shadows by itself, and where both are known to have series.
	}{
		"two queries of one series": {base, requests(querying(`max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)), true, true},
		"two series under one name": {base, requests(selecting(`requests_total{pod!=""}`), named("", "http_requests_per_second")), false, true},
		"of two resources":          {base, requests(mapped("namespace=namespace", "service=service")), false, false},
		"a part of the resources":   {requests(mapped("namespace=namespace", "pod=pod", "service=service")), base, false, false},
		"more resources":            {base, requests(mapped("namespace=namespace", "pod=pod", "service=service")), true, true},
		"other names":               {base, requests(named("", "")), false, false},
		"names that are not known":  {base, requests(selecting(`{__name__=~".+_total",pod!=""}`)), false, false},
		"a part of the names":       {requests(selecting(`{__name__=~"a_total|http_requests_total"}`)), base, false, false},
	} {
		earlier, later := found(t, customSpec(tc.earlier)), found(t, customSpec(tc.later))
		if alike, served := later.Shadows(earlier, false), later.Shadows(earlier, true); alike != tc.alike || served != tc.served {
			t.Errorf("%s: %t and %t, want %t and %t", name, alike, served, tc.alike, tc.served)
		}
	}
}
