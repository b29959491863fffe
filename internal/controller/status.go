// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/health"
)

// mostRules bounds status.rules.
const mostRules = 20

// computeStatus returns the status for an observation. It is pure: previous gives the conditions whose transition times
// are kept.
func computeStatus(o observation, previous v1alpha1.MetricsPipelineStatus) v1alpha1.MetricsPipelineStatus {
	status := v1alpha1.MetricsPipelineStatus{
		ObservedGeneration: o.generation,
		Version:            o.version,
		Conditions:         previous.DeepCopy().Conditions,
		Rules:              ruleStatuses(o.rules),
		RulesTotal:         v1alpha1.RuleTotals{InUse: int32(len(o.rules.inUse)), Rejected: int32(len(o.rules.rejected))},
		Certificates:       o.certificates.inUse,
		Scrape:             &o.scraped,
	}
	if !o.planned {
		kept := previous.DeepCopy()
		kept.ObservedGeneration, kept.Version = o.generation, o.version
		if o.terminating != "" {
			kept.APIServices = apiStatuses(o)
		}
		setConditions(kept, o)
		return *kept
	}
	if target := o.prometheus.target; target.URL != "" {
		status.Prometheus = &v1alpha1.PrometheusStatus{URL: target.URL, Origin: target.Origin}
	}
	for _, c := range o.components {
		status.Components = append(status.Components, componentStatus(c))
	}
	status.APIServices = apiStatuses(o)
	setConditions(&status, o)
	return status
}

// ruleStatuses lists rules, rejected ones first.
func ruleStatuses(o rulesObservation) []v1alpha1.RuleStatus {
	all := slices.Concat(o.rejected, o.inUse)
	return all[:min(len(all), mostRules)]
}

func apiStatuses(o observation) []v1alpha1.APIServiceStatus {
	var statuses []v1alpha1.APIServiceStatus
	for _, api := range o.apis {
		statuses = append(statuses, apiStatus(api, o))
	}
	return statuses
}

// componentStatus describes one workload.
func componentStatus(c componentObservation) v1alpha1.ComponentStatus {
	status := v1alpha1.ComponentStatus{Name: c.name}
	status.Message = health.Workload(c.deployment, c.pods, nil).Message
	if c.deployment != nil {
		status.Ready = c.deployment.Status.ReadyReplicas
		if containers := c.deployment.Spec.Template.Spec.Containers; len(containers) > 0 {
			status.Version = imageVersion(containers[0].Image)
		}
		if c.deployment.Spec.Replicas != nil {
			status.Desired = *c.deployment.Spec.Replicas
		}
	}
	return status
}

// imageVersion returns the tag of an image reference, or its digest.
func imageVersion(reference string) string {
	repository, digest, hasDigest := strings.Cut(reference, "@")
	if colon := strings.LastIndex(repository, ":"); colon > strings.LastIndex(repository, "/") {
		return repository[colon+1:]
	}
	if hasDigest {
		return digest
	}
	return "latest"
}

// apiStatus describes one metrics API: as kube-aggregator gives it, or why there is none, or none of ours yet.
func apiStatus(observed apiObservation, o observation) v1alpha1.APIServiceStatus {
	status := v1alpha1.APIServiceStatus{
		Name:      observed.api.Name(),
		Group:     observed.api.Group,
		Version:   observed.api.Version,
		Available: metav1.ConditionUnknown,
	}
	if observed.apiService == nil {
		status.Reason, status.Message = absence(observed, o)
		return status
	}
	status.Owner = health.Owner(observed.apiService)
	if health.Ours(observed.apiService) {
		status.Backend = observed.apiService.Labels[v1alpha1.ComponentLabel]
		if expiry, ok := o.expiries[status.Backend]; ok {
			at := metav1.NewTime(expiry)
			status.ServingCertificateExpiry = &at
		}
	}
	if condition, looked := health.Availability(observed.apiService); looked {
		status.Available = metav1.ConditionStatus(condition.Status)
		status.Reason, status.Message = condition.Reason, condition.Message
		transition := condition.LastTransitionTime
		status.LastTransitionTime = &transition
	} else {
		status.Reason = v1alpha1.ReasonWaitingForAggregator
		status.Message = "kube-aggregator has not looked at the APIService yet."
	}
	switch contested := o.contest(observed.api); {
	case contested != nil:
		status.Reason, status.Message = v1alpha1.ReasonContested, contested.Error()+"."
	case observed.takingOver():
		_, waiting := absence(observed, o)
		status.Reason = v1alpha1.ReasonWaitingForBackend
		status.Message = fmt.Sprintf("%s serves it until it is taken over. %s", status.Owner, waiting)
	}
	return status
}

// absence is why there is no APIService of ours, as a reason and a message.
func absence(observed apiObservation, o observation) (reason, message string) {
	if contested := o.contest(observed.api); contested != nil {
		return v1alpha1.ReasonContested, contested.Error() + "."
	}
	if observed.omission != nil {
		return observed.omission.Reason, observed.omission.Message
	}
	if waiting, known := o.waitingFor[observed.api.Name()]; known {
		return waiting.reason, waiting.message
	}
	return v1alpha1.ReasonWaitingForBackend,
		"The API is registered once its backend serves; an earlier step has failed, see the conditions."
}

// takingOver is true while somebody else's APIService is to become ours.
func (observed apiObservation) takingOver() bool {
	return observed.apiService != nil && observed.backend != "" && !health.Ours(observed.apiService)
}

// demanded is false for an API that the spec does without.
func (observed apiObservation) demanded() bool {
	if observed.omission == nil {
		return true
	}
	switch observed.omission.Reason {
	case v1alpha1.ReasonDisabled:
		return false
	case v1alpha1.ReasonNoRules, v1alpha1.ReasonServedByOther:
		return observed.apiService != nil
	default:
		return true
	}
}
