// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestStackVPA: the VPA's recommender reads metrics.k8s.io of the pipeline and recommends; a VPA and an HPA that change and divide by the
// same requests are named.
func TestStackVPA(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	givenAddon(t, "vertical-pod-autoscaler")
	sample := samples[0]
	givenScaler(t, scaled{name: sample.name, metric: sample.metric})
	vpa := verticalScaler(sample.name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Delete(ctx, vpa)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), vpa)).To(Succeed())

	start := time.Now()
	g.Eventually(func(g Gomega) {
		found := vpa.DeepCopy()
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(vpa), found)).To(Succeed())
		recommended, _, err := unstructured.NestedSlice(found.Object, "status", "recommendation", "containerRecommendations")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(recommended).To(ConsistOf(SatisfyAll(
			HaveKeyWithValue("containerName", "app"), HaveKeyWithValue("target", SatisfyAll(HaveKey("cpu"), HaveKey("memory"))))),
			"status: %v", found.Object["status"])
	}, scrape, often).Should(Succeed())
	t.Logf("recommends after %.0f s", time.Since(start).Seconds())

	// A limit is said of an HPA that works, by the command line alone.
	code, out := why(t, kit.SampleNamespace, sample.name)
	g.Expect(code).To(Equal(0), out)
	g.Expect(out).To(ContainSubstring(v1alpha1.AutoscalerVPAConflict))
	g.Expect(out).To(ContainSubstring("Leave cpu out of controlledResources of VPA " + sample.name))
}

// verticalScaler is a VPA that may change all requests of an instance.
func verticalScaler(name string) *unstructured.Unstructured {
	vpa := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"targetRef":    map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
		"updatePolicy": map[string]any{"updateMode": "Recreate"},
	}}}
	vpa.SetGroupVersionKind(schema.GroupVersionKind{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscaler"})
	vpa.SetNamespace(kit.SampleNamespace)
	vpa.SetName(name)
	return vpa
}
