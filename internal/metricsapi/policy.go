// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsapi

import (
	"fmt"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Omission is why a metrics API is not registered.
type Omission struct {
	// Reason is one of the API's reasons, such as NoRules.
	Reason string
	// Message says what would register it.
	Message string
}

// Withheld is true when the operator is not to serve the API, whatever there is to serve it.
func (o Omission) Withheld() bool {
	return o.Reason == v1alpha1.ReasonDisabled || o.Reason == v1alpha1.ReasonNotServed || o.Reason == v1alpha1.ReasonServedByOther
}

// Omissions say why metrics APIs are not registered, by the APIService's name.
type Omissions map[string]Omission

// Withheld is true when the operator is not to serve an API.
func (o Omissions) Withheld(api API) bool { return o[api.Name()].Withheld() }

// Unwanted is true when the spec does without an API, or the operator is not to serve it. Any other omission is one of what
// should be served and cannot be yet.
func (o Omissions) Unwanted(api API) bool {
	return o.Withheld(api) || o[api.Name()].Reason == v1alpha1.ReasonNoRules
}

// Withhold returns the APIs that the operator is not to serve. foreign are the groups of which another owner serves a version:
// one group has one backend.
func Withhold(spec v1alpha1.MetricsPipelineSpec, foreign map[string]bool) Omissions {
	omitted := Omissions{}
	for _, api := range All() {
		policy, taken := Options(spec, api.Group).Policy, foreign[api.Group]
		switch {
		case policy == v1alpha1.PolicyDisabled:
			omitted[api.Name()] = Omission{
				Reason:  v1alpha1.ReasonDisabled,
				Message: fmt.Sprintf("%s.policy is Disabled, so nothing is deployed for %s.", Field(api.Group), api.Group),
			}
		case policy == v1alpha1.PolicyObserve && !taken:
			omitted[api.Name()] = Omission{
				Reason: v1alpha1.ReasonNotServed,
				Message: fmt.Sprintf("%s.policy is Observe, and nothing serves %s: install what is to serve it, or set the policy to "+
					"Auto to have the operator serve it, or to Disabled to do without.", Field(api.Group), api.Group),
			}
		case taken && policy != v1alpha1.PolicyTakeOver:
			omitted[api.Name()] = Omission{
				Reason: v1alpha1.ReasonServedByOther,
				Message: fmt.Sprintf("%s has another owner, who does not serve this version; a group has one backend, "+
					"so nothing is deployed for it.", api.Group),
			}
		}
	}
	return omitted
}

// InForce returns the spec without the rules and the backend of those APIs that the operator is not to serve: nothing would read
// them, so they are not checked and need no Prometheus.
func InForce(spec v1alpha1.MetricsPipelineSpec) v1alpha1.MetricsPipelineSpec {
	if !serves(spec.ResourceMetrics.Policy) {
		spec.ResourceMetrics.Backend = ""
	}
	if !serves(spec.CustomMetrics.Policy) {
		spec.CustomMetrics.Rules = nil
	}
	if !serves(spec.ExternalMetrics.Policy) {
		spec.ExternalMetrics.Rules = nil
	}
	return spec
}

// Derives is true where rules are derived for a metrics API, if the operator serves it.
func Derives(spec v1alpha1.MetricsPipelineSpec, group string) bool {
	switch group {
	case CustomV1Beta1.Group:
		return spec.CustomMetrics.Derive != v1alpha1.DeriveDisabled
	case External.Group:
		return spec.ExternalMetrics.Derive != v1alpha1.DeriveDisabled
	default:
		return false
	}
}

// serves is true for a policy by which the operator may serve an API. Where the schema's default was bypassed, the policy is
// empty and means Auto.
func serves(policy v1alpha1.APIPolicy) bool {
	return policy != v1alpha1.PolicyObserve && policy != v1alpha1.PolicyDisabled
}
