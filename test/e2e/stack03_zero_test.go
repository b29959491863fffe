// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestStackScaleToZero: Kubernetes itself scales to zero and back on External and Object metrics of rules that were derived. At zero
// there is no pod of the target left, and its HPA still has a number and is not named as failing.
func TestStackScaleToZero(t *testing.T) {
	story(t)
	needTestCluster(t) // Its control plane is of 1.37, the first that does so by default.
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	pipeline.Spec.PrometheusAdapter.RelistInterval = "10s"
	givenPipeline(t, pipeline)

	for _, scaled := range []struct {
		name   string
		metric autoscalingv2.MetricSpec
		// producer is the instance that the metric is about, which scales on nothing.
		producer, load, idle string
	}{
		{"zero-external", kit.QueueDepth("orders", 20), "external", "/queue?depth=60&queue=orders", "/queue?depth=0&queue=orders"},
		{"zero-object", kit.RequestsOfService("object", 20), "object", "/load?rps=100", "/load?rps=0"},
	} {
		t.Run(scaled.name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			steer := func(request string) {
				t.Helper()
				g.Expect(cluster.Steer(t.Context(), scaled.producer, request)).To(Succeed())
			}
			steer(scaled.idle)
			givenWorker(t, scaled.name)
			givenZeroScaler(t, scaled.name, scaled.metric)
			thenPods(t, scaled.name, BeZero())
			thenNumberAtZero(t, scaled.name)

			start := time.Now()
			steer(scaled.load)
			thenPods(t, scaled.name, BeNumerically(">=", 1))
			up := time.Since(start)
			start = time.Now()
			steer(scaled.idle)
			thenPods(t, scaled.name, BeZero())
			t.Logf("0 to 1 and more in %.0f s, back to 0 in %.0f s", up.Seconds(), time.Since(start).Seconds())
			thenNumberAtZero(t, scaled.name)
		})
	}
}

// givenZeroScaler scales an instance between 0 and [kit.SampleMaxReplicas] pods until the end of the test.
func givenZeroScaler(t *testing.T, name string, metric autoscalingv2.MetricSpec) {
	t.Helper()
	g := NewWithT(t)
	scaler := kit.SampleScaler(name, metric)
	scaler.Spec.MinReplicas = ptr.To[int32](0)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if t.Failed() {
			out, err := cluster.Kubectl(ctx, "describe", "hpa", name, "-n", scaler.Namespace)
			t.Log(out, err)
		}
		g.Expect(cluster.Client.Delete(ctx, scaler)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), scaler)).To(Succeed())
}

// thenNumberAtZero: the HPA is active and has a current value, and nothing names it as failing.
func thenNumberAtZero(t *testing.T, name string) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		g.Expect(conditionOf(t, g, name, autoscalingv2.ScaledToZero)).To(Equal("True ScaledToZero"))
		g.Expect(conditionOf(t, g, name, autoscalingv2.ScalingActive)).To(Equal("True ValidMetricFound"))
		found := &autoscalingv2.HorizontalPodAutoscaler{}
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: kit.SampleNamespace, Name: name}, found)).To(Succeed())
		g.Expect(found.Status.CurrentReplicas).To(BeZero())
		g.Expect(found.Status.CurrentMetrics).To(HaveLen(1))
	}, soon, often).Should(Succeed())
	thenNotFailing(t, name)
}
