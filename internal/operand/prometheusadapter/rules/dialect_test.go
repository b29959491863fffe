// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// TestMetricsQL: what VictoriaMetrics accepts beyond PromQL is accepted for it alone; what the adapter could not run is refused for
// any store.
func TestMetricsQL(t *testing.T) {
	for name, tc := range map[string]struct {
		rule v1alpha1.CustomMetricRule
		// promQL and metricsQL are why the rule is refused; empty where it is not.
		promQL, metricsQL string
	}{
		"a rate without a window": {requests(querying(`sum(rate(<<.Series>>{<<.LabelMatchers>>})) by (<<.GroupBy>>)`)), "is not PromQL", ""},
		"a default":               {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) default 0`)), "is not PromQL", ""},
		"a function of its own": {requests(querying(`sum(keep_last_value(<<.Series>>{<<.LabelMatchers>>})) by (<<.GroupBy>>)`)),
			"is not PromQL", ""},
		"a function that Prometheus 3 has renamed": {requests(querying(
			`sum(holt_winters(<<.Series>>{<<.LabelMatchers>>}[10m], 0.5, 0.5)) by (<<.GroupBy>>)`)), "is not PromQL", ""},
		"filters with or": {requests(func(r *v1alpha1.CustomMetricRule) { r.SeriesQuery = `requests{pod!="",a="1" or pod!="",b="2"}` }),
			"is not a series selector", ""},
		"a range vector":       {requests(querying(`<<.Series>>{<<.LabelMatchers>>}[5m]`)), "range vector", ""},
		"PromQL":               {requests(), "", ""},
		"a template that ends": {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}`)), "is not PromQL", ""},
		"a broken template":    {requests(querying(`sum(<<.Series>`)), "metricsQuery", "metricsQuery"},
		"no such field":        {requests(querying(`sum(<<.Serie>>)`)), "metricsQuery", "metricsQuery"},
		"an empty query":       {requests(querying(`<<if false>>x<<end>>`)), "empty query", "empty query"},
		"an empty selector":    {requests(func(r *v1alpha1.CustomMetricRule) { r.SeriesQuery = " " }), "seriesQuery", "seriesQuery"},
		"a query for series":   {requests(func(r *v1alpha1.CustomMetricRule) { r.SeriesQuery = "sum(x)" }), "not a series selector", "not a series selector"},
		"no such resource":     {requests(leading("pod", "", "lamp")), "no resource", "no resource"},
		"no such group":        {requests(func(r *v1alpha1.CustomMetricRule) { r.Name.As = "${9}" }), "has no group", "has no group"},
	} {
		t.Run(name, func(t *testing.T) {
			rule := Of(customSpec(tc.rule))[0]
			for dialect, want := range map[v1alpha1.QueryDialect]string{
				"": tc.promQL, v1alpha1.DialectPromQL: tc.promQL, v1alpha1.DialectMetricsQL: tc.metricsQL} {
				_, err := rule.Check(operandtest.Mapper(), dialect)
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("as %q: %v, want %q", dialect, err, want)
				}
				if err == nil {
					loads(t, []Rule{rule}, operandtest.Mapper())
				}
			}
		})
	}
}
