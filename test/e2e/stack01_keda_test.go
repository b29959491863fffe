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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	kedaAddon = "keda"
	// kedaHPA begins the names of the HPAs that KEDA makes.
	kedaHPA = "keda-hpa-"
	// byQueue and byCPU are the ScaledObjects of the story, and the Deployments that they scale. byRule is an HPA on an external rule of the
	// pipeline, and the ScaledObject that is made of it.
	byQueue, byCPU, byRule = "keda-queue", "keda-cpu", "keda-rule"
	queueQuery             = `sum(queue_depth{namespace="` + kit.SampleNamespace + `",queue="orders"})`
)

// TestStackKEDA: external.metrics.k8s.io is KEDA's, and the status says so. A ScaledObject goes to zero and back on a query of the
// Prometheus that the status names. Rules beside it are said not to be served; the API is taken over and given back without a pod lost, who
// does not need it notices nothing, and KEDA takes over what was scaled by a rule.
func TestStackKEDA(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	rules := pipeline.Spec.ExternalMetrics.Rules
	pipeline.Spec.ExternalMetrics.Rules = nil
	givenPipeline(t, pipeline)
	thenNoExternalAPI(t)
	givenAddon(t, kedaAddon)
	thenOwnedByKEDA(t)
	thenReady(t, rollout)

	for _, name := range []string{byQueue, byCPU, byRule} {
		givenWorker(t, name)
	}
	steer := func(request string) {
		t.Helper()
		g.Expect(cluster.Steer(t.Context(), "external", request)).To(Succeed())
	}
	steer("/queue?depth=0&queue=orders")
	givenScaledObjects(t)
	thenPods(t, byQueue, BeZero())
	start := time.Now()
	steer("/queue?depth=60&queue=orders")
	thenPods(t, byQueue, BeEquivalentTo(kit.SampleMaxReplicas))
	t.Logf("0 to %d pods in %.0f s", kit.SampleMaxReplicas, time.Since(start).Seconds())
	active := thenActive(t, byCPU)

	pipeline.Spec.ExternalMetrics.Rules = rules
	whenApplied(t, pipeline)
	thenRulesNotServed(t)
	fewest := watchReplicas(t, byQueue)
	whenTakenOver(t, pipeline)
	thenExplainedAs(t, kedaHPA+byQueue, v1alpha1.AutoscalerAPITaken)
	moved := givenRuleScaler(t)
	fewestMoved := watchReplicas(t, byRule)
	whenMovedToKEDA(t, pipeline)
	thenReady(t, rollout)
	thenNotFailing(t, kedaHPA+byQueue)
	thenMoved(t, moved)
	g.Expect(fewest()).To(BeEquivalentTo(kit.SampleMaxReplicas), "no pod is lost in either direction")
	g.Expect(fewestMoved()).To(BeEquivalentTo(kit.SampleMaxReplicas), "no pod is lost while KEDA takes an HPA over")
	g.Expect(thenActive(t, byCPU)).To(Equal(active), "a ScaledObject on cpu alone has had its metric all the time")

	whenQueried(t, "sum(")
	thenExplainedAs(t, kedaHPA+byQueue, v1alpha1.AutoscalerScaledObjectNotReady)
	whenQueried(t, queueQuery)
	thenNotFailing(t, kedaHPA+byQueue)
	start = time.Now()
	steer("/queue?depth=0&queue=orders")
	thenPods(t, byQueue, BeZero())
	t.Logf("back to 0 in %.0f s", time.Since(start).Seconds())
	thenPods(t, byRule, BeEquivalentTo(1))
}

// thenNoExternalAPI waits until external.metrics.k8s.io is free for another owner.
func thenNoExternalAPI(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ExternalMetricsAPI)).To(HaveField("Owner", BeEmpty()))
		_, err := cluster.Kubectl(t.Context(), "get", "apiservice", kit.ExternalMetricsAPI)
		g.Expect(err).To(MatchError(ContainSubstring("NotFound")))
	}, rollout, often).Should(Succeed())
}

// thenOwnedByKEDA waits until the status says that KEDA serves external.metrics.k8s.io.
func thenOwnedByKEDA(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ExternalMetricsAPI)).To(SatisfyAll(
			HaveField("Owner", ContainSubstring("keda/keda-metrics-apiserver")),
			HaveField("Backend", BeEmpty()), HaveField("Available", metav1.ConditionTrue)))
	}, rollout, often).Should(Succeed())
}

func scaledObject(name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"})
	object.SetNamespace(kit.SampleNamespace)
	object.SetName(name)
	return object
}

// queueScaler queries the Prometheus that the status of the pipeline names.
func queueScaler(t *testing.T, query string) *unstructured.Unstructured {
	t.Helper()
	return scaledObject(byQueue, map[string]any{
		"scaleTargetRef":  map[string]any{"name": byQueue},
		"minReplicaCount": int64(1), "maxReplicaCount": int64(kit.SampleMaxReplicas), "idleReplicaCount": int64(0),
		"pollingInterval": int64(2), "cooldownPeriod": int64(5),
		"triggers": []any{map[string]any{"type": "prometheus", "metadata": map[string]any{
			"serverAddress": thePipeline(t, NewWithT(t)).Status.Prometheus.URL, "query": query, "threshold": "20", "ignoreNullValues": "false",
		}}},
	})
}

// givenScaledObjects has KEDA scale by the queue and by cpu until the end of the test.
func givenScaledObjects(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	queue, cpu := queueScaler(t, queueQuery), scaledObject(byCPU, map[string]any{
		"scaleTargetRef": map[string]any{"name": byCPU}, "minReplicaCount": int64(1), "maxReplicaCount": int64(2),
		"triggers": []any{map[string]any{"type": "cpu", "metricType": "Utilization", "metadata": map[string]any{"value": "90"}}},
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		if t.Failed() {
			out, err := cluster.Kubectl(ctx, "describe", "scaledobjects.keda.sh,hpa", "-n", kit.SampleNamespace)
			t.Log(out, err)
		}
		g.Expect(cluster.Delete(ctx, queue, cpu)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), queue, cpu)).To(Succeed())
}

func whenQueried(t *testing.T, query string) {
	t.Helper()
	NewWithT(t).Expect(cluster.Apply(t.Context(), queueScaler(t, query))).To(Succeed())
}

// thenActive waits until the HPA that KEDA made of a ScaledObject has a valid metric, and returns since when.
func thenActive(t *testing.T, name string) (since metav1.Time) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		found := &autoscalingv2.HorizontalPodAutoscaler{}
		key := client.ObjectKey{Namespace: kit.SampleNamespace, Name: kedaHPA + name}
		g.Expect(cluster.Client.Get(t.Context(), key, found)).To(Succeed())
		g.Expect(found.Status.Conditions).To(ContainElement(SatisfyAll(
			HaveField("Type", autoscalingv2.ScalingActive), HaveField("Status", corev1.ConditionTrue))))
		for _, condition := range found.Status.Conditions {
			if condition.Type == autoscalingv2.ScalingActive {
				since = condition.LastTransitionTime
			}
		}
	}, rollout, often).Should(Succeed())
	return since
}
