// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

var codecs = clientgoscheme.Codecs.LegacyCodec(metav1.SchemeGroupVersion)

// TestStaleReads: the operator reads what was true a while ago, of each kind another while, as after each of its own writes.
func TestStaleReads(t *testing.T) {
	eachScenario(t, func(w *world, s scenario) {
		begin, end, writes := w.undisturbed(s)
		w.kill()
		w.wrap = (&lag{longest: 120 * time.Millisecond}).wrap
		inject(w.T, "stale reads after a write", len(writes), func() {
			w.prepare(s, begin)
			w.do(s, 0)
			w.reaches(end, s.name+", with late watches")
		})
	})
}

// TestMissedEvents: objects become others of the same name, and no event says so.
func TestMissedEvents(t *testing.T) {
	ofEverything(t, func(w *world, end snapshot, objects []*unstructured.Unstructured) {
		w.history.tampering(false)
		for _, object := range objects {
			inject(w.T, "recreated while the operator was down", 1, func() {
				w.kill()
				w.recreate(object)
				w.start()
				w.reaches(end, harness.Identity(object)+", recreated while the operator was down")
			})
		}

		inject(w.T, "pipeline recreated while the operator was down", 1, func() {
			w.kill()
			w.must(w.Client.Delete(w.Ctx, &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}))
			w.apply(w.applied)
			w.start()
			w.reaches(end, "another pipeline of the same name")
			w.must(w.CollectGarbage(w.Ctx))
			w.reaches(end, "another pipeline of the same name, after garbage collection")
		})

		w.kill()
		late := &lag{}
		w.wrap = late.wrap
		w.start()
		w.reaches(end, "with a watch that can be stopped")
		inject(w.T, "recreated between two reads", len(objects), func() {
			release := late.hold()
			for _, object := range objects {
				w.recreate(object)
			}
			release()
			w.reaches(end, "everything recreated while the watches stood still")
		})
	})
}

// recreate replaces an object by one of the same content, as restoring a backup does.
func (w *world) recreate(object *unstructured.Unstructured) {
	w.Helper()
	w.history.tampering(true)
	defer w.history.tampering(false)
	for range 20 {
		current := &unstructured.Unstructured{}
		current.SetGroupVersionKind(object.GroupVersionKind())
		w.must(w.Client.Get(w.Ctx, client.ObjectKeyFromObject(object), current))
		again := current.DeepCopy()
		again.SetUID("")
		again.SetResourceVersion("")
		again.SetManagedFields(nil)
		if len(current.GetFinalizers()) > 0 { // It goes at once.
			w.must(w.Client.Patch(w.Ctx, current, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))))
		}
		w.must(w.Client.Delete(w.Ctx, current))
		err := w.Client.Create(w.Ctx, again, client.FieldOwner("backup"))
		if !apierrors.IsAlreadyExists(err) {
			w.must(err)
			return
		}
	}
	w.Fatalf("the operator always makes %s first", object.GetName()) // That is what TestDeleted is about.
}
