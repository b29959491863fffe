// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// replaceable is true when the API server refuses an object for immutable fields only, and the kind is one that may be deleted
// and made anew. An update is validated as a whole, so such an object is accepted as a new one.
func replaceable(wanted *unstructured.Unstructured, err error) bool {
	kind, _ := kinds.Of(wanted.GroupVersionKind())
	status := apierrors.APIStatus(nil)
	if kind.Replace == "" || !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return false
	}
	causes := status.Status().Details.Causes
	return len(causes) > 0 && !slices.ContainsFunc(causes, func(cause metav1.StatusCause) bool { return !immutable(cause) })
}

// immutable is true for the refusal to change a field. The API server has no type of cause for it, so the message is matched,
// which comes from its validation library. A binding's roleRef has another message, but no other error.
func immutable(cause metav1.StatusCause) bool {
	return strings.Contains(cause.Message, validation.FieldImmutableErrorMsg) ||
		cause.Field == "roleRef" && cause.Type == metav1.CauseType(field.ErrorTypeInvalid)
}

// replace deletes an object by UID, and makes it anew where it is deleted at once. It returns nil where that takes longer; the
// event of the deletion is when to make it. A Deployment leaves its pods behind, which keep serving.
func (a *Applier) replace(ctx context.Context, w write, refused error) (*unstructured.Unstructured, error) {
	if w.before == nil {
		return nil, refused // Another writer has made it meanwhile.
	}
	kind, _ := kinds.Of(w.wanted.GroupVersionKind())
	if w.before.GetDeletionTimestamp() == nil {
		err := a.client.Delete(ctx, w.before, client.Preconditions{UID: ptr.To(w.before.GetUID())}, client.PropagationPolicy(kind.Replace))
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete it, to replace what cannot be changed: %w", err)
		}
	}
	if kind.Replace != metav1.DeletePropagationOrphan {
		sent, err := a.try(ctx, w.wanted, client.ForceOwnership)
		if !replaceable(w.wanted, err) {
			return sent, err
		}
		// A finalizer delays the deletion.
	}
	a.replacing(w.wanted, w.before.GetUID())
	return nil, nil
}

// replacing records that an object is being deleted to be made anew.
func (a *Applier) replacing(wanted *unstructured.Unstructured, uid types.UID) {
	a.replaced[ownership.Identity(wanted)] = uid
	delete(a.swept, types.NamespacedName{Namespace: wanted.GetNamespace(), Name: wanted.GetLabels()[v1alpha1.ComponentLabel]})
}

// isReplaced is true for an object that is being deleted to be made anew, and for nil once it is deleted.
func (a *Applier) isReplaced(id string, object client.Object) bool {
	uid, replaced := a.replaced[id]
	return replaced && (object == nil || object.GetUID() == uid)
}
