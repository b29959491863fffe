// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// offered are the capabilities of a cluster on which everything can be deployed.
func offered() Capabilities {
	return Capabilities{
		Namespace:  "metrics",
		Images:     Images(func(string) string { return "" }),
		Prometheus: Source{URL: "http://prometheus.monitoring.svc:9090"},
		Rules:      Rules{Custom: 1, External: 1, Config: "rules: []\n"},
	}
}

// withRules is the smallest spec that wants every metrics API.
func withRules() v1alpha1.MetricsPipelineSpec {
	return v1alpha1.MetricsPipelineSpec{
		CustomMetrics:   v1alpha1.CustomMetricsSpec{Rules: make([]v1alpha1.CustomMetricRule, 1)},
		ExternalMetrics: v1alpha1.ExternalMetricsSpec{Rules: make([]v1alpha1.ExternalMetricRule, 1)},
	}
}

// find returns the component of that name.
func find(t *testing.T, plan Plan, name string) Component {
	t.Helper()
	index := slices.IndexFunc(plan.Components, func(c Component) bool { return c.Name == name })
	if index < 0 {
		t.Fatalf("the plan has no component %s: %+v", name, plan)
	}
	return plan.Components[index]
}

// operationsOn returns the operations of a component's patches on its object of the kind, in their order.
func operationsOn(t *testing.T, c Component, kind string) []operation {
	t.Helper()
	var all []operation
	for _, patch := range c.Patches {
		if patch.Kind != kind || patch.Name != c.Name {
			continue
		}
		var operations []operation
		if err := json.Unmarshal([]byte(patch.Content), &operations); err != nil {
			t.Fatalf("patch on %s %s is no list of operations: %v\n%s", kind, patch.Name, err, patch.Content)
		}
		all = append(all, operations...)
	}
	return all
}

// args returns the arguments that the Deployment's patches append, in their order.
func args(t *testing.T, c Component) []string {
	t.Helper()
	var found []string
	for _, operation := range operationsOn(t, c, "Deployment") {
		if operation.Path == "/spec/template/spec/containers/0/args/-" {
			found = append(found, operation.Value.(string))
		}
	}
	return found
}

// arg returns the value of a flag among the appended arguments; false where it is not given.
func arg(t *testing.T, c Component, flag string) (string, bool) {
	t.Helper()
	for _, given := range args(t, c) {
		if name, value, _ := strings.Cut(given, "="); name == flag {
			return value, true
		}
	}
	return "", false
}

// valueAt returns what the Deployment's patches set at a path, as decoded JSON; nil where they set nothing.
func valueAt(t *testing.T, c Component, path string) any {
	t.Helper()
	for _, operation := range operationsOn(t, c, "Deployment") {
		if operation.Path == path {
			return operation.Value
		}
	}
	return nil
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
