// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/metricspipeline/operator/internal/cluster"
)

func namespace(name string, annotations map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "7", Annotations: annotations,
		Labels: map[string]string{"team": "a"}, Finalizers: []string{"kubernetes"}}}
}

// TestWhatIsCachedOfANamespace is what is read of it, and nothing of the size that its owner chooses.
func TestWhatIsCachedOfANamespace(t *testing.T) {
	for name, tc := range map[string]struct{ annotations, want map[string]string }{
		"no annotation":      {nil, nil},
		"another annotation": {map[string]string{"long": "text"}, nil},
		"who may run there": {map[string]string{"long": "text", cluster.UserRangeAnnotation: "1/2"},
			map[string]string{cluster.UserRangeAnnotation: "1/2"}},
	} {
		got, err := onlyLabels(namespace("a", tc.annotations))
		want := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "7", Annotations: tc.want,
			Labels: map[string]string{"team": "a"}}}
		if diff := cmp.Diff(any(want), got); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestUsersOfTheNamespace wake the pipeline's controller when they become known, and nothing else of a namespace does.
func TestUsersOfTheNamespace(t *testing.T) {
	some, others := map[string]string{cluster.UserRangeAnnotation: "1/2"}, map[string]string{cluster.UserRangeAnnotation: "3/4"}
	for name, tc := range map[string]struct {
		of            string
		before, after map[string]string
		want          bool
	}{
		"they become known":    {"metrics", nil, some, true},
		"they change":          {"metrics", some, others, true},
		"they are taken back":  {"metrics", some, nil, true},
		"nothing changes":      {"metrics", some, some, false},
		"of another namespace": {"elsewhere", nil, some, false},
	} {
		e := event.UpdateEvent{ObjectOld: namespace(tc.of, tc.before), ObjectNew: namespace(tc.of, tc.after)}
		if got := users("metrics").Update(e); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if users("metrics").Create(event.CreateEvent{Object: namespace("metrics", some)}) {
		t.Error("what is there from the start wakes the controller, which reads it anyway")
	}
}
