// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// managed is a pipeline with a Prometheus of the operator's, and apps that it scrapes.
var managed = scenario{name: "a Prometheus of the operator", spec: "prometheus: {managed: {}}\n", given: apps}

// beginManaged brings the Prometheus up as a Deployment, which is what it is where no Prometheus objects are served.
func beginManaged(t *testing.T) (*world, snapshot) {
	t.Helper()
	w := begin(t)
	w.must(w.RemoveCRD(w.Ctx, harness.PrometheusCRD()))
	t.Cleanup(func() { w.must(w.InstallCRD(w.Ctx, harness.PrometheusCRD())) })
	end := w.prepare(managed, nil)
	w.history.tampering(true)
	return w, end
}

// ofManaged are its objects, with the ConfigMaps of scrape configurations.
func (w *world) ofManaged() []*unstructured.Unstructured {
	w.Helper()
	found := slices.DeleteFunc(w.objects(), func(object *unstructured.Unstructured) bool {
		return !strings.Contains(object.GetName(), prometheus.ManagedName)
	})
	shards := 0
	for _, object := range found {
		if isShard(object) {
			shards++
		}
	}
	if shards == 0 || len(found) < shards+9 {
		w.Fatalf("%d objects, %d of them with scrape configurations", len(found), shards)
	}
	return found
}

// isShard is true of a ConfigMap with scrape configurations.
func isShard(object *unstructured.Unstructured) bool {
	return strings.HasPrefix(object.GetName(), prometheus.ManagedName+"-scrape-")
}

const recreated = "recreated by a backup"

// TestManagedPrometheus: whatever is done to an object of it, all stands as before.
func TestManagedPrometheus(t *testing.T) {
	w, end := beginManaged(t)
	change := func(how func(*unstructured.Unstructured)) func(*unstructured.Unstructured) {
		return func(object *unstructured.Unstructured) { w.change(object, how) }
	}
	for _, fault := range []struct {
		kind string
		how  func(*unstructured.Unstructured)
	}{
		{"object deleted", func(object *unstructured.Unstructured) { w.must(w.Client.Delete(w.Ctx, object)) }},
		{recreated, w.recreateTampering},
		{"labels removed", change(func(object *unstructured.Unstructured) { object.SetLabels(nil) })},
		{"owner references removed", change(func(object *unstructured.Unstructured) { object.SetOwnerReferences(nil) })},
		{"owner references changed", change(func(object *unstructured.Unstructured) {
			owners := object.GetOwnerReferences()
			for i := range owners {
				owners[i].UID = types.UID("00000000-0000-0000-0000-00000000000" + fmt.Sprint(i))
			}
			object.SetOwnerReferences(owners)
		})},
	} {
		for _, object := range w.ofManaged() {
			if isShard(object) && fault.kind == recreated {
				continue // Of a shard the operator applies labels and owner alone, and those only where they are not there.
			}
			inject(t, fault.kind, 1, func() {
				fault.how(object)
				w.reaches(end, harness.Identity(object)+", "+fault.kind)
			})
		}
	}
}

// recreateTampering recreates an object, and lets the test go on to change what is trusted.
func (w *world) recreateTampering(object *unstructured.Unstructured) {
	w.Helper()
	w.recreate(object)
	w.history.tampering(true)
}

// TestManagedNamesTaken: what somebody else has made under the name of one of its objects is left as it is and named in the status, and
// once that is gone all stands as without it.
func TestManagedNamesTaken(t *testing.T) {
	w, end := beginManaged(t)
	for _, object := range w.ofManaged() {
		// A shard is tried again after up to minutes, longer than is waited for here.
		if isShard(object) || strings.HasSuffix(object.GetName(), "-last-good") || object.GetNamespace() == "" {
			continue
		}
		inject(t, "name taken", 1, func() {
			w.noApps()
			w.clear()
			foreign := object.DeepCopy()
			foreign.SetLabels(nil)
			foreign.SetOwnerReferences(nil)
			foreign.SetUID("")
			foreign.SetResourceVersion("")
			foreign.SetManagedFields(nil)
			w.must(w.Client.Create(w.Ctx, foreign))
			w.apply(managed.spec)
			apps(w)
			w.eventually(func() string {
				pipeline, _ := w.pipeline()
				for _, condition := range pipeline.Status.Conditions {
					if strings.Contains(condition.Message, object.GetName()+" ") && strings.Contains(condition.Message, "is left alone") {
						return ""
					}
				}
				return fmt.Sprintf("%s is not said to be taken: %+v", harness.Identity(object), pipeline.Status.Conditions)
			})
			if found := w.read(foreign); len(found.GetLabels())+len(found.GetOwnerReferences()) > 0 {
				t.Errorf("%s was taken over: %v", harness.Identity(object), found.GetLabels())
			}
			w.must(w.Client.Delete(w.Ctx, foreign))
			w.reaches(end, harness.Identity(object)+" was somebody else's")
		})
	}
}
