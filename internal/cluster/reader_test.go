// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestReader: a read waits for no informer; what can be read is read, also of a kind whose watch has failed since.
func TestReader(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare               func(*world)
		fails, pend, succeeds bool
	}{
		"listed":            {prepare: func(w *world) { w.ensure() }, succeeds: true},
		"no answer yet":     {prepare: func(w *world) { w.unsynced[configMaps] = true; w.ensure() }, fails: true, pend: true},
		"not begun yet":     {prepare: func(w *world) { w.unsynced[configMaps] = true }, fails: true, pend: true},
		"one that is stale": {prepare: func(w *world) { w.ensure(); w.answers(configMaps, typed, forbidden()) }, succeeds: true},
		"refused": {prepare: func(w *world) {
			w.unsynced[configMaps] = true
			w.ensure()
			w.answers(configMaps, typed, forbidden())
		}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, object("a"))
			w.watches.Add(w.configMaps())
			tc.prepare(w)
			reads := w.watches.Client(caching{w.client, w.fakeCache}, w.fakeCache)
			found := &corev1.ConfigMap{}
			getErr := reads.Get(t.Context(), client.ObjectKeyFromObject(object("a")), found)
			listErr := reads.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("apps"))
			for _, err := range []error{getErr, listErr} {
				var unreadable *UnreadableError
				if errors.As(err, &unreadable) != tc.fails || (err == nil) != tc.succeeds {
					t.Fatalf("error %v", err)
				}
				if tc.fails && (unreadable.Pending != tc.pend || unreadable.Namespace != "apps" || unreadable.Kind != configMaps) {
					t.Errorf("error %+v", unreadable)
				}
			}
			if (found.Name == "a") != tc.succeeds {
				t.Errorf("read %q", found.Name)
			}
		})
	}
}

// caching is a client that reads from a cache.
type caching struct {
	client.Client
	cache *fakeCache
}

func (c caching) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.cache.Get(ctx, key, object, options...)
}

func (c caching) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.cache.List(ctx, list, options...)
}

// TestReaderOfSeveralNamespaces: where one namespace of a cache cannot be read, the others can.
func TestReaderOfSeveralNamespaces(t *testing.T) {
	w := newWorld(t, object("a"))
	w.watches.Add(w.configMaps())
	w.unsynced[configMaps] = true
	w.ensure()
	// The fake client is an informer of one namespace that has synced.
	if err := w.watches.Reader(w.client, w.fakeCache).Get(t.Context(), client.ObjectKeyFromObject(object("a")), &corev1.ConfigMap{}); err != nil {
		t.Error(err)
	}
}

// TestReaderOfAbsentKinds: a read begins no watch on a kind that is not served; it ignores kinds that were not added.
func TestReaderOfAbsentKinds(t *testing.T) {
	w := newWorld(t, object("a"))
	w.ensure()
	ones := &metav1.PartialObjectMetadataList{}
	ones.SetGroupVersionKind(one)
	reads := w.watches.Reader(w.client, w.fakeCache)
	if err := reads.List(t.Context(), ones); !meta.IsNoMatchError(err) {
		t.Errorf("error %v", err)
	}
	if err := reads.Get(t.Context(), client.ObjectKeyFromObject(object("a")), &corev1.ConfigMap{}); err != nil {
		t.Error(err)
	}
}

func TestFormOf(t *testing.T) {
	for want, objects := range map[form][]runtime.Object{
		typed:    {&corev1.ConfigMap{}, &corev1.ConfigMapList{}},
		metadata: {&metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadataList{}},
	} {
		for _, object := range objects {
			if got := formOf(object); got != want {
				t.Errorf("%T: %s, want %s", object, got, want)
			}
		}
	}
}
