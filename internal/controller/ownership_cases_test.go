// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
)

// ownershipCases are what becomes of the status when it matters whose something is.
func ownershipCases() map[string]conditionCase {
	const (
		condition  = v1alpha1.ConditionAPIServicesAvailable
		components = v1alpha1.ConditionComponentsReady
	)
	disabled := &component.Omission{Reason: v1alpha1.ReasonDisabled, Message: "policy is Disabled."}
	contested := func(object string) *apply.ContestedError {
		return &apply.ContestedError{Object: object, Managers: []string{"rival"}, Fields: []string{".spec.replicas"}}
	}
	return map[string]conditionCase{
		"an API is disabled": {
			change: func(o *observation) { unregister(o, component.ResourceMetrics, disabled) },
			ready:  "Ready", kstatus: status.CurrentStatus, says: "Available: custom.metrics.k8s.io, external.metrics.k8s.io."},
		"a disabled API of somebody else does not answer": {
			change: func(o *observation) {
				replace(o, foreign(component.ResourceMetrics, apiregv1.ConditionFalse, "MissingEndpoints"))
				o.apis[0].omission = disabled
			},
			ready: "Ready", kstatus: status.CurrentStatus, says: "Available: custom.metrics.k8s.io, external.metrics.k8s.io."},
		"nobody serves what is to be observed": {
			change: func(o *observation) {
				unregister(o, component.ResourceMetrics, &component.Omission{Reason: v1alpha1.ReasonNotServed, Message: "nobody serves it."})
			},
			differ: map[string]string{condition: "False NotServed"},
			ready:  "NotServed", kstatus: status.FailedStatus, says: "v1beta1.metrics.k8s.io: nobody serves it."},
		"somebody else's API waits to be taken over": {
			change: func(o *observation) {
				replace(o, foreign(component.ResourceMetrics, apiregv1.ConditionTrue, "Passed"))
				o.apis[0].backend = component.MetricsServer
				o.waiting(component.ResourceMetrics, "The Deployment is being rolled out.")
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "helm (service keda/keda-operator-metrics-apiserver) serves it until it is taken over. The Deployment is being rolled out."},
		"an API was deregistered": {
			change: func(o *observation) {
				unregister(o, component.ResourceMetrics, nil)
				o.waitingBecause(component.ResourceMetrics, v1alpha1.ReasonDeregistered, "deleted.")
			},
			differ: map[string]string{condition: "False Deregistered"},
			ready:  "Deregistered", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: deleted."},
		"a Deployment is contested": {
			change: func(o *observation) {
				o.contested = append(o.contested, contested("Deployment metrics/metrics-server"))
			},
			differ: map[string]string{components: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus,
			says: `Deployment metrics/metrics-server: the field manager "rival" changes .spec.replicas again and again`},
		"an APIService is contested": {
			change: func(o *observation) {
				o.contested = append(o.contested, contested("APIService v1beta1.metrics.k8s.io"))
			},
			differ: map[string]string{condition: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "v1beta1.metrics.k8s.io: APIService v1beta1.metrics.k8s.io: the field"},
		"a deleted APIService is contested, and another API waits": {
			change: func(o *observation) {
				unregister(o, component.ResourceMetrics, nil)
				unregister(o, component.ExternalMetricsBeta, nil)
				o.contested = append(o.contested, contested("APIService v1beta1.external.metrics.k8s.io"))
			},
			differ: map[string]string{condition: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "v1beta1.external.metrics.k8s.io"},
		"a Secret with a certificate is contested": {
			change: func(o *observation) { o.failure = asPhaseError(contested("Secret metrics/metricspipeline-ca")) },
			differ: map[string]string{components: "False Contested"},
			ready:  "Contested", kstatus: status.FailedStatus, says: "Secret metrics/metricspipeline-ca"},
		"the operator's namespace is being deleted": {
			change: func(o *observation) {
				o.terminate("metrics")
				for _, api := range component.APIs() {
					unregister(o, api, &component.Omission{Reason: v1alpha1.ReasonTerminating, Message: o.terminating})
				}
			},
			differ: map[string]string{condition: "False Terminating"},
			ready:  "Terminating", kstatus: status.InProgressStatus, says: "Namespace metrics"},
	}
}

// TestTerminatingKeepsTheRest: what was known of everything but the APIs stays, whatever was wrong, and is not what Ready
// speaks of.
func TestTerminatingKeepsTheRest(t *testing.T) {
	o := working()
	o.components[0].deployment = failed(component.MetricsServer)
	before := computeStatus(o, v1alpha1.MetricsPipelineStatus{})

	s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
	s.observed = observation{generation: 3, requestHeaderCA: true}
	s.observed.terminate("metrics")
	for _, api := range component.APIs() {
		s.observed.apis = append(s.observed.apis, apiObservation{api: api, omission: s.omission(api)})
	}
	after := computeStatus(s.observed, before)
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
	if len(after.Components) != 2 {
		t.Errorf("components: %+v", after.Components)
	}

	// Not even on a cluster on which nothing could work, where nothing was known before.
	s.observed.requestHeaderCA = false
	first := computeStatus(s.observed, v1alpha1.MetricsPipelineStatus{})
	if ready := meta.FindStatusCondition(first.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonTerminating {
		t.Errorf("Ready speaks of %s", ready.Reason)
	}
	if meta.IsStatusConditionTrue(first.Conditions, v1alpha1.ConditionStalled) {
		t.Error("stalled while the namespace goes")
	}
}
