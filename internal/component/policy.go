// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Options returns what a spec says about a metrics API, whatever serves it.
func Options(spec v1alpha1.MetricsPipelineSpec, api API) v1alpha1.APIOptions {
	switch api.Group {
	case ResourceMetrics.Group:
		return spec.ResourceMetrics.APIOptions
	case CustomMetricsBeta1.Group:
		return spec.CustomMetrics.APIOptions
	default:
		return spec.ExternalMetrics.APIOptions
	}
}

// InForce returns the spec without the rules of those APIs that the operator is not to serve: nothing would read them, so
// they are not checked and need no Prometheus.
func InForce(spec v1alpha1.MetricsPipelineSpec) v1alpha1.MetricsPipelineSpec {
	if !serves(spec.CustomMetrics.Policy) {
		spec.CustomMetrics.Rules = nil
	}
	if !serves(spec.ExternalMetrics.Policy) {
		spec.ExternalMetrics.Rules = nil
	}
	return spec
}

// serves is true for a policy by which the operator may serve an API. Where the schema's default was bypassed, the policy is
// empty and means Auto.
func serves(policy v1alpha1.APIPolicy) bool {
	return policy != v1alpha1.PolicyObserve && policy != v1alpha1.PolicyDisabled
}

// withhold omits the APIs that the operator is not to serve, whatever there is to serve them.
func (p Plan) withhold(spec v1alpha1.MetricsPipelineSpec, caps Capabilities) {
	for _, api := range APIs() {
		policy, foreign := Options(spec, api).Policy, caps.Foreign[api.Group]
		switch {
		case policy == v1alpha1.PolicyDisabled:
			p.Omitted[api.Name()] = Omission{
				Reason:  v1alpha1.ReasonDisabled,
				Message: fmt.Sprintf("%s.policy is Disabled, so nothing is deployed for %s.", fieldOf(api), api.Group),
			}
		case policy == v1alpha1.PolicyObserve && !foreign:
			p.Omitted[api.Name()] = Omission{
				Reason: v1alpha1.ReasonNotServed,
				Message: fmt.Sprintf("%s.policy is Observe, and nobody serves %s: install what is to serve it, or set the policy to Auto "+
					"to have the operator serve it, or to Disabled to do without.", fieldOf(api), api.Group),
			}
		case foreign && policy != v1alpha1.PolicyTakeOver:
			p.Omitted[api.Name()] = Omission{
				Reason: v1alpha1.ReasonServedByOther,
				Message: fmt.Sprintf("Somebody else serves %s, and not in this version; a group has one backend, "+
					"so nothing is deployed for it.", api.Group),
			}
		}
	}
}

// Withheld is true when the operator is not to serve the API, whatever there is to serve it.
func (o Omission) Withheld() bool {
	return o.Reason == v1alpha1.ReasonDisabled || o.Reason == v1alpha1.ReasonNotServed || o.Reason == v1alpha1.ReasonServedByOther
}

// withholds is true when the plan has already left out an API.
func (p Plan) withholds(api API) bool { return p.Omitted[api.Name()].Withheld() }

// fieldOf returns the field of the spec that is about an API.
func fieldOf(api API) string {
	switch api.Group {
	case ResourceMetrics.Group:
		return "spec.resourceMetrics"
	case CustomMetricsBeta1.Group:
		return "spec.customMetrics"
	default:
		return "spec.externalMetrics"
	}
}
