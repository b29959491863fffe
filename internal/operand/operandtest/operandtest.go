// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package operandtest helps to test operands: it has a cluster on which everything can be deployed, a spec that wants all of
// it, and a view of what a component's patches do.
package operandtest

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Facts are those of a cluster on which everything can be deployed. It has no CRD of others.
func Facts() cluster.Facts {
	return cluster.Facts{
		Namespace:      "metrics",
		Served:         cluster.Serving(),
		Mapper:         Mapper(),
		SystemPriority: true,
		Prometheus: cluster.Prometheus{
			Required: true,
			Target: prometheus.Target{URL: "http://prometheus.monitoring.svc:9090", Origin: "Prometheus monitoring/main",
				Object: "Prometheus monitoring/main"},
			Answer: probe.Answer{Known: true},
		},
	}
}

// Registered are APIServices of ours that lead to a component, by name.
func Registered(namespace, component string, apis ...metricsapi.API) map[string]*apiregv1.APIService {
	all := map[string]*apiregv1.APIService{}
	for _, api := range apis {
		all[api.Name()] = &apiregv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: api.Name(), Labels: ownership.Labels(component)},
			Spec: apiregv1.APIServiceSpec{Group: api.Group, Version: api.Version,
				Service: &apiregv1.ServiceReference{Namespace: namespace, Name: component}},
		}
	}
	return all
}

// Mapper knows the kinds of a cluster, as far as rules are about them, and one of a CRD.
func Mapper() *meta.DefaultRESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(group, version, kind string, scope meta.RESTScope) {
		mapper.Add(schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, scope)
	}
	for _, kind := range []string{"Pod", "Service", "PersistentVolumeClaim"} {
		add("", "v1", kind, meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Namespace", "Node", "PersistentVolume"} {
		add("", "v1", kind, meta.RESTScopeRoot)
	}
	add("example.com", "v1alpha1", "Widget", meta.RESTScopeNamespace)
	add("apps", "v1", "Deployment", meta.RESTScopeNamespace)
	add("batch", "v1", "Job", meta.RESTScopeNamespace)
	add("networking.k8s.io", "v1", "Ingress", meta.RESTScopeNamespace)
	return mapper
}

// Spec is the smallest one that wants every metrics API.
func Spec() v1alpha1.MetricsPipelineSpec {
	return v1alpha1.MetricsPipelineSpec{
		CustomMetrics:   v1alpha1.CustomMetricsSpec{Rules: []v1alpha1.CustomMetricRule{CustomRule("requests")}},
		ExternalMetrics: v1alpha1.ExternalMetricsSpec{Rules: []v1alpha1.ExternalMetricRule{ExternalRule("depth")}},
	}
}

// CustomRule is a rule that works.
func CustomRule(id string) v1alpha1.CustomMetricRule {
	return v1alpha1.CustomMetricRule{
		MetricRule: v1alpha1.MetricRule{ID: id, SeriesQuery: "http_requests_total",
			MetricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"},
		Resources: v1alpha1.ResourceMapping{Template: "<<.Resource>>"},
	}
}

// ExternalRule is a rule that works.
func ExternalRule(id string) v1alpha1.ExternalMetricRule {
	namespaced := false
	return v1alpha1.ExternalMetricRule{
		MetricRule: v1alpha1.MetricRule{ID: id, SeriesQuery: "queue_depth",
			MetricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>})"},
		Resources: v1alpha1.ExternalResourceMapping{Namespaced: &namespaced},
	}
}

// Find returns the component of a name, which the plan must have.
func Find(t *testing.T, plan operand.Plan, name string) operand.Component {
	t.Helper()
	found, ok := plan.Component(name)
	if !ok {
		t.Fatalf("the plan has no component %s: %+v", name, plan)
	}
	return found.Component
}

// Operations returns those of a component's patches on its object of a kind, in their order, with values as JSON decodes them.
func Operations(t *testing.T, c operand.Component, kind string) []operand.Operation {
	t.Helper()
	var all []operand.Operation
	for _, patch := range c.Patches {
		if patch.Kind != kind || patch.Name != c.Name {
			continue
		}
		var operations []operand.Operation
		if err := json.Unmarshal([]byte(patch.Content), &operations); err != nil {
			t.Fatalf("patch on %s %s is no list of operations: %v\n%s", kind, patch.Name, err, patch.Content)
		}
		all = append(all, operations...)
	}
	return all
}

// Args returns the arguments that the patches append to the container of the component's Deployment, in their order.
func Args(t *testing.T, c operand.Component) []string {
	t.Helper()
	var found []string
	for _, operation := range Operations(t, c, "Deployment") {
		if operation.Path == "/spec/template/spec/containers/0/args/-" {
			found = append(found, operation.Value.(string))
		}
	}
	return found
}

// Arg returns the value of a flag among the appended arguments; false where it is not among them.
func Arg(t *testing.T, c operand.Component, flag string) (string, bool) {
	t.Helper()
	for _, given := range Args(t, c) {
		if name, value, _ := strings.Cut(given, "="); name == flag {
			return value, true
		}
	}
	return "", false
}

// ValueAt returns what the patches set at a path of the component's Deployment; nil where they set nothing.
func ValueAt(t *testing.T, c operand.Component, path string) any {
	t.Helper()
	for _, operation := range Operations(t, c, "Deployment") {
		if operation.Path == path {
			return operation.Value
		}
	}
	return nil
}
