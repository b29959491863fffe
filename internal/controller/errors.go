// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
)

// phaseError is an error that knows the condition it surfaces in.
type phaseError struct {
	condition string
	reason    string
	// stalled is true when only a person can mend it.
	stalled bool
	err     error
}

func (e *phaseError) Error() string { return e.err.Error() }
func (e *phaseError) Unwrap() error { return e.err }

// asPhaseError returns the typed error in err. Anything else failed while objects were read or written.
func asPhaseError(err error) *phaseError {
	var typed *phaseError
	if errors.As(err, &typed) {
		return typed
	}
	return applyFailed(err)
}

// applyFailed says why the API server did not take an object.
func applyFailed(err error) *phaseError {
	var taken *apply.NameTakenError
	if errors.As(err, &taken) {
		return &phaseError{v1alpha1.ConditionComponentsReady, v1alpha1.ReasonNameTaken, true, err}
	}
	var contested *apply.ContestedError
	if errors.As(err, &contested) {
		return &phaseError{v1alpha1.ConditionComponentsReady, v1alpha1.ReasonContested, true, err}
	}
	refused := apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
	return &phaseError{v1alpha1.ConditionComponentsReady, v1alpha1.ReasonApplyFailed, refused, err}
}
