// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	}), s.WithWatch, s.clock)
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
