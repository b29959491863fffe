// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// policied is a spec that wants every API, with a policy for each of the three groups.
func policied(resource, custom, external v1alpha1.APIPolicy) v1alpha1.MetricsPipelineSpec {
	spec := withRules()
	spec.ResourceMetrics.Policy, spec.CustomMetrics.Policy, spec.ExternalMetrics.Policy = resource, custom, external
	return InForce(spec)
}

// TestPolicies says what each policy deploys, by whether somebody else serves the group.
func TestPolicies(t *testing.T) {
	const (
		auto, takeOver     = v1alpha1.PolicyAuto, v1alpha1.PolicyTakeOver
		observe, disabled  = v1alpha1.PolicyObserve, v1alpha1.PolicyDisabled
		other, none        = v1alpha1.ReasonServedByOther, v1alpha1.ReasonNotServed
		off, ours, foreign = v1alpha1.ReasonDisabled, "served", true
	)
	for name, tc := range map[string]struct {
		policies [3]v1alpha1.APIPolicy
		foreign  bool
		// want is the reason for which each group is left out, or that we serve it.
		want     [3]string
		deployed []string
	}{
		"unset":                         {[3]v1alpha1.APIPolicy{}, false, [3]string{ours, ours, ours}, []string{MetricsServer, PrometheusAdapter}},
		"unset, foreign":                {[3]v1alpha1.APIPolicy{}, foreign, [3]string{other, other, other}, nil},
		"Auto":                          {[3]v1alpha1.APIPolicy{auto, auto, auto}, false, [3]string{ours, ours, ours}, []string{MetricsServer, PrometheusAdapter}},
		"Auto, foreign":                 {[3]v1alpha1.APIPolicy{auto, auto, auto}, foreign, [3]string{other, other, other}, nil},
		"TakeOver":                      {[3]v1alpha1.APIPolicy{takeOver, takeOver, takeOver}, false, [3]string{ours, ours, ours}, []string{MetricsServer, PrometheusAdapter}},
		"TakeOver, foreign":             {[3]v1alpha1.APIPolicy{takeOver, takeOver, takeOver}, foreign, [3]string{ours, ours, ours}, []string{MetricsServer, PrometheusAdapter}},
		"Observe":                       {[3]v1alpha1.APIPolicy{observe, observe, observe}, false, [3]string{none, none, none}, nil},
		"Observe, foreign":              {[3]v1alpha1.APIPolicy{observe, observe, observe}, foreign, [3]string{other, other, other}, nil},
		"Disabled":                      {[3]v1alpha1.APIPolicy{disabled, disabled, disabled}, false, [3]string{off, off, off}, nil},
		"Disabled, foreign":             {[3]v1alpha1.APIPolicy{disabled, disabled, disabled}, foreign, [3]string{off, off, off}, nil},
		"the adapter for one group":     {[3]v1alpha1.APIPolicy{observe, disabled, auto}, false, [3]string{none, off, ours}, []string{PrometheusAdapter}},
		"the adapter for the other":     {[3]v1alpha1.APIPolicy{disabled, auto, observe}, false, [3]string{off, ours, none}, []string{PrometheusAdapter}},
		"taking over one of its groups": {[3]v1alpha1.APIPolicy{disabled, takeOver, auto}, foreign, [3]string{off, ours, other}, []string{PrometheusAdapter}},
	} {
		t.Run(name, func(t *testing.T) {
			caps := offered()
			caps.Foreign = map[string]bool{}
			for _, api := range APIs() {
				caps.Foreign[api.Group] = tc.foreign
			}
			plan := For(policied(tc.policies[0], tc.policies[1], tc.policies[2]), caps)
			got := map[string]string{}
			for _, api := range APIs() {
				if _, served := plan.Backend(api); served {
					got[api.Name()] = ours
				} else {
					got[api.Name()] = plan.Omitted[api.Name()].Reason
				}
			}
			want := map[string]string{
				ResourceMetrics.Name(): tc.want[0], CustomMetricsBeta1.Name(): tc.want[1],
				CustomMetricsBeta2.Name(): tc.want[1], ExternalMetricsBeta.Name(): tc.want[2],
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("APIs (-want +got):\n%s", diff)
			}
			var deployed []string
			for _, c := range plan.Components {
				deployed = append(deployed, c.Name)
			}
			if diff := cmp.Diff(tc.deployed, deployed); diff != "" {
				t.Errorf("deployed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInForce: the rules of an API that is not to be served are nobody's business.
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
		if len(spec.CustomMetrics.Rules) != 1 || len(spec.ExternalMetrics.Rules) != 1 {
			t.Errorf("%q: the spec itself was changed", policy)
		}
	}
}

// TestPolicyMessages name the field that a person would change.
func TestPolicyMessages(t *testing.T) {
	for _, policy := range []v1alpha1.APIPolicy{v1alpha1.PolicyObserve, v1alpha1.PolicyDisabled} {
		plan := For(policied(policy, policy, policy), offered())
		for api, field := range map[API]string{
			ResourceMetrics: "spec.resourceMetrics.policy", CustomMetricsBeta1: "spec.customMetrics.policy",
			CustomMetricsBeta2: "spec.customMetrics.policy", ExternalMetricsBeta: "spec.externalMetrics.policy",
		} {
			message := plan.Omitted[api.Name()].Message
			if !strings.HasPrefix(message, field+" is "+string(policy)) || !strings.HasSuffix(message, ".") {
				t.Errorf("%s: %q does not begin with %s", api.Name(), message, field)
			}
		}
	}
}
