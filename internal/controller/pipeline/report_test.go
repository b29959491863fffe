// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestWrittenStatus: what was written last counts until the cache shows it, and the API server where that is not known.
func TestWrittenStatus(t *testing.T) {
	pipeline := func(uid types.UID, resourceVersion, version string) *v1alpha1.MetricsPipeline {
		return &v1alpha1.MetricsPipeline{
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: uid, ResourceVersion: resourceVersion},
			Status:     v1alpha1.MetricsPipelineStatus{Version: version},
		}
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	live := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pipeline("a", "100", "live")).Build()
	last := reported{uid: "a", resourceVersion: "100", status: v1alpha1.MetricsPipelineStatus{Version: "written"}}
	unsure := last
	unsure.unsure = true

	for _, test := range []struct {
		name   string
		last   reported
		cached *v1alpha1.MetricsPipeline
		want   string
	}{
		{"nothing written yet", reported{}, pipeline("a", "9", "cached"), "cached"},
		{"the cache is behind", last, pipeline("a", "99", "cached"), "written"},
		{"the cache has it", last, pipeline("a", "100", "cached"), "cached"},
		{"the cache has what came after", last, pipeline("a", "101", "cached"), "cached"},
		{"another pipeline", last, pipeline("b", "99", "cached"), "cached"},
		{"the answer was lost", unsure, pipeline("a", "99", "cached"), "live"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Reconciler{Config: Config{Live: live}, reported: test.last}
			status, err := r.writtenStatus(t.Context(), test.cached)
			if err != nil || status.Version != test.want {
				t.Errorf("the status is that which is %q, error %v, want %q", status.Version, err, test.want)
			}
		})
	}
}

// TestReadiness: an operator that cannot read the pipeline or write its status is not ready, until it can, also where there is
// nothing to write then.
func TestReadiness(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "metricspipeline.io", Resource: "metricspipelines/status"}, "default",
		errors.New("patch is not allowed"))
	for name, tc := range map[string]struct {
		begin, end func(*world)
		says       string
	}{
		"the status cannot be written": {
			begin: func(w *world) {
				w.refuseStatus = forbidden
				w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled })
			},
			end: func(w *world) { w.refuseStatus = nil }, says: "patch the status of MetricsPipeline default"},
		"the status cannot be written, and need not be after all": {
			begin: func(w *world) {
				w.refuseStatus = forbidden
				w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled })
			},
			end: func(w *world) {
				w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ResourceMetrics.Policy = "" })
				pipeline := w.pipeline()
				pipeline.Generation = pipeline.Status.ObservedGeneration
				if err := w.client.Update(w.t.Context(), pipeline); err != nil {
					w.t.Fatal(err)
				}
				w.settle()
				w.drain()
			}, says: "patch the status of MetricsPipeline default"},
		"the pipeline cannot be read": {
			begin: func(w *world) { w.unreadable = map[string]error{"MetricsPipeline": forbidden} },
			end:   func(w *world) { w.unreadable = nil }, says: "read MetricsPipeline default"},
		"the pipeline cannot be read, and is gone afterwards": {
			begin: func(w *world) { w.unreadable = map[string]error{"MetricsPipeline": forbidden} },
			end: func(w *world) {
				w.unreadable = nil
				if err := w.client.Delete(w.t.Context(), w.pipeline()); err != nil {
					w.t.Fatal(err)
				}
			}, says: "read MetricsPipeline default"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []*gadget{lamp()})
			w.settle()
			if err := w.Ready(); err != nil {
				t.Fatalf("at first: %v", err)
			}
			tc.begin(w)
			if _, err := w.reconcile(); err == nil || !apierrors.IsForbidden(err) {
				t.Errorf("error %v, want one that is tried again", err)
			}
			if err := w.Ready(); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("ready: %v, want %q", err, tc.says)
			}
			tc.end(w)
			w.settle()
			if err := w.Ready(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestReportWaitsForTheSnapshot of annotated apps for as long as Timing.Snapshot, and no longer.
func TestReportWaitsForTheSnapshot(t *testing.T) {
	for name, comes := range map[string]bool{"it comes": true, "it does not come": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []*gadget{lamp()})
				w.scrape.Current = false
				result, err := w.reconcile()
				if err != nil || result.RequeueAfter != time.Second {
					t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
				}
				time.Sleep(400 * time.Millisecond)
				if result, err = w.reconcile(); err != nil || result.RequeueAfter != 600*time.Millisecond {
					t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
				}
				if got := w.condition(v1alpha1.ConditionReady); got != "" {
					t.Errorf("reported too early: %s", got)
				}
				if comes {
					w.scrape.Current = true
				} else {
					time.Sleep(600 * time.Millisecond)
				}
				if _, err = w.reconcile(); err != nil || w.condition(v1alpha1.ConditionReady) == "" {
					t.Errorf("not reported, error %v", err)
				}
			})
		})
	}
}
