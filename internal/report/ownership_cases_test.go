// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// contested is what the applier says of an object that another writer keeps changing.
func contested(object string) *apply.ContestedError {
	return &apply.ContestedError{Object: object, Managers: []string{"rival"}, Fields: []string{".spec.replicas"}}
}

// ownershipCases are what becomes of the status when it matters whose something is.
func ownershipCases() map[string]conditionCase {
	const (
		condition  = v1alpha1.ConditionAPIServicesAvailable
		components = v1alpha1.ConditionComponentsReady
	)
	disabled := metricsapi.Omission{Reason: v1alpha1.ReasonDisabled, Message: "policy is Disabled."}
	contests := func(o *Observation, component, object string) {
		outcome := outcomeOf(o, component)
		outcome.Contested = append(outcome.Contested, contested(object))
	}
	return map[string]conditionCase{
		"an API is disabled": {
			change: func(o *Observation) {
				o.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
				unregister(o, metricsapi.Resource, &disabled)
			},
			ready: "Ready", kstatus: status.CurrentStatus, says: "Available: custom.metrics.k8s.io, external.metrics.k8s.io."},
		"a disabled API of another owner does not answer": {
			change: func(o *Observation) {
				o.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
				served(o, foreign(metricsapi.Resource, apiregv1.ConditionFalse, "MissingEndpoints"))
				omit(o, metricsapi.Resource, disabled)
			},
			ready: "Ready", kstatus: status.CurrentStatus, says: "Available: custom.metrics.k8s.io, external.metrics.k8s.io."},
		"nothing serves what is to be observed": {
			change: func(o *Observation) {
				unregister(o, metricsapi.Resource, &metricsapi.Omission{Reason: v1alpha1.ReasonNotServed, Message: "nothing serves it."})
			},
			differ: map[string]string{condition: "False NotServed"},
			ready:  "NotServed", kstatus: status.FailedStatus, says: "v1beta1.metrics.k8s.io: nothing serves it."},
		"another owner's API waits to be taken over": {
			change: func(o *Observation) {
				waits(o, metricsapi.Resource, v1alpha1.ReasonWaitingForBackend, "The Deployment is being rolled out.")
				o.APIServices[metricsapi.Resource.Name()] = foreign(metricsapi.Resource, apiregv1.ConditionTrue, "Passed")
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "helm (service vendor/metrics-apiserver) serves it until it is taken over. The Deployment is being rolled out."},
		"an API of ours has just been made": {
			change: func(o *Observation) {
				outcome := outcomeOf(o, usageServer)
				outcome.APIs = []Registration{{API: metricsapi.Resource, Reason: v1alpha1.ReasonWaitingForBackend,
					Message: "The APIService of usage-server has just been written."}}
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "v1beta1.metrics.k8s.io: The APIService of usage-server has just been written."},
		"an API of ours waits to be switched to another component": {
			change: func(o *Observation) {
				o.Facts.APIServices = o.APIServices
				planOf(o, usageServer).Leaving = []metricsapi.API{metricsapi.Resource}
				rules := planOf(o, rulesServer)
				rules.APIs = append(rules.APIs, metricsapi.Resource)
				outcome := outcomeOf(o, rulesServer)
				outcome.APIs = append(outcome.APIs, Registration{API: metricsapi.Resource, Reason: v1alpha1.ReasonWaitingForBackend,
					Message: "The Deployment metrics/rules-server is being rolled out."})
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "v1beta1.metrics.k8s.io: usage-server serves it until it is taken over. The Deployment metrics/rules-server is being rolled out."},
		"an API of ours cannot be switched to another component": {
			change: func(o *Observation) {
				planOf(o, usageServer).Leaving = []metricsapi.API{metricsapi.Resource}
				o.Plan.Omitted[metricsapi.Resource.Name()] = metricsapi.Omission{Reason: v1alpha1.ReasonWaitingForBackend, Message: "No source."}
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "v1beta1.metrics.k8s.io: usage-server serves it until it is taken over. No source."},
		"an API was deregistered": {
			change: func(o *Observation) { waits(o, metricsapi.Resource, v1alpha1.ReasonDeregistered, "deleted.") },
			differ: map[string]string{condition: "False Deregistered"},
			ready:  "Deregistered", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: deleted."},
		"a Deployment is contested": {
			change: func(o *Observation) { contests(o, usageServer, "Deployment metrics/usage-server") },
			differ: map[string]string{components: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus,
			says: `Deployment metrics/usage-server: the field manager "rival" changes .spec.replicas again and again`},
		"an APIService is contested": {
			change: func(o *Observation) { contests(o, usageServer, "APIService v1beta1.metrics.k8s.io") },
			differ: map[string]string{condition: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "v1beta1.metrics.k8s.io: APIService v1beta1.metrics.k8s.io: the field"},
		"a deleted APIService is contested, and another API waits": {
			change: func(o *Observation) {
				unregister(o, metricsapi.Resource, nil)
				unregister(o, metricsapi.External, nil)
				contests(o, rulesServer, "APIService v1beta1.external.metrics.k8s.io")
			},
			differ: map[string]string{condition: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "v1beta1.external.metrics.k8s.io"},
		"a Secret with a certificate is contested": {
			change: func(o *Observation) {
				o.Failures = append(o.Failures, Unissued(contested("Secret metrics/metricspipeline-ca")))
			},
			differ: map[string]string{components: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "Secret metrics/metricspipeline-ca"},
		"the operator's namespace is being deleted": {
			change: func(o *Observation) {
				o.Facts.Terminating = true
				clear(o.APIServices)
			},
			differ: map[string]string{condition: "False Terminating"},
			ready:  "Terminating", kstatus: status.InProgressStatus, says: "Namespace metrics"},
	}
}

// TestTerminatingKeepsTheRest: what was known of everything but the APIs stays, whatever was wrong, and is not what Ready
// speaks of.
func TestTerminatingKeepsTheRest(t *testing.T) {
	_, before := statusOf(func(o *Observation) { stands(o, usageServer, givenUp(usageServer)) })

	o := Observation{Generation: 3, Facts: cluster.Facts{Namespace: "metrics", Terminating: true, RequestHeaderCA: true}}
	after := Status(o, before)
	wantConditions(t, after, map[string]string{
		v1alpha1.ConditionReady:                "False Terminating",
		v1alpha1.ConditionStalled:              "False NotStalled",
		v1alpha1.ConditionReconciling:          "True Progressing",
		v1alpha1.ConditionComponentsReady:      "False Unavailable",
		v1alpha1.ConditionCertificatesReady:    "True Issued",
		v1alpha1.ConditionAPIServicesAvailable: "False Terminating",
	})
	for _, api := range after.APIServices {
		if api.Available != metav1.ConditionUnknown || api.Reason != v1alpha1.ReasonTerminating {
			t.Errorf("%s: %s %s", api.Name, api.Available, api.Reason)
		}
	}
	if len(after.APIServices) != 4 || len(after.Components) != 2 {
		t.Errorf("APIs: %+v, components: %+v", after.APIServices, after.Components)
	}

	// Not even on a cluster on which nothing could work, where nothing was known before.
	o.Facts.RequestHeaderCA = false
	first := Status(o, v1alpha1.MetricsPipelineStatus{})
	if ready := meta.FindStatusCondition(first.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonTerminating {
		t.Errorf("Ready speaks of %s", ready.Reason)
	}
	if meta.IsStatusConditionTrue(first.Conditions, v1alpha1.ConditionStalled) {
		t.Error("stalled while the namespace is deleted")
	}
}
