// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/ownership"
)

// RefusedError means that the API server refuses the desired object as invalid or forbidden. The object is left as it is. The
// same content is refused without a request until RetryAfter has passed.
type RefusedError struct {
	// Object is its kind, namespace and name.
	Object string
	// Err is the answer of the API server.
	Err error
	// RetryAfter is how long to wait for the next try.
	RetryAfter time.Duration
}

// Error has the same text as long as the API server's answer has.
func (e *RefusedError) Error() string { return fmt.Sprintf("apply %s: %v", e.Object, e.Err) }

// Unwrap returns the answer of the API server.
func (e *RefusedError) Unwrap() error { return e.Err }

// content is one form of an object. The desired and the last good form are refused independently.
type content struct {
	id     string
	digest [sha256.Size]byte
}

// refusal is the answer to a content, and when it was given.
type refusal struct {
	err error
	at  time.Time
}

// Refused returns the RefusedError that Apply would return, and writes nothing: once RetryAfter has passed, it sends a dry run.
// It is for a set of objects that change together: while one desired object is refused, the last good form of all is applied,
// and no try may change the others back and forth. The object must be the one that Apply is given, with its owners.
func (a *Applier) Refused(ctx context.Context, wanted *unstructured.Unstructured) error {
	digest, err := digestOf(wanted)
	if err != nil {
		return fmt.Errorf("%s: %w", ownership.Identity(wanted), err)
	}
	return a.refused(ctx, wanted, content{ownership.Identity(wanted), digest}, true)
}

// refused is Refused; without dryRun it returns nil once RetryAfter has passed.
func (a *Applier) refused(ctx context.Context, wanted *unstructured.Unstructured, c content, dryRun bool) error {
	last, known := a.refusals[c]
	if !known {
		return nil
	}
	if wait := a.retryRefused - a.retryClock.Since(last.at); wait > 0 {
		return &RefusedError{Object: c.id, Err: last.err, RetryAfter: wait}
	}
	if !dryRun {
		return nil
	}
	_, err := a.try(ctx, wanted, client.ForceOwnership, client.DryRunAll)
	if err == nil || replaceable(wanted, err) {
		delete(a.refusals, c)
		return nil
	}
	return a.failed(c, err)
}

// failed returns the error of an apply, and remembers it if it is a refusal of the content.
func (a *Applier) failed(c content, err error) error {
	if !IsRefused(err) {
		return fmt.Errorf("apply %s: %w", c.id, err)
	}
	now := a.retryClock.Now()
	for other, r := range a.refusals {
		// What was not tried for so long is no longer desired.
		if now.Sub(r.at) > 10*a.retryRefused {
			delete(a.refusals, other)
		}
	}
	a.refusals[c] = refusal{err: err, at: now}
	return &RefusedError{Object: c.id, Err: err, RetryAfter: a.retryRefused}
}

// IsRefused is true for an answer that the same request will meet again until a person acts. That a namespace is being
// deleted is none: the next one of its name takes the object.
func IsRefused(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err)
}
