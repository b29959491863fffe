// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// unchanged compares the conditions with those before, and says what is not quiet.
func (w *world) unchanged(step string, before map[string]string) {
	w.t.Helper()
	if diff := cmp.Diff(before, w.conditions()); diff != "" {
		w.t.Errorf("%s: conditions (-before +now):\n%s", step, diff)
	}
	wrote := w.wrote
	if events := w.drain(); len(events) > 0 {
		w.t.Errorf("%s: Events %q", step, events)
	}
	if len(wrote) > 0 {
		w.t.Errorf("%s: wrote %q", step, wrote)
	}
}

// TestAtRestNothingChanges: a restart in a healthy cluster writes nothing, changes no condition and sends no Event, neither before
// the endpoints have answered nor afterwards.
func TestAtRestNothingChanges(t *testing.T) {
	w := healthy(t, lamp(), radio())
	before := w.conditions()
	if !strings.HasPrefix(before[v1alpha1.ConditionReady], "True ") {
		t.Fatalf("Ready: %s", before[v1alpha1.ConditionReady])
	}
	if _, err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	w.unchanged("once more", before)
	w.restart()
	for _, step := range []string{"after the restart", "after the answers"} {
		if _, err := w.reconcile(); err != nil {
			t.Fatal(err)
		}
		w.unchanged(step, before)
		if step == "after the restart" {
			w.answers(2)
		}
	}
}

// TestConflict: a write that meets a conflict is tried again with a backoff, and not reported.
func TestConflict(t *testing.T) {
	w := healthy(t, lamp(), radio())
	w.timing = Timing{}
	w.restart()
	if _, err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	w.answers(2)
	before := w.conditions()
	w.drain()
	fight := func(step string) {
		t.Helper()
		conflict := apierrors.NewConflict(schema.GroupResource{Resource: "services"}, "lamp", errors.New("the object has been modified"))
		w.refuse = func(object, _ string) error {
			if object == "Service metrics/lamp" {
				return conflict
			}
			return nil
		}
		service := &corev1.Service{}
		w.exists(service, "lamp")
		service.Spec.Selector = map[string]string{"app": "edited"}
		if err := w.client.Update(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		for _, milliseconds := range []int{100, 200, 400, 800} {
			want := time.Duration(milliseconds) * time.Millisecond
			result, err := w.reconcile()
			if err != nil || result.RequeueAfter != want {
				t.Errorf("%s: requeueAfter %s, error %v, want %s", step, result.RequeueAfter, err, want)
			}
			w.unchanged(step, before)
		}
	}
	fight("conflict")
	w.refuse = nil
	if result, err := w.reconcile(); err != nil || result.RequeueAfter < time.Minute {
		t.Errorf("written: requeueAfter %s, error %v", result.RequeueAfter, err)
	}
	service := &corev1.Service{}
	if w.exists(service, "lamp"); service.Spec.Selector["app"] != "lamp" {
		t.Error("not written after the conflict")
	}
	w.drain()
	fight("another conflict")
}

// TestConflictKeepsNoOther component from what it needs.
func TestConflictKeepsNoOther(t *testing.T) {
	w := healthy(t, lamp(), radio())
	w.refuse = func(object, _ string) error {
		if strings.HasSuffix(object, "lamp") {
			return apierrors.NewConflict(schema.GroupResource{}, "lamp", errors.New("the object has been modified"))
		}
		return nil
	}
	for _, name := range []string{"lamp", "radio"} {
		w.remove(&corev1.Service{}, name)
	}
	if _, err := w.reconcile(); err != nil {
		t.Error(err)
	}
	if w.exists(&corev1.Service{}, "lamp") || !w.exists(&corev1.Service{}, "radio") {
		t.Error("the Service of the other component was not put back")
	}
}
