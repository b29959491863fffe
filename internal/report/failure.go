// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
)

// Failure is an error that knows the condition it surfaces in.
type Failure struct {
	// Condition and Reason of it.
	Condition, Reason string
	// Stalled is true when a person has to act.
	Stalled bool
	// Err says what failed.
	Err error
}

// Error is that of Err.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// Unissued is the failure of a certificate that could not be read, made or stored.
func Unissued(err error) *Failure {
	failure := FailureOf(err)
	if failure.Reason == v1alpha1.ReasonApplyFailed {
		failure.Reason = v1alpha1.ReasonIssueFailed
	}
	if failure.Reason == v1alpha1.ReasonIssueFailed || failure.Reason == v1alpha1.ReasonUnreadable {
		failure.Condition = v1alpha1.ConditionCertificatesReady
	}
	return failure
}

// Unrendered is the failure of objects that cannot be built from the spec.
func Unrendered(err error) *Failure {
	return &Failure{Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonRenderFailed, Stalled: true, Err: err}
}

// FailureOf says where an error surfaces. Anything but a Failure came up while objects were read or written.
func FailureOf(err error) *Failure {
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	failure := &Failure{Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonApplyFailed, Err: err}
	var (
		taken      *apply.NameTakenError
		contested  *apply.ContestedError
		unreadable *cluster.UnreadableError
	)
	switch {
	case errors.As(err, &taken):
		failure.Reason, failure.Stalled = v1alpha1.ReasonNameTaken, true
	case errors.As(err, &contested):
		failure.Reason, failure.Stalled = v1alpha1.ReasonContested, true
	case errors.As(err, &unreadable):
		failure.Condition = dependent(unreadable.Kind)
		failure.Reason, failure.Stalled = v1alpha1.ReasonUnreadable, !unreadable.Pending
	default:
		failure.Stalled = apply.IsRefused(err)
	}
	return failure
}

// dependent returns the condition that depends on whether objects of a kind can be read.
func dependent(kind schema.GroupVersionKind) string {
	switch kind.GroupKind() {
	case kinds.APIService.GroupKind():
		return v1alpha1.ConditionAPIServicesAvailable
	case kinds.Prometheus.GroupKind(), kinds.PrometheusAgent.GroupKind():
		return v1alpha1.ConditionPrometheusReady
	case kinds.PrometheusRule.GroupKind():
		return v1alpha1.ConditionMonitoringReady
	case kinds.Certificate.GroupKind(), kinds.Issuer.GroupKind(), kinds.CertificateRequest.GroupKind():
		return v1alpha1.ConditionCertificatesReady
	default:
		return v1alpha1.ConditionComponentsReady
	}
}
