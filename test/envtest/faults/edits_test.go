// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"reflect"
	"regexp"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// everything is a pipeline with everything in it but a Prometheus of the operator, which is for clusters that have none.
var everything = scenario{name: "everything", spec: largeSpec, given: apps}

// ofEverything brings up, each in a world of its own, everything and a Prometheus of the operator, and calls run with how that stands
// and with the objects that a test is to go through.
func ofEverything(t *testing.T, run func(*world, snapshot, []*unstructured.Unstructured)) {
	t.Helper()
	for _, of := range []struct {
		scenario
		objects func(*world) []*unstructured.Unstructured
	}{{everything, (*world).objects}, {managed, ofManaged}} {
		t.Run(of.name, func(t *testing.T) {
			w := begin(t)
			end := w.bringUp(of.scenario)
			run(w, end, of.objects(w))
		})
	}
}

// bringUp brings a pipeline up, of which the test then changes what is trusted.
func (w *world) bringUp(s scenario) snapshot {
	w.Helper()
	if s.setup != nil {
		s.setup(w)
	}
	end := w.prepare(s, nil)
	w.history.tampering(true)
	return end
}

// onEach calls run for each object of everything; then everything has to stand as before.
func onEach(t *testing.T, kind string, run func(*world, *unstructured.Unstructured)) {
	t.Helper()
	ofEverything(t, func(w *world, end snapshot, objects []*unstructured.Unstructured) {
		for _, object := range objects {
			inject(w.T, kind, 1, func() {
				run(w, object)
				w.reaches(end, harness.Identity(object)+", "+kind)
			})
		}
	})
}

// TestDeleted: whatever is deleted comes back.
func TestDeleted(t *testing.T) {
	onEach(t, "object deleted", func(w *world, object *unstructured.Unstructured) {
		w.must(w.Client.Delete(w.Ctx, object))
	})
}

// TestDeletedOnTheWay: an object is deleted, or becomes another one of the same content, while a write of it is on its way. A
// key that is deleted does not come back.
func TestDeletedOnTheWay(t *testing.T) {
	replace := func(kind string, how func(*world, *unstructured.Unstructured)) {
		t.Run(kind, func(t *testing.T) {
			onEach(t, kind, func(w *world, object *unstructured.Unstructured) {
				before := w.read(object)
				var onTheWay sync.Once
				w.fault.Store(&fault{refuse: func(write write) error {
					if write.object == harness.Identity(object) {
						onTheWay.Do(func() { how(w, object) })
					}
					return nil
				}})
				w.change(object, func(object *unstructured.Unstructured) {
					labels := object.GetLabels()
					labels["app.kubernetes.io/part-of"] = "other" // Which is put right.
					object.SetLabels(labels)
				})
				w.eventually(func() string {
					after := w.read(object)
					isSecret, isDeleted := object.GetKind() == "Secret", kind == deletedOnTheWay
					switch {
					case after.GetUID() == before.GetUID():
						return harness.Identity(object) + " is not another one yet"
					case isSecret && isDeleted && pairIn(after) != nil && pairIn(after).Equal(pairIn(before)):
						w.Errorf("%s has the key again that was deleted", harness.Identity(object))
					}
					return ""
				})
			})
		})
	}
	replace(deletedOnTheWay, func(w *world, object *unstructured.Unstructured) { w.must(w.Client.Delete(w.Ctx, object)) })
	replace("recreated while a write is on its way", (*world).recreate)
}

const deletedOnTheWay = "deleted while a write is on its way"

// TestRecreated: what is replaced by another one of the same content, as restoring a backup does, is the operator's again.
func TestRecreated(t *testing.T) {
	onEach(t, "recreated by a backup", func(w *world, object *unstructured.Unstructured) {
		w.recreate(object)
		w.history.tampering(true)
	})
}

// TestLabelsRemoved: what has lost its labels, by which the operator finds it, is found.
func TestLabelsRemoved(t *testing.T) {
	onEach(t, "labels removed", func(w *world, object *unstructured.Unstructured) {
		w.change(object, func(object *unstructured.Unstructured) { object.SetLabels(nil) })
	})
}

// TestOwnersRemoved and TestOwnersChanged: what has no owner, or others, is owned as before.
func TestOwnersRemoved(t *testing.T) {
	onEach(t, "owner references removed", func(w *world, object *unstructured.Unstructured) {
		w.change(object, func(object *unstructured.Unstructured) { object.SetOwnerReferences(nil) })
	})
}

// TestOwnersChanged is described at TestOwnersRemoved.
func TestOwnersChanged(t *testing.T) {
	onEach(t, "owner references changed", func(w *world, object *unstructured.Unstructured) {
		w.change(object, func(object *unstructured.Unstructured) {
			owners := object.GetOwnerReferences()
			for i := range owners {
				owners[i].UID = types.UID("00000000-0000-0000-0000-00000000000" + fmt.Sprint(i))
			}
			object.SetOwnerReferences(owners)
		})
	})
}

// TestStolen: another manager makes all our fields its own, with other values as far as there are such.
func TestStolen(t *testing.T) {
	onEach(t, "stolen by another manager", func(w *world, object *unstructured.Unstructured) {
		current := w.read(object)
		stolen := &unstructured.Unstructured{Object: map[string]any{}}
		stolen.SetGroupVersionKind(current.GroupVersionKind())
		stolen.SetName(current.GetName())
		stolen.SetNamespace(current.GetNamespace())
		stolen.SetLabels(current.GetLabels())
		for key, value := range current.Object {
			if key != "metadata" && key != "status" {
				stolen.Object[key] = value
			}
		}
		labels := stolen.GetLabels()
		for key := range labels {
			labels[key] = "thief"
		}
		other := stolen.DeepCopy()
		other.SetLabels(labels)
		steal := func(object *unstructured.Unstructured) error {
			return w.Client.Apply(w.Ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("thief"), client.ForceOwnership)
		}
		for _, path := range ownedPaths(current) {
			if err := edit(other.DeepCopy(), path, func(edited *unstructured.Unstructured) error { return steal(edited) }); err == nil {
				return
			}
		}
		w.must(steal(other))
	})
}

// immutable are the fields that cannot be changed alone, and why. An empty struct has nothing of ours in it: what others put
// there is theirs.
var immutable = map[string]string{
	"APIService .spec.group":                                               "the API server: it is a part of the name",
	"APIService .spec.version":                                             "the API server: it is a part of the name",
	"APIService .spec.insecureSkipTLSVerify":                               "the API server: it may not be true while there is a caBundle",
	"Deployment .spec.strategy.type":                                       "the API server: Recreate is refused beside the parameters of RollingUpdate",
	"Deployment .spec.template.metadata.labels.app.kubernetes.io/instance": "the API server: the selector would not match",
	"Deployment .spec.template.metadata.labels.app.kubernetes.io/name":     "the API server: the selector would not match",
	"ServiceMonitor .spec.selector":                                        "an empty struct",
	"ServiceMonitor .spec.namespaceSelector":                               "an empty struct",
	"PodMonitor .spec.selector":                                            "an empty struct",
	"PodMonitor .spec.namespaceSelector":                                   "an empty struct",
	"Secret .type":                                                         "the API server: field is immutable",
	"PersistentVolumeClaim .spec.accessModes":                              "the API server: spec is immutable",
	"PersistentVolumeClaim .spec.resources.requests.storage":               "the API server: spec is immutable",
	"ClusterRoleBinding .roleRef":                                          "the API server: cannot change roleRef",
	"Deployment .spec.selector":                                            "the API server: field is immutable",
}

// named are the names that bring volumes and mounts together: changed alone, the API server says, the mount would lead nowhere.
var named = regexp.MustCompile(`^Deployment \.spec\.template\.spec\.(volumes|(initContainers|containers)\[.*\]\.volumeMounts)\[.*\]\.name$`)

// TestEdited: each field that the operator owns is changed, and put right.
func TestEdited(t *testing.T) {
	ofEverything(t, func(w *world, end snapshot, objects []*unstructured.Unstructured) {
		for round := 0; w.editAll(end, objects, round); round++ {
			w.clock.SetTime(w.clock.Now().Add(time.Minute)) // Very many edits of one object within ten minutes are a contest.
		}
	})
}

// editAll changes a field of each object, in each round another one, and waits until all is put right; false where none is left.
func (w *world) editAll(end snapshot, objects []*unstructured.Unstructured, round int) bool {
	w.Helper()
	var edited []string
	var renamed []func()
	left := false
	for i, object := range objects {
		paths := ownedPaths(w.read(object))
		if round >= len(paths) {
			continue
		}
		left = true
		about := harness.Identity(object) + " " + paths[round].String()
		field := object.GetKind() + " " + paths[round].String()
		err := w.editField(object, paths[round], fmt.Sprintf("editor-%d-%d", round, i))
		switch {
		case err == nil:
			edited = append(edited, about)
			if list := keyOf(paths[round]); list != nil {
				renamed = append(renamed, func() { w.tidy(object, paths[round], list) })
			}
		case immutable[field] == "" && !named.MatchString(field):
			w.Errorf("%s: no other value is taken: %v", about, err)
		}
	}
	inject(w.T, "owned field edited", len(edited), func() {
		for _, tidy := range renamed {
			tidy()
		}
		w.reaches(end, fmt.Sprint(edited))
	})
	return left
}

// tidy removes an item of a list that came to be when the key of ours was changed, once ours is back: what others add
// under a key of their own, the operator leaves to them unless it contradicts.
func (w *world) tidy(object *unstructured.Unstructured, path, list fieldpath.Path) {
	w.Helper()
	before, _ := valueAt(object.Object, list)
	w.eventually(func() string {
		current := w.read(object)
		if _, back := valueAt(current.Object, path); !back {
			return harness.Identity(object) + " " + path.String() + " has not come back"
		}
		if after, _ := valueAt(current.Object, list); len(after.([]any)) == len(before.([]any)) {
			return ""
		}
		setAt(current.Object, list, before)
		if err := w.Client.Update(w.Ctx, current, client.FieldOwner("another-manager")); err != nil {
			return err.Error()
		}
		return ""
	})
}

// editField gives a field another value.
func (w *world) editField(object *unstructured.Unstructured, path fieldpath.Path, manager string) error {
	for {
		current := w.read(object)
		err := edit(current, path, func(edited *unstructured.Unstructured) error {
			answer := edited.DeepCopy()
			if err := w.Client.Update(w.Ctx, answer, client.FieldOwner(manager)); err != nil {
				return err
			}
			before, _ := valueAt(current.Object, path)
			after, found := valueAt(answer.Object, path)
			if found && reflect.DeepEqual(before, after) {
				return fmt.Errorf("the API server keeps %v", before)
			}
			return nil
		})
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
}

// change changes an object as it stands.
func (w *world) change(object *unstructured.Unstructured, how func(*unstructured.Unstructured)) {
	w.Helper()
	w.eventually(func() string {
		current := w.read(object)
		how(current)
		if err := w.Client.Update(w.Ctx, current, client.FieldOwner("another-manager")); err != nil {
			return err.Error()
		}
		return ""
	})
}

func (w *world) read(object *unstructured.Unstructured) *unstructured.Unstructured {
	w.Helper()
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(object.GroupVersionKind())
	w.eventually(func() string {
		if err := w.Client.Get(w.Ctx, client.ObjectKeyFromObject(object), found); err != nil {
			return err.Error()
		}
		return ""
	})
	return found
}
