// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
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

// TestConflictHidesNoError that comes up beside it: a conflict with one APIService, or the authority, says nothing of what is wrong
// with another one, or with a certificate.
func TestConflictHidesNoError(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{}, "it", errors.New("the object has been modified"))
	refusing := func(conflicting, forbidden metricsapi.API) func(*world) {
		return func(w *world) {
			w.available(apiregv1.ConditionFalse, metricsapi.Resource, metricsapi.External)
			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
				spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
				spec.ExternalMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
			})
			w.clock.SetTime(moment.Add(6 * time.Minute))
			w.refuseDelete = map[string]error{conflicting.Name(): conflict, forbidden.Name(): forbids("apiservices")}
		}
	}
	for name, tc := range map[string]struct {
		begin     func(*world)
		condition string
	}{
		"the first of two APIServices":  {refusing(metricsapi.Resource, metricsapi.External), v1alpha1.ConditionComponentsReady},
		"the second of two APIServices": {refusing(metricsapi.External, metricsapi.Resource), v1alpha1.ConditionComponentsReady},
		"the authority": {func(w *world) {
			w.remove(&corev1.Secret{}, "metricspipeline-ca")
			w.refuse = func(object, _ string) error {
				if object == "Secret metrics/metricspipeline-ca" {
					return conflict
				}
				return nil
			}
			w.unreadable = map[string]error{"Secret lamp-tls": forbids("secrets")}
		}, v1alpha1.ConditionCertificatesReady},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy(t, lamp(), radio())
			tc.begin(w)
			result, err := w.reconcile()
			if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > w.Timing.Conflict {
				t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
			}
			got := w.condition(tc.condition)
			if !strings.HasPrefix(got, "False ") || !strings.Contains(got, "no permission") || strings.Contains(got, "modified") {
				t.Errorf("%s: %s", tc.condition, got)
			}
		})
	}
}

// TestNothingIsLeftToWriteWhenReady: Ready comes once the objects are owned by the APIServices, which are made last, however soon
// kube-aggregator finds one to be available.
func TestNothingIsLeftToWriteWhenReady(t *testing.T) {
	g := lamp()
	w := newWorld(t, []*gadget{g})
	w.operator = interceptor.NewClient(w.operator, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if err := c.Apply(ctx, object, opts...); err != nil {
				return err
			}
			if of, is := object.(client.Object); is && w.kind(of) == "APIService" {
				w.available(apiregv1.ConditionTrue, g.apis...) //nolint:contextcheck // it has the test's
			}
			return nil
		},
	})
	w.restart()
	w.settle()
	w.run(g.name, g.workloads...)
	w.first("Ready", func() bool { return strings.HasPrefix(w.conditions()[v1alpha1.ConditionReady], "True ") })
	before := w.conditions()
	w.drain()
	if _, err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	w.unchanged("after Ready", before)
}
