// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// managedKinds are what a pipeline with rules consists of on a cluster that has prometheus-operator.
var managedKinds = []string{
	"APIService", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget",
	"PrometheusRule", "Secret", "Service", "ServiceAccount", "ServiceMonitor",
}

// TestDeletedObjectComesBack deletes each managed object in turn.
func TestDeletedObjectComesBack(t *testing.T) {
	g := story(t)
	givenRules(t)
	objects, err := cluster.Managed(t.Context(), false)
	g.Expect(err).NotTo(HaveOccurred())
	kinds := map[string]int{}
	for _, object := range objects {
		kinds[object.Kind]++
	}
	for _, kind := range managedKinds {
		g.Expect(kinds).To(HaveKey(kind), "among the managed objects: %s", strings.Join(kit.Names(objects), ", "))
	}
	slowest := time.Duration(0)
	for i := range objects {
		object := &objects[i]
		if object.Kind == "MetricsPipeline" {
			continue
		}
		start := time.Now()
		comesBack(t, object)
		slowest = max(slowest, time.Since(start))
	}
	t.Logf("%d objects came back, the slowest after %.1f s: %v", len(objects), slowest.Seconds(), kinds)
	thenReady(t, scrape)
	thenServed(t, podMetric("v1beta2", requestRate), rollout)
	thenServed(t, "/apis/metrics.k8s.io/v1beta1/nodes", soon)
}

// comesBack deletes an object and waits until there is another one of its name.
func comesBack(t *testing.T, object *metav1.PartialObjectMetadata) {
	t.Helper()
	g := NewWithT(t)
	before := object.UID
	err := cluster.Client.Delete(t.Context(), object, client.PropagationPolicy(metav1.DeletePropagationBackground))
	// What went with an object that was deleted before it is back under another UID already, or about to be.
	g.Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
	again := &metav1.PartialObjectMetadata{}
	again.SetGroupVersionKind(object.GroupVersionKind())
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(object), again)).To(Succeed())
		g.Expect(again.UID).NotTo(Equal(before))
		g.Expect(again.DeletionTimestamp).To(BeNil())
		g.Expect(again.Labels).To(HaveKeyWithValue(v1alpha1.ManagedLabel, v1alpha1.SingletonName))
	}, rollout, often).Should(Succeed(), "%s %s does not come back", object.Kind, client.ObjectKeyFromObject(object))
}

// TestDeletionLeavesNothing deletes the pipeline while everything is in use.
func TestDeletionLeavesNothing(t *testing.T) {
	g := story(t)
	givenRules(t)
	start := time.Now()
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	t.Logf("nothing is left %.1f s after the deletion, pods included", time.Since(start).Seconds())

	thenNoAPIServiceLeft(t)
	// It stays deleted: the operator has seen the deletion and did not put anything back.
	g.Consistently(func() ([]string, error) {
		left, err := cluster.Managed(t.Context(), true)
		return kit.Names(left), err
	}, 5*time.Second, time.Second).Should(BeEmpty())
}

// thenNoAPIServiceLeft checks that no APIService leads to the operator's namespace.
func thenNoAPIServiceLeft(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	list := &apiregv1.APIServiceList{}
	g.Expect(cluster.Client.List(t.Context(), list)).To(Succeed())
	for _, api := range list.Items {
		if api.Spec.Service != nil {
			g.Expect(api.Spec.Service.Namespace).NotTo(Equal(kit.OperatorNamespace), api.Name)
		}
	}
}

// TestDeletionNeedsNoOperator deletes the pipeline while no operator runs, as in a cluster that is taken apart in any
// order: owner references have the garbage collector do it, and no finalizer waits for a controller.
func TestDeletionNeedsNoOperator(t *testing.T) {
	g := story(t)
	givenRules(t)
	t.Cleanup(func() { scaleOperator(t, kit.OperatorReplicas) })
	scaleOperator(t, 0)
	start := time.Now()
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	t.Logf("nothing is left %.1f s after the deletion, pods included", time.Since(start).Seconds())
}

// scaleOperator runs that many operators, and waits for the last of the others to end.
func scaleOperator(t *testing.T, replicas int32) {
	t.Helper()
	g := NewWithT(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
	defer cancel()
	_, err := cluster.Kubectl(ctx, "scale", "deployment", kit.OperatorName, "-n", kit.OperatorNamespace, fmt.Sprintf("--replicas=%d", replicas))
	g.Expect(err).NotTo(HaveOccurred())
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
	g.Expect(kit.Await(ctx, cluster, &appsv1.DeploymentList{}, key, kit.RolledOut)).To(Succeed())
}
