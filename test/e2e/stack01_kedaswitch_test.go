// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// moving is the section of docs/migrate.md by which external rules become ScaledObjects: a command that writes them, while the operator
// serves the rules, and one that applies them, when KEDA has the API.
const moving = "To KEDA's prometheus trigger"

// thenRulesNotServed waits until the status says that the rules are nobody's while KEDA has the API.
func thenRulesNotServed(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ExternalMetricsAPI)).
			To(HaveField("Message", ContainSubstring("What is in spec.externalMetrics.rules is not served")))
	}, soon, often).Should(Succeed())
}

// whenTakenOver has the pipeline serve external.metrics.k8s.io in place of KEDA, which is first seen to contest it.
func whenTakenOver(t *testing.T, pipeline *v1alpha1.MetricsPipeline) {
	t.Helper()
	g := NewWithT(t)
	pipeline.Spec.ExternalMetrics.Policy = v1alpha1.PolicyTakeOver
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ExternalMetricsAPI)).To(SatisfyAll(
			HaveField("Reason", v1alpha1.ReasonContested), HaveField("Message", ContainSubstring(`"keda" changes .spec.caBundle`))))
	}, rollout, often).Should(Succeed(), "KEDA puts its caBundle back, whoever has the API")
	whenKEDAPatches(t, false)
	pipeline.Spec.ExternalMetrics.OnUnavailable = v1alpha1.UnavailableDeregister // Any change of the spec has it tried anew.
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ExternalMetricsAPI)).To(SatisfyAll(
			HaveField("Owner", "MetricsPipeline default"), HaveField("Available", metav1.ConditionTrue)))
	}, rollout, often).Should(Succeed())
	thenReady(t, rollout)
}

// givenRuleScaler has an HPA scale by an external rule of the pipeline until the end of the test, with all its pods, and returns which HPA
// it is.
func givenRuleScaler(t *testing.T) types.UID {
	t.Helper()
	g := NewWithT(t)
	scaler := kit.SampleScaler(byRule, kit.QueueDepth("orders", 20))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, scaledObject(byRule, nil), scaler)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), scaler)).To(Succeed())
	thenPods(t, byRule, BeEquivalentTo(kit.SampleMaxReplicas))
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(scaler), scaler)).To(Succeed())
	return scaler.UID
}

// whenMovedToKEDA gives external.metrics.k8s.io to KEDA again by the steps of docs/migrate.md, with ScaledObjects for what rules scaled.
func whenMovedToKEDA(t *testing.T, pipeline *v1alpha1.MetricsPipeline) {
	t.Helper()
	g := NewWithT(t)
	const page = "docs/migrate.md"
	dir, steps := clone(t), section(t, page, moving)
	g.Expect(steps).To(HaveLen(2))
	g.Expect(followSteps(t, dir, page, steps[:1])).To(Succeed())
	pipeline.Spec.ExternalMetrics.Policy = v1alpha1.PolicyObserve
	whenApplied(t, pipeline)
	thenNoExternalAPI(t)
	whenKEDAPatches(t, true)
	g.Expect(cluster.Host(within(t, rollout), "addon", "install", kedaAddon)).To(Succeed(), "its APIService is applied again")
	thenOwnedByKEDA(t)
	g.Expect(followSteps(t, dir, page, steps[1:])).To(Succeed())
	pipeline.Spec.ExternalMetrics.Rules = nil
	whenApplied(t, pipeline)
}

// thenMoved waits until KEDA has taken over the HPA that a rule scaled by, the same object, and gives it its number.
func thenMoved(t *testing.T, before types.UID) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		found := &autoscalingv2.HorizontalPodAutoscaler{}
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: kit.SampleNamespace, Name: byRule}, found)).To(Succeed())
		g.Expect(found.UID).To(Equal(before))
		g.Expect(found.OwnerReferences).To(ConsistOf(SatisfyAll(HaveField("Kind", "ScaledObject"), HaveField("Name", byRule))))
		g.Expect(found.Spec.Metrics).To(ConsistOf(HaveField("External.Metric.Name", "s0-prometheus")))
		g.Expect(conditionOf(t, g, byRule, autoscalingv2.ScalingActive)).To(Equal("True ValidMetricFound"))
		g.Expect(found.Status.CurrentMetrics).To(ConsistOf(HaveField("External.Metric.Name", "s0-prometheus")))
	}, rollout, often).Should(Succeed())
	thenNotFailing(t, byRule)
}

// watchReplicas looks at a Deployment all the time, and returns how many pods it had and should have had at least.
func watchReplicas(t *testing.T, name string) (fewest func() int32) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	least := int32(kit.SampleMaxReplicas)
	done.Go(func() {
		ticks := time.NewTicker(often)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			found := &appsv1.Deployment{}
			if cluster.Client.Get(ctx, client.ObjectKey{Namespace: kit.SampleNamespace, Name: name}, found) == nil {
				least = min(least, ptr.Deref(found.Spec.Replicas, 1), found.Status.Replicas)
			}
		}
	})
	stop := func() int32 {
		cancel()
		done.Wait()
		return least
	}
	t.Cleanup(func() { stop() })
	return stop
}

// whenKEDAPatches has KEDA's operator write its authority into the APIService, as it does by default, or not.
func whenKEDAPatches(t *testing.T, patches bool) {
	t.Helper()
	patch := `[{"op": "add", "path": "/spec/template/spec/containers/0/args/0", "value": "--enable-apiservice-patching=false"}]`
	if patches {
		patch = `[{"op": "remove", "path": "/spec/template/spec/containers/0/args/0"}]`
	}
	for _, args := range [][]string{
		{"patch", "deployment", "keda-operator", "-n", "keda", "--type=json", "--patch", patch},
		{"rollout", "status", "deployment", "keda-operator", "-n", "keda", "--timeout=1m"},
	} {
		_, err := cluster.Kubectl(within(t, rollout), args...)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
	}
}
