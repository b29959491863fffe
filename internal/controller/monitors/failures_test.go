// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestFailures: what the API server refuses is reported, until it accepts it or the namespace is gone.
func TestFailures(t *testing.T) {
	for name, end := range map[string]func(*world) error{
		"it accepts it":         func(w *world) error { w.refuse = nil; return nil },
		"the namespace is gone": func(w *world) error { return w.client.Delete(t.Context(), namespaces("shop")[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			w := working(t)
			must(t, w.services().Add(service("shop", "a", annotated())))
			w.observe(t)
			w.announced, w.refuse = 0, errors.New("quota")
			w.requested()
			for i := range 2 {
				if _, err := w.r.Reconcile(t.Context(), requestFor("shop")); err == nil {
					t.Fatal("no error")
				}
				if queued, _ := w.requested(); slices.Contains(queued, "") != (i == 0) {
					t.Errorf("attempt %d: requests %q", i+1, queued)
				}
			}
			state, _ := w.observe(t)
			if state.Met || state.Reason != v1alpha1.ReasonMonitorsFailed || !strings.Contains(state.Message, "namespace shop") || w.announced != 1 {
				t.Errorf("state %+v, announced %d times", state, w.announced)
			}
			must(t, end(w))
			w.requested()
			w.reconcile(t, "shop")
			if queued, _ := w.requested(); !slices.Contains(queued, "") {
				t.Errorf("at the end: requests %q", queued)
			}
			if state, _ := w.observe(t); !state.Met || w.announced < 2 {
				t.Errorf("state %+v, announced %d times", state, w.announced)
			}
		})
	}
}

// TestFailureEnds with what it is about, also where that goes while no monitors are written.
func TestFailureEnds(t *testing.T) {
	app := service("shop", "a", annotated())
	gone := map[string]func(*world) error{
		"the app goes": func(w *world) error { return w.services().Delete(app) },
		"the namespace goes": func(w *world) error {
			must(w.T, w.services().Delete(app))
			return w.client.Delete(w.Context(), namespaces("shop")[0])
		},
	}
	for pause, tc := range map[string]struct {
		begin, end func(*world) error
		// quiet is true where the first snapshot afterwards has nothing of it.
		quiet bool
	}{
		"there is no pipeline": {
			func(w *world) error { return w.client.Delete(w.Context(), pipeline()) },
			func(w *world) error { return w.client.Create(w.Context(), pipeline()) }, true},
		"it is not known what should be": {
			func(w *world) error { return errors.Join(w.chosen(), w.client.Delete(w.Context(), everything())) },
			func(w *world) error { return w.client.Create(w.Context(), everything()) }, false},
	} {
		for name, goes := range gone {
			t.Run(pause+", "+name, func(t *testing.T) {
				w := working(t)
				must(t, w.services().Add(app))
				w.reconcile(t)
				w.refuse = errors.New("quota")
				if _, err := w.r.Reconcile(t.Context(), requestFor("shop")); err == nil {
					t.Fatal("no error")
				}
				must(t, tc.begin(w))
				w.reconcile(t, "shop")
				must(t, goes(w))
				w.reconcile(t, "shop")
				must(t, tc.end(w))
				w.requested()
				if state, _ := w.observe(t); tc.quiet && !state.Met {
					t.Errorf("at first: %+v", state)
				}
				queued, _ := w.requested()
				w.reconcile(t, queued...)
				if state, _ := w.observe(t); !state.Met {
					t.Errorf("at the end: %+v", state)
				}
			})
		}
	}
}

// TestNamespaceEndsMeanwhile: that a namespace is being deleted is no refusal of its monitors, since the next one of its name takes
// them.
func TestNamespaceEndsMeanwhile(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t)
	w.refuse = &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: "is being terminated",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}}}}
	if result, err := w.r.Reconcile(t.Context(), requestFor("shop")); err == nil {
		t.Errorf("again after %s like what is refused, want an error", result.RequeueAfter)
	}
}

// TestRefused: a write that the API server refuses is tried again ever more rarely, until what monitors depend on changes.
func TestRefused(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t)
	w.refuse = apierrors.NewInvalid(schema.GroupKind{Kind: "ServiceMonitor"}, "x", nil)
	again := func() time.Duration {
		w.clock.SetTime(w.clock.Now().Add(restPeriod))
		result, err := w.r.Reconcile(t.Context(), requestFor("shop"))
		must(t, err)
		return result.RequeueAfter
	}
	var waits []time.Duration
	for range 7 {
		waits = append(waits, again())
	}
	if diff := cmp.Diff([]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
		15 * time.Minute, 15 * time.Minute}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	result, err := w.r.Reconcile(t.Context(), requestFor("shop"))
	must(t, err)
	if result.RequeueAfter != restPeriod {
		t.Errorf("an app comes: again after %s, want %s", result.RequeueAfter, restPeriod)
	}
	w.requested()
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Labels = map[string]v1alpha1.LabelValue{"release": "stack"} })
	w.reconcile(t)
	if queued, _ := w.requested(); !slices.Contains(queued, "shop") {
		t.Errorf("another spec: requests %q", queued)
	}
	if wait := again(); wait != 30*time.Second {
		t.Errorf("another spec: again after %s", wait)
	}
}
