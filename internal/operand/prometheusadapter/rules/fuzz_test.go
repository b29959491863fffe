// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// FuzzAcceptedRulesLoad looks for an accepted rule on which the adapter would exit, or that reaches it changed. Run it with
// go test -fuzz=FuzzAcceptedRulesLoad ./internal/operand/prometheusadapter/rules.
func FuzzAcceptedRulesLoad(f *testing.F) {
	rule, outside := requests(), depth()
	seed := func(series, query, matches, as, filter, template, label, group, resource string, namespaced bool) {
		f.Add(series, query, matches, as, filter, template, label, group, resource, namespaced)
	}
	seed(rule.SeriesQuery, rule.MetricsQuery, rule.Name.Matches, rule.Name.As, "_total$", "", "pod", "", "pod", true)
	seed(outside.SeriesQuery, outside.MetricsQuery, "", "", "", "", "namespace", "", "namespace", true)
	seed("up", "sum(up)", "(a)(b)", "", "", "", "", "", "", false)
	seed("up", `<<index .LabelValuesByName "namespace">>`, "", "$1", "(", "kube_<<.Group>>_<<.Resource>>", "d", "apps", "deployments", false)
	seed("up{a=\"\u2028\x01é\"}", "max(up)", "\x00", "null", "~", "<<.Resource>>", "null", "", "node", true)
	seed("up", "max(up)\n# : - 'x", "no", "0x1", "!!binary", "<<.Resource>>", "y", "", "nodes", true)
	seed("up", "<<range .GroupBySlice>>up<<end>>", "", "", "", "<<with .Resource>><<.>><<end>>", "1e3", "", "namespaces", true)

	f.Fuzz(func(t *testing.T, series, query, matches, as, filter, template, label, group, resource string, namespaced bool) {
		for _, text := range []string{series, query, matches, as, filter, template, label, group, resource} {
			if !utf8.ValidString(text) {
				t.Skip("the API server stores only UTF-8")
			}
		}
		shared := v1alpha1.MetricRule{
			SeriesQuery: series, MetricsQuery: query, Name: v1alpha1.MetricName{Matches: matches, As: as}}
		if filter != "" {
			shared.SeriesFilters = []v1alpha1.SeriesFilter{{Is: filter}, {IsNot: filter}}
		}
		labels := map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}}
		if label != "" {
			labels[label] = v1alpha1.GroupResource{Group: group, Resource: resource}
		}
		spec := customSpec(v1alpha1.CustomMetricRule{
			MetricRule: shared, Resources: v1alpha1.ResourceMapping{Template: template, Overrides: labels}})
		spec.ExternalMetrics = externalSpec(v1alpha1.ExternalMetricRule{MetricRule: shared, Resources: v1alpha1.ExternalResourceMapping{
			Template: template, Overrides: labels, Namespaced: ptr.To(namespaced)}}).ExternalMetrics

		mapper := operandtest.Mapper()
		var accepted []Rule
		for _, rule := range Of(spec) {
			_, err := rule.Check(mapper, v1alpha1.DialectPromQL)
			var unreachable *UnreachableError
			if errors.As(err, &unreachable) {
				t.Fatalf("a rule is taken for an error of the network: %v", err)
			}
			if err == nil {
				accepted = append(accepted, rule)
			}
		}
		config := loads(t, accepted, mapper)
		if len(config.Rules) == 1 {
			if diff := cmp.Diff(custom(spec.CustomMetrics.Rules[0]), config.Rules[0]); diff != "" {
				t.Errorf("the custom rule reaches the adapter changed (-want +got):\n%s", diff)
			}
		}
		if len(config.ExternalRules) == 1 {
			if diff := cmp.Diff(external(spec.ExternalMetrics.Rules[0]), config.ExternalRules[0]); diff != "" {
				t.Errorf("the external rule reaches the adapter changed (-want +got):\n%s", diff)
			}
		}
	})
}
