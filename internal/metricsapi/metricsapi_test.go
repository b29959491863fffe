// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// withRules has a rule for each of the APIs that take rules.
func withRules() v1alpha1.MetricsPipelineSpec {
	return v1alpha1.MetricsPipelineSpec{
		CustomMetrics:   v1alpha1.CustomMetricsSpec{Rules: make([]v1alpha1.CustomMetricRule, 1)},
		ExternalMetrics: v1alpha1.ExternalMetricsSpec{Rules: make([]v1alpha1.ExternalMetricRule, 1)},
	}
}

// TestAll pins what other programs rely on: the HorizontalPodAutoscaler controller prefers custom.metrics.k8s.io/v1beta2.
func TestAll(t *testing.T) {
	if CustomV1Beta2.VersionPriority <= CustomV1Beta1.VersionPriority {
		t.Error("custom.metrics.k8s.io/v1beta2 is not preferred")
	}
	names := map[string]bool{}
	for _, api := range All() {
		if names[api.Name()] {
			t.Errorf("%s is listed twice", api.Name())
		}
		names[api.Name()] = true
		if found, ok := ByName(api.Name()); !ok || found != api {
			t.Errorf("ByName(%s) = %v, %t", api.Name(), found, ok)
		}
	}
	if !names["v1beta1.metrics.k8s.io"] || len(names) != 4 {
		t.Errorf("the metrics APIs are %v", names)
	}
	if _, ok := ByName("v1.apps"); ok {
		t.Error("v1.apps is a metrics API")
	}
}

// TestFieldsAndOptions: each group has its own section of the spec.
func TestFieldsAndOptions(t *testing.T) {
	var spec v1alpha1.MetricsPipelineSpec
	spec.ResourceMetrics.Policy, spec.CustomMetrics.Policy, spec.ExternalMetrics.Policy = "resource", "custom", "external"
	for _, api := range All() {
		section := string(Options(spec, api.Group).Policy)
		if want := "spec." + section + "Metrics"; Field(api.Group) != want {
			t.Errorf("%s: field %s, options of %s", api.Name(), Field(api.Group), want)
		}
	}
}

// TestInForce: the rules of an API that is not to be served are not looked at.
func TestInForce(t *testing.T) {
	for policy, kept := range map[v1alpha1.APIPolicy]int{
		"": 1, v1alpha1.PolicyAuto: 1, v1alpha1.PolicyTakeOver: 1, v1alpha1.PolicyObserve: 0, v1alpha1.PolicyDisabled: 0,
	} {
		spec := withRules()
		spec.CustomMetrics.Policy = policy
		got := InForce(spec)
		if len(got.CustomMetrics.Rules) != kept || len(got.ExternalMetrics.Rules) != 1 {
			t.Errorf("%q for custom metrics: %d and %d rules are in force", policy, len(got.CustomMetrics.Rules), len(got.ExternalMetrics.Rules))
		}
		spec = withRules()
		spec.ExternalMetrics.Policy = policy
		got = InForce(spec)
		if len(got.CustomMetrics.Rules) != 1 || len(got.ExternalMetrics.Rules) != kept {
			t.Errorf("%q for external metrics: %d and %d rules are in force", policy, len(got.CustomMetrics.Rules), len(got.ExternalMetrics.Rules))
		}
		spec = withRules()
		spec.ResourceMetrics = v1alpha1.ResourceMetricsSpec{Backend: v1alpha1.BackendPrometheusAdapter}
		spec.ResourceMetrics.Policy = policy
		if got := InForce(spec); got.ResourceMetrics.FromPrometheus() != (kept == 1) {
			t.Errorf("%q for resource metrics: the backend in force is %q", policy, got.ResourceMetrics.Backend)
		}
		if len(spec.CustomMetrics.Rules) != 1 || len(spec.ExternalMetrics.Rules) != 1 {
			t.Errorf("%q: the spec itself was changed", policy)
		}
	}
}

// TestDerives: each API that rules fill has its own switch, which is on where nothing is set.
func TestDerives(t *testing.T) {
	var spec v1alpha1.MetricsPipelineSpec
	derives := func() (is []bool) {
		for _, api := range []API{Resource, CustomV1Beta1, External} {
			is = append(is, Derives(spec, api.Group))
		}
		return is
	}
	if diff := cmp.Diff([]bool{false, true, true}, derives()); diff != "" {
		t.Errorf("unset (-want +got):\n%s", diff)
	}
	spec.CustomMetrics.Derive, spec.ExternalMetrics.Derive = v1alpha1.DeriveDisabled, v1alpha1.DeriveEnabled
	if diff := cmp.Diff([]bool{false, false, true}, derives()); diff != "" {
		t.Errorf("disabled for custom metrics (-want +got):\n%s", diff)
	}
}

// TestWithhold says for each policy, and by whether another owner serves the group, why the operator is not to serve it.
func TestWithhold(t *testing.T) {
	for policy, want := range map[v1alpha1.APIPolicy][2]string{
		"":                      {"", v1alpha1.ReasonServedByOther},
		v1alpha1.PolicyAuto:     {"", v1alpha1.ReasonServedByOther},
		v1alpha1.PolicyTakeOver: {"", ""},
		v1alpha1.PolicyObserve:  {v1alpha1.ReasonNotServed, v1alpha1.ReasonServedByOther},
		v1alpha1.PolicyDisabled: {v1alpha1.ReasonDisabled, v1alpha1.ReasonDisabled},
	} {
		for index, foreign := range []map[string]bool{nil, {External.Group: true}} {
			spec := v1alpha1.MetricsPipelineSpec{}
			spec.ExternalMetrics.Policy = policy
			got := Withhold(spec, foreign)
			if got[External.Name()].Reason != want[index] || got.Withheld(External) != (want[index] != "") {
				t.Errorf("%q, foreign %v: %+v, want %q", policy, foreign, got, want[index])
			}
			if got.Withheld(Resource) || got.Withheld(CustomV1Beta1) {
				t.Errorf("%q, foreign %v: another API is withheld: %+v", policy, foreign, got)
			}
		}
	}
}

// TestUnwanted distinguishes what the spec does without from what should be served and cannot be yet.
func TestUnwanted(t *testing.T) {
	got := map[string]bool{}
	for _, reason := range []string{"", v1alpha1.ReasonDisabled, v1alpha1.ReasonNotServed, v1alpha1.ReasonServedByOther, v1alpha1.ReasonNoRules,
		v1alpha1.ReasonConfigurationInvalid, v1alpha1.ReasonWaitingForBackend} {
		got[reason] = Omissions{External.Name(): {Reason: reason}}.Unwanted(External)
	}
	want := map[string]bool{"": false, v1alpha1.ReasonDisabled: true, v1alpha1.ReasonNotServed: true, v1alpha1.ReasonServedByOther: true,
		v1alpha1.ReasonNoRules: true, v1alpha1.ReasonConfigurationInvalid: false, v1alpha1.ReasonWaitingForBackend: false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unwanted by reason (-want +got):\n%s", diff)
	}
}

// TestPolicyMessages name the field that a person would change.
func TestPolicyMessages(t *testing.T) {
	for _, policy := range []v1alpha1.APIPolicy{v1alpha1.PolicyObserve, v1alpha1.PolicyDisabled} {
		spec := withRules()
		spec.ResourceMetrics.Policy, spec.CustomMetrics.Policy, spec.ExternalMetrics.Policy = policy, policy, policy
		for api, field := range map[API]string{
			Resource: "spec.resourceMetrics.policy", CustomV1Beta1: "spec.customMetrics.policy",
			CustomV1Beta2: "spec.customMetrics.policy", External: "spec.externalMetrics.policy",
		} {
			message := Withhold(spec, nil)[api.Name()].Message
			if !strings.HasPrefix(message, field+" is "+string(policy)) || !strings.HasSuffix(message, ".") {
				t.Errorf("%s: %q does not begin with %s", api.Name(), message, field)
			}
		}
	}
}
