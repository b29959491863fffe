// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// withDerived has two derived rules in its status, beside a rule of the spec.
func withDerived(t *testing.T) *v1alpha1.MetricsPipeline {
	t.Helper()
	found := readPipeline(t, "ready")
	found.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{MetricRule: v1alpha1.MetricRule{ID: "http-requests-per-second"}}}
	found.Status.Rules = append(found.Status.Rules,
		v1alpha1.RuleStatus{ID: "derived/http_requests_per_second/pods", API: "custom.metrics.k8s.io", State: v1alpha1.RuleInUse,
			Origin: v1alpha1.RuleDerived, Autoscaler: "shop/web",
			Query: "sum(rate(http_requests_total{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"},
		v1alpha1.RuleStatus{ID: "derived/queue_depth", API: "external.metrics.k8s.io", State: v1alpha1.RuleInUse,
			Origin: v1alpha1.RuleDerived, Autoscaler: "shop/worker", Query: "sum(queue_depth{<<.LabelMatchers>>})"})
	found.Status.RulesTotal.Derived = 2
	return found
}

func TestRulesExport(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{}, withDerived(t))
	w.run(t, ExitWorks, "rules", "export")
	golden(t, "rules/export.out", w.out.String())
	written := v1alpha1.MetricsPipeline{}
	if err := yaml.UnmarshalStrict(w.out.Bytes(), &written); err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules.Of(written.Spec) {
		if found, err := rule.Check(builtInKinds(), v1alpha1.DialectPromQL); err != nil || len(found.Defects) > 0 {
			t.Errorf("the operator would not take %s: %v %v", rule.ID, err, found.Defects)
		}
	}
	w.run(t, ExitWorks, "rules", "export", "queue_depth")
	if strings.Contains(w.out.String(), "customMetrics") || !strings.Contains(w.out.String(), "id: queue-depth\n") {
		t.Errorf("of one metric it writes\n%s", w.out)
	}
	w.run(t, ExitBroken, "rules", "export", "other")
	if !strings.Contains(w.errOut.String(), "no derived rule for the metric other") || w.out.Len() > 0 {
		t.Errorf("of a metric without a rule it writes %q and %q", w.out, w.errOut)
	}
}

// TestRulesExportInPart: what the status does not list is said, and so is what this version does not understand.
func TestRulesExportInPart(t *testing.T) {
	part := withDerived(t)
	part.Status.RulesTotal.Derived = 7
	part.Status.Rules[1].Query = "avg(x)"
	w := newWorld(t, interceptor.Funcs{}, part)
	w.run(t, ExitUnseen, "rules", "export")
	for _, want := range []string{"status.rules lists 2 of 7 derived rules", `derived/http_requests_per_second/pods with the query "avg(x)"`} {
		if !strings.Contains(w.errOut.String(), want) {
			t.Errorf("standard error has %q, want %q", w.errOut, want)
		}
	}
	none := newWorld(t, interceptor.Funcs{}, readPipeline(t, "ready"))
	none.run(t, ExitWorks, "rules", "export")
	if none.out.Len() > 0 || none.errOut.String() != "there are no derived rules\n" {
		t.Errorf("without derived rules it writes %q and %q", none.out, none.errOut)
	}
}
