// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// scaled is an instance of the sample application and what it is scaled on.
type scaled struct {
	name   string
	metric autoscalingv2.MetricSpec
	// load is three times the target of one pod and more, idle is none.
	load, idle string
}

// samples has one instance for each kind of metric.
var samples = []scaled{
	{name: "cpu", metric: kit.CPU(), load: "/cpu?cores=0.12", idle: "/cpu?cores=0"},
	{name: "pods", metric: kit.RequestsOfPods(20), load: "/load?rps=100", idle: "/load?rps=0"},
	{name: "object", metric: kit.RequestsOfService("object", 20), load: "/load?rps=100", idle: "/load?rps=0"},
	{name: "external", metric: kit.QueueDepth("orders", 10), load: "/queue?depth=60", idle: "/queue?depth=0"},
	{name: "memory", metric: kit.Memory("32Mi"), load: "/memory?bytes=100000000", idle: "/memory?bytes=0"},
}

// installSamples deploys every instance, without scaling it yet.
func installSamples(ctx context.Context) error {
	if err := cluster.Apply(ctx, kit.SampleNamespaceObjects()...); err != nil {
		return err
	}
	for _, sample := range samples {
		if err := cluster.Apply(ctx, kit.SampleApp(sample.name)...); err != nil {
			return err
		}
		key := client.ObjectKey{Namespace: kit.SampleNamespace, Name: sample.name}
		if err := kit.Await(ctx, cluster, &appsv1.DeploymentList{}, key, kit.RolledOut); err != nil {
			return fmt.Errorf("wait for the sample application, image %s: %w", kit.SampleImage(), err)
		}
	}
	return nil
}

// TestAutoscalersFollowTheLoad has a HorizontalPodAutoscaler of each kind add pods under load, and take them away after.
func TestAutoscalersFollowTheLoad(t *testing.T) {
	story(t)
	givenRules(t)
	for _, sample := range samples {
		t.Run(sample.name, func(t *testing.T) {
			// Each waits for scrapes and for the controller's period, not for the others.
			t.Parallel()
			g := givenScaler(t, sample)

			start := time.Now()
			g.Expect(cluster.Steer(t.Context(), sample.name, sample.load)).To(Succeed())
			g.Eventually(func(g Gomega) {
				g.Expect(pods(t, g, sample.name)).To(BeEquivalentTo(kit.SampleMaxReplicas))
			}, rollout, often).Should(Succeed())
			up := time.Since(start)

			start = time.Now()
			g.Expect(cluster.Steer(t.Context(), sample.name, sample.idle)).To(Succeed())
			g.Eventually(func(g Gomega) {
				g.Expect(pods(t, g, sample.name)).To(BeEquivalentTo(1))
			}, scrape, often).Should(Succeed())
			t.Logf("1 to %d pods in %.1f s, back in %.1f s", kit.SampleMaxReplicas, up.Seconds(), time.Since(start).Seconds())
		})
	}
}

// givenScaler scales an instance until the end of the test, and waits until it is idle and its metric is read.
func givenScaler(t *testing.T, sample scaled) *WithT {
	t.Helper()
	g := NewWithT(t)
	scaler := kit.SampleScaler(sample.name, sample.metric)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if t.Failed() {
			out, err := cluster.Kubectl(ctx, "describe", "hpa", scaler.Name, "-n", scaler.Namespace)
			t.Log(out, err)
		}
		g.Expect(cluster.Client.Delete(ctx, scaler)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), scaler)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(conditionOf(t, g, sample.name, autoscalingv2.ScalingActive)).To(Equal("True ValidMetricFound"))
		g.Expect(pods(t, g, sample.name)).To(BeEquivalentTo(1))
	}, scrape, often).Should(Succeed())
	return g
}

// pods is the number of pods that serve an instance.
func pods(t *testing.T, g Gomega, name string) int32 {
	t.Helper()
	found := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: kit.SampleNamespace, Name: name}
	g.Expect(cluster.Client.Get(t.Context(), key, found)).To(Succeed())
	g.Expect(found.Status.ObservedGeneration).To(Equal(found.Generation))
	// Pods that are on their way, in either direction, do not count as arrived.
	g.Expect(found.Status.ReadyReplicas).To(Equal(found.Status.Replicas))
	return found.Status.ReadyReplicas
}

// conditionOf is status and reason of a condition of a HorizontalPodAutoscaler.
func conditionOf(t *testing.T, g Gomega, name string, kind autoscalingv2.HorizontalPodAutoscalerConditionType) string {
	t.Helper()
	found := &autoscalingv2.HorizontalPodAutoscaler{}
	key := client.ObjectKey{Namespace: kit.SampleNamespace, Name: name}
	g.Expect(cluster.Client.Get(t.Context(), key, found)).To(Succeed())
	for _, condition := range found.Status.Conditions {
		if condition.Type == kind {
			return fmt.Sprintf("%s %s", condition.Status, condition.Reason)
		}
	}
	return "missing"
}
