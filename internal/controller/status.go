// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/health"
)

// mostRejectedRules bounds status.rejectedRules.
const mostRejectedRules = 20

// computeStatus returns the status for an observation. It is pure: previous gives the conditions whose transition times
// are kept.
func computeStatus(o observation, previous v1alpha1.MetricsPipelineStatus) v1alpha1.MetricsPipelineStatus {
	status := v1alpha1.MetricsPipelineStatus{
		ObservedGeneration: o.generation,
		Version:            o.version,
		Conditions:         previous.DeepCopy().Conditions,
		Prometheus:         o.prometheus.target.URL,
		RejectedRules:      o.rules.rejected[:min(len(o.rules.rejected), mostRejectedRules)],
		RejectedRulesTotal: int32(len(o.rules.rejected)),
		Scrape:             &o.scraped,
	}
	if !o.planned {
		kept := previous.DeepCopy()
		kept.ObservedGeneration, kept.Version = o.generation, o.version
		setConditions(kept, o)
		return *kept
	}
	for _, c := range o.components {
		status.Components = append(status.Components, componentStatus(c))
	}
	for _, api := range o.apis {
		status.APIServices = append(status.APIServices, apiStatus(api, o))
	}
	setConditions(&status, o)
	return status
}

// componentStatus describes one workload.
func componentStatus(c componentObservation) v1alpha1.ComponentStatus {
	status := v1alpha1.ComponentStatus{Name: c.name}
	_, status.Message = health.Workload(c.deployment, c.pods)
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

// apiStatus describes one metrics API: as kube-aggregator gives it, or why there is none.
func apiStatus(observed apiObservation, o observation) v1alpha1.APIServiceStatus {
	status := v1alpha1.APIServiceStatus{
		Name:      observed.api.Name(),
		Group:     observed.api.Group,
		Version:   observed.api.Version,
		Available: metav1.ConditionUnknown,
	}
	if observed.apiService == nil {
		status.Reason, status.Message = v1alpha1.ReasonWaitingForBackend, o.waitingFor[status.Name]
		if status.Message == "" {
			status.Message = "The API is registered once its backend serves; an earlier step has failed, see the conditions."
		}
		if observed.omission != nil {
			status.Reason, status.Message = observed.omission.Reason, observed.omission.Message
		}
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
	condition, looked := health.Availability(observed.apiService)
	if !looked {
		status.Reason = v1alpha1.ReasonWaitingForAggregator
		status.Message = "kube-aggregator has not looked at the APIService yet."
		return status
	}
	status.Available = metav1.ConditionStatus(condition.Status)
	status.Reason, status.Message = condition.Reason, condition.Message
	transition := condition.LastTransitionTime
	status.LastTransitionTime = &transition
	return status
}
