// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// name is what is kept of a Pod.
type name string

func (n name) Key() string { return "shop/" + string(n) }
func (n name) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: "shop", Name: string(n)}
}

// TestStore: each object is compacted before the sink sees it, also one that the reflector has compacted already, and what is none of the
// kind is an error.
func TestStore(t *testing.T) {
	var calls []string
	s := New(Sink[name]{
		Compact: func(object any) (any, error) {
			pod, is := object.(*corev1.Pod)
			switch {
			case !is:
				return object, nil
			case pod.Name == "bad":
				return nil, errors.New("it is bad")
			}
			return name(pod.Name), nil
		},
		Put:    func(n name) { calls = append(calls, "put "+n.Key()) },
		Remove: func(key string) { calls = append(calls, "remove "+key) },
		Replace: func(all map[string]name) {
			for key := range all {
				calls = append(calls, "replace "+key)
			}
		},
	})
	pod := func(name string) *corev1.Pod { return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	for _, err := range []error{s.Add(pod("a")), s.Update(pod("a")), s.Delete(pod("a")), s.Replace([]any{pod("b"), name("c")}, "1"), s.Resync()} {
		if err != nil {
			t.Error(err)
		}
	}
	slices.Sort(calls)
	if want := []string{"put shop/a", "put shop/a", "remove shop/a", "replace shop/b", "replace shop/c"}; !slices.Equal(calls, want) {
		t.Errorf("called %q, want %q", calls, want)
	}
	calls = nil
	for _, object := range []any{pod("bad"), &corev1.Service{}} {
		if s.Add(object) == nil || s.Delete(object) == nil || s.Replace([]any{object}, "1") == nil {
			t.Errorf("%T was taken", object)
		}
	}
	if kept, err := s.Transformer()(pod("a")); len(calls) > 0 || err != nil || kept != name("a") {
		t.Errorf("called %q, kept %v, %v", calls, kept, err)
	}
}
