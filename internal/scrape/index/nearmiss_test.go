// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// workloadOf is the metadata of a workload that has the annotation, whose template has it too where both is true.
func workloadOf(namespace, name string, both bool) *metav1.PartialObjectMetadata {
	template := `{"f:spec":{"f:containers":{}}}`
	if both {
		template = `{"f:metadata":{"f:annotations":{"f:prometheus.io/scrape":{}}}}`
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name),
		Annotations:   annotated(),
		ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":` + template + `}}`)}}}}
}

// TestNearMisses are counted, listed and announced once, and are no apps. Those of apps that are scraped or rejected count beside them.
func TestNearMisses(t *testing.T) {
	w := newWatched(usual)
	almost := map[string]string{"prometheus.io.scrape": "true"}
	must(t, w.services().Add(service("shop", "a", almost)))
	must(t, w.services().Add(service("shop", "a", almost)))
	must(t, w.pods().Add(pod("shop", "p", almost)))
	must(t, w.hostPods().Add(pod("shop", "h", almost)))
	must(t, w.services().Add(service("shop", "probed", annotated("probe", "true"))))
	must(t, w.services().Add(service("shop", "rejected", annotated("probe", "true", "port", "0"))))
	w.expectCounts(t, "almost", 1, 0, 1)
	var listed []string
	status := w.status()
	for _, entry := range status.NearMisses {
		listed = append(listed, entry.Kind+" "+entry.Name)
	}
	want := []string{"Pod h", "Pod p", "Service a", "Service probed", "Service rejected"}
	if diff := cmp.Diff(want, listed); diff != "" || status.NearMissesTotal != 5 || len(w.nearMisses) != 5 {
		t.Errorf("%d of %d, with %d Events (-want +got):\n%s", len(listed), status.NearMissesTotal, len(w.nearMisses), diff)
	}
	if affected, _ := w.calls(); len(affected) != 1 {
		t.Errorf("affected: %q, want the one by the Service that is scraped", affected)
	}

	w.JudgeBy(Rules{Prefix: usual.Prefix, Pods: true})
	if status := w.status(); status.NearMissesTotal != 2 {
		t.Errorf("Pods alone: %+v", status)
	}
	w.JudgeBy(usual)
	for _, name := range []string{"a", "probed", "rejected"} {
		must(t, w.services().Delete(service("shop", name, nil)))
	}
	must(t, w.pods().Add(pod("shop", "p", map[string]string{"prometheus.io/scrape": "false"})))
	must(t, w.hostPods().Replace(nil, "2"))
	if diff := cmp.Diff(v1alpha1.ScrapeStatus{}, w.status()); diff != "" || len(w.namespaces) != 0 {
		t.Errorf("%d namespaces, status (-want +got):\n%s", len(w.namespaces), diff)
	}
}

// TestNearMissesAreSmall: the reason is the same for the Pods of one template, and as long as it has to be.
func TestNearMissesAreSmall(t *testing.T) {
	w := newWatched(usual)
	for i := range 2 {
		must(t, w.pods().Add(pod("shop", fmt.Sprintf("p-%d", i), map[string]string{"prometheus.io.scrape": "true", "x": strings.Repeat("y", 200<<10)})))
	}
	one, other := w.apps[Pod]["shop/p-0"].details, w.apps[Pod]["shop/p-1"].details
	if one.nearMiss != other.nearMiss || len(one.missed()) > 300 || one.annotations != nil {
		t.Errorf("kept: %+v", one)
	}
}

// TestWorkloads: of all workloads only those with the annotation that their template lacks are kept, and version says when they, or the
// Services that are scraped, have changed.
func TestWorkloads(t *testing.T) {
	w := newWatched(usual)
	deployments := w.store[Deployment]
	var versions []uint64
	expect := func(step string, changed bool, services int, names ...string) {
		t.Helper()
		found := w.Annotated("shop")
		var got []string
		for _, one := range found.Workloads {
			got = append(got, one.APIVersion+" "+one.Kind+" "+one.Name+" "+string(one.UID))
		}
		if diff := cmp.Diff(names, got); diff != "" || found.Services != services {
			t.Errorf("%s: %d Services, (-want +got):\n%s", step, found.Services, diff)
		}
		versions = append(versions, found.Version)
		if n := len(versions); n > 1 && (versions[n-1] != versions[n-2]) != changed {
			t.Errorf("%s: versions %v", step, versions)
		}
		if all := w.AnnotatedVersions(); all["shop"] != found.Version {
			t.Errorf("%s: %v", step, all)
		}
	}
	expect("nothing", false, 0)
	must(t, deployments.Add(workloadOf("shop", "both", true)))
	expect("the template has it", false, 0)
	must(t, deployments.Add(workloadOf("shop", "a", false)))
	must(t, w.store[DaemonSet].Replace([]any{workloadOf("shop", "b", false), workloadOf("shop", "both", true)}, "1"))
	expect("two", true, 0, "apps/v1 DaemonSet b b", "apps/v1 Deployment a a")
	counted := w.counted
	must(t, deployments.Add(workloadOf("shop", "a", false)))
	expect("its status has changed", false, 0, "apps/v1 DaemonSet b b", "apps/v1 Deployment a a")
	if w.counted != counted {
		t.Errorf("counted again")
	}
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	expect("a Pod", false, 0, "apps/v1 DaemonSet b b", "apps/v1 Deployment a a")
	must(t, w.services().Add(service("shop", "a", annotated())))
	expect("a Service", true, 1, "apps/v1 DaemonSet b b", "apps/v1 Deployment a a")
	must(t, deployments.Add(workloadOf("shop", "a", true)))
	expect("moved", true, 1, "apps/v1 DaemonSet b b")
	if len(w.apps[Deployment])+len(w.apps[StatefulSet]) != 0 {
		t.Errorf("kept: %v", w.apps)
	}
	w.JudgeBy(Rules{Prefix: usual.Prefix})
	expect("no annotations are honored", true, 0)
	w.JudgeBy(usual)
	w.Close(DaemonSet)
	expect("closed", false, 0)
}
