// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/metricspipeline/operator/api/v1alpha1"

// Stall is a reason with which a condition waits for a person.
type Stall struct {
	// Condition and Reason of it.
	Condition, Reason string
	// When says in which of its cases, where it is not all of them.
	When string
}

// What tells apart the cases of a reason that stalls in some of them only.
const (
	whenRefused  = "where the API server refuses the object, as invalid or forbidden for example"
	whenRead     = "unless the API server has only not answered yet"
	whenWrong    = "where the scheme, the certificate or what answers is wrong; not where the connection is refused or times out"
	whenNamed    = "where spec.prometheus.ref names the object"
	whenDeadline = "where the Deployment's progress deadline has passed"
)

// Stalls are all of them, in the order of the conditions and of their constants. The page docs/conditions/Stalled.md is written from
// this list, and a test compares it with what the functions of this package find.
func Stalls() []Stall {
	var all []Stall
	for _, of := range []struct {
		condition string
		stalls    []Stall
	}{
		{v1alpha1.ConditionAggregationLayerReady, []Stall{
			{Reason: v1alpha1.ReasonRequestHeaderCAMissing},
			{Reason: v1alpha1.ReasonUnreadable, When: whenRead},
		}},
		{v1alpha1.ConditionRulesAccepted, []Stall{{Reason: v1alpha1.ReasonRulesRejected}, {Reason: v1alpha1.ReasonLastGoodInUse}}},
		{v1alpha1.ConditionPrometheusReady, []Stall{
			{Reason: v1alpha1.ReasonPrometheusNotFound},
			{Reason: v1alpha1.ReasonPrometheusAmbiguous},
			{Reason: v1alpha1.ReasonUnreachable, When: whenWrong},
			{Reason: v1alpha1.ReasonHostUnknown},
			{Reason: v1alpha1.ReasonUnauthorized},
			{Reason: v1alpha1.ReasonPrometheusSharded},
			{Reason: v1alpha1.ReasonAuthMissing},
			{Reason: v1alpha1.ReasonAuthOverHTTP},
			{Reason: v1alpha1.ReasonRedirected},
			{Reason: v1alpha1.ReasonMaxAgeTooShort},
			{Reason: v1alpha1.ReasonManagedRemoved}, {Reason: v1alpha1.ReasonConfigurationRefused},
			{Reason: v1alpha1.ReasonUnreadable, When: whenRead},
		}},
		{v1alpha1.ConditionScrapeReady, []Stall{
			{Reason: v1alpha1.ReasonPrometheusNotFound, When: whenNamed},
			{Reason: v1alpha1.ReasonNotSelected},
			{Reason: v1alpha1.ReasonCRDsOutdated},
			{Reason: v1alpha1.ReasonPrometheusOutdated},
			{Reason: v1alpha1.ReasonScrapeTimeoutTooLong},
		}},
		{v1alpha1.ConditionCertificatesReady, []Stall{
			{Reason: v1alpha1.ReasonIssueFailed, When: whenRefused},
			{Reason: v1alpha1.ReasonCertManagerMissing},
			{Reason: v1alpha1.ReasonIssuerWithoutCA},
			{Reason: v1alpha1.ReasonRenewalOverdue},
			{Reason: v1alpha1.ReasonUnreadable, When: whenRead},
		}},
		{v1alpha1.ConditionComponentsReady, []Stall{
			{Reason: v1alpha1.ReasonUnavailable, When: whenDeadline},
			{Reason: v1alpha1.ReasonRenderFailed},
			{Reason: v1alpha1.ReasonApplyFailed, When: whenRefused},
			{Reason: v1alpha1.ReasonNameTaken},
			{Reason: v1alpha1.ReasonContested},
			{Reason: v1alpha1.ReasonWorkloadStuck},
			{Reason: v1alpha1.ReasonKubeletsUnverified}, {Reason: v1alpha1.ReasonKubeletCAMissing},
			{Reason: v1alpha1.ReasonUnreadable, When: whenRead},
		}},
		{v1alpha1.ConditionAPIServicesAvailable, []Stall{
			{Reason: v1alpha1.ReasonNotServed},
			{Reason: v1alpha1.ReasonContested},
			{Reason: v1alpha1.ReasonUnreadable, When: whenRead},
		}},
	} {
		for _, stall := range of.stalls {
			stall.Condition = of.condition
			all = append(all, stall)
		}
	}
	return all
}
