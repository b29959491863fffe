// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestReclaimsWhatContradicts: an edit that makes the API server refuse our apply is undone, where we write what was
// accepted before.
func TestReclaimsWhatContradicts(t *testing.T) {
	s, _ := newServer(t)
	byEditor := func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == "editor" }
	a := New(interceptor.NewClient(s.WithWatch, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			//nolint:contextcheck // the server of a test reads by the test's own context
			if stored := s.configMap(t); stored != nil && slices.ContainsFunc(stored.ManagedFields, byEditor) {
				return apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, stored.Name, nil)
			}
			return c.Apply(ctx, object, opts...)
		},
	}), s.WithWatch, s.clock, time.Minute)
	edit := func() {
		edited := s.configMap(t)
		edited.Data["rules"], edited.Data["other"] = "edited", "edited"
		if err := s.Update(t.Context(), edited, client.FieldOwner("editor")); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := a.Apply(t.Context(), wanted(map[string]any{"rules": "a"})); err != nil {
		t.Fatal(err)
	}
	edit()
	result, err := a.Apply(t.Context(), wanted(map[string]any{"rules": "a"}))
	if err != nil || result != Repaired {
		t.Errorf("result %d, error %v, want it repaired", result, err)
	}
	if diff := cmp.Diff(map[string]string{"rules": "a"}, s.configMap(t).Data); diff != "" {
		t.Errorf("after the repair (-want +got):\n%s", diff)
	}

	// Content that is new may be what is wrong, which is no reason to undo what others did.
	edit()
	if _, err := a.Apply(t.Context(), wanted(map[string]any{"rules": "b"})); !apierrors.IsInvalid(err) {
		t.Errorf("new content: error %v, want the refusal", err)
	}
	if got := s.configMap(t).Data["other"]; got != "edited" {
		t.Errorf("new content: the other's field is %q", got)
	}
}

// TestAnotherObjectIsAConflict: an object that is demanded by its UID is another one by now. That is no reason to touch what
// others wrote in it.
func TestAnotherObjectIsAConflict(t *testing.T) {
	s, a := newServer(t)
	demanded := wanted(map[string]any{"rules": "a"})
	if _, err := a.Apply(t.Context(), demanded); err != nil {
		t.Fatal(err)
	}
	s.fail = apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, demanded.GetName(),
		field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), "demanded", "field is immutable")})
	edited := s.configMap(t)
	edited.Data["rules"] = "edited"
	if err := s.Update(t.Context(), edited, client.FieldOwner("editor")); err != nil {
		t.Fatal(err)
	}
	demanded.SetUID("demanded")
	before := s.applied
	if _, err := a.Apply(t.Context(), demanded); !apierrors.IsConflict(err) || s.applied != before+1 {
		t.Errorf("error %v after %d tries, want one conflict", err, s.applied-before)
	}
}

// TestAPreconditionIsNoContent: an object that is demanded as it was read is not written again for that.
func TestAPreconditionIsNoContent(t *testing.T) {
	s, a := newServer(t)
	demanded := wanted(map[string]any{"rules": "a"})
	if _, err := a.Apply(t.Context(), demanded); err != nil {
		t.Fatal(err)
	}
	demanded.SetUID("that of the one that exists")
	demanded.SetResourceVersion("1")
	if result, err := a.Apply(t.Context(), demanded); err != nil || result != Unchanged || s.applied != 1 {
		t.Errorf("result %d, error %v after %d writes, want the first one alone", result, err, s.applied)
	}
}
