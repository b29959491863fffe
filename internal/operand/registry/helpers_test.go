// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"testing"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
)

// both are the operands that each shared knob is tested for.
var both = []string{metricsserver.Name, prometheusadapter.Name}

// plan returns that of the registry's operands, as on a first run.
func plan(spec v1alpha1.MetricsPipelineSpec, facts cluster.Facts) operand.Plan {
	return operand.For(operand.Request{Spec: spec, Facts: facts, Operands: Operands(), Images: images()})
}

func images() map[string]string { return operand.Images(Operands(), func(string) string { return "" }) }

// foreign makes the first version of each group one of another owner.
func foreign(facts *cluster.Facts, groups ...string) {
	facts.APIServices = map[string]*apiregv1.APIService{}
	for _, group := range groups {
		apiService := &apiregv1.APIService{Spec: apiregv1.APIServiceSpec{Group: group, Version: "v1beta1"}}
		apiService.Name = "v1beta1." + group
		facts.APIServices[apiService.Name] = apiService
	}
}

// groups of all metrics APIs.
func groups() []string {
	return []string{metricsapi.Resource.Group, metricsapi.CustomV1Beta1.Group, metricsapi.External.Group}
}

// optionsOf gives both operands the same options.
func optionsOf(options v1alpha1.ComponentOptions) v1alpha1.MetricsPipelineSpec {
	spec := operandtest.Spec()
	spec.MetricsServer.ComponentOptions, spec.PrometheusAdapter.ComponentOptions = options, options
	return spec
}

// asJSON returns a value as it looks after it was written as JSON.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := json.Unmarshal(content, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}
