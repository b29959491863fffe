// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
			r := &Reconciler{reported: test.last, live: live}
			status, err := r.writtenStatus(t.Context(), test.cached)
			if err != nil || status.Version != test.want {
				t.Errorf("the status is that which is %q, error %v, want %q", status.Version, err, test.want)
			}
		})
	}
}
