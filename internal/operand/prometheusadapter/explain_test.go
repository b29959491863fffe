// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// The adapter serves the later of two rules that make one metric.
func TestExplainBeginsWithTheRuleThatServes(t *testing.T) {
	spec := operandtest.Spec()
	spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{
		operandtest.CustomRule("first"), operandtest.CustomRule("other"), operandtest.CustomRule("last")}
	spec.CustomMetrics.Rules[1].SeriesQuery = "grpc_requests_total"
	explained, err := New().Explain(operand.RulesOf(spec, "Spec"), operand.MetricRequest{API: metricsapi.CustomV1Beta1.Group,
		Name: "http_requests_total", Namespace: "shop", Resource: schema.GroupResource{Resource: "pods"}, Objects: []string{"web-0"}},
		operand.Explaining{Mapper: operandtest.Mapper()})
	if err != nil {
		t.Fatal(err)
	}
	want := operand.Explained{ID: "last", Origin: "Spec", SeriesQuery: `http_requests_total`, NamespaceLabel: "namespace",
		ObjectLabel: "pod", Query: `sum(http_requests_total{namespace="shop",pod="web-0"}) by (pod)`}
	earlier := want
	earlier.ID = "first"
	if diff := cmp.Diff([]operand.Explained{want, earlier}, explained); diff != "" {
		t.Error(diff)
	}
}
