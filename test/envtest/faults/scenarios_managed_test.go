// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// managedSpec has a Prometheus of the operator, with a volume.
const managedSpec = "prometheus: {managed: {storage: {size: 1Gi}}}\n" + rules

// managed is a pipeline with such a Prometheus, and apps that it scrapes.
var managed = scenario{name: "a Prometheus of the operator", spec: managedSpec, setup: noPrometheusObjects, given: apps}

// managing has the Prometheus of the operator take the place of another one.
var managing = scenario{name: "manage a Prometheus", spec: largeSpec, setup: noPrometheusObjects, given: apps,
	act: func(w *world) { w.apply(managedSpec) }}

// noPrometheusObjects has none served: the Prometheus of the operator is a Deployment then, with scrape configurations in place of
// monitors.
func noPrometheusObjects(w *world) {
	w.Helper()
	w.must(w.RemoveCRD(w.Ctx, harness.PrometheusCRD()))
	w.Cleanup(func() { w.must(w.InstallCRD(w.Ctx, harness.PrometheusCRD())) })
}

// ofManaged are the objects of the Prometheus, with the ConfigMaps of scrape configurations.
func ofManaged(w *world) []*unstructured.Unstructured {
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
	if shards == 0 || len(found) < shards+10 {
		w.Fatalf("%d objects, %d of them with scrape configurations", len(found), shards)
	}
	return found
}

// isShard is true of a ConfigMap with scrape configurations.
func isShard(object client.Object) bool {
	return strings.HasPrefix(object.GetName(), prometheus.ManagedName+"-scrape-")
}
