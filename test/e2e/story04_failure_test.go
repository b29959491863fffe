// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestUnreachablePrometheusIsTold names a Service as Prometheus that nothing is behind. The metrics that work stay.
func TestUnreachablePrometheusIsTold(t *testing.T) {
	g := story(t)
	pipeline := givenRules(t)
	silent := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: kit.SampleNamespace, Name: "silent"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app.kubernetes.io/name": "nothing"},
			Ports:    []corev1.ServicePort{{Name: "web", Port: 9090}},
		},
	}
	g.Expect(cluster.Apply(t.Context(), silent)).To(Succeed())
	thenServed(t, podMetric("v1beta2", requestRate), rollout)
	polled := startPolling(t, podMetric("v1beta2", requestRate))
	before := settledPods(t, "prometheus-adapter")

	pipeline.Spec.Prometheus.URL = fmt.Sprintf("http://%s.%s.svc:9090", silent.Name, silent.Namespace)
	whenApplied(t, pipeline)
	condition := thenCondition(t, soon, v1alpha1.ConditionPrometheusReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable)
	g.Expect(condition.Message).To(ContainSubstring(pipeline.Spec.Prometheus.URL))
	thenCondition(t, soon, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable)
	// kubectl top does not need Prometheus, and the adapter keeps querying the one that it knows.
	thenServed(t, "/apis/metrics.k8s.io/v1beta1/nodes", soon)
	polled.goOn(t, 50)
	g.Expect(podNames(t, g, "prometheus-adapter")).To(ConsistOf(before))

	pipeline.Spec.Prometheus.URL = ""
	whenApplied(t, pipeline)
	thenCondition(t, soon, v1alpha1.ConditionPrometheusReady, metav1.ConditionTrue, v1alpha1.ReasonReachable)
	thenReady(t, rollout)
	polled.goOn(t, 20)
	polled.thenNoneFailed(t)
}

// TestKilledBackendIsTold gives metrics-server an image that does not exist, first beside the pods that run, then with those
// killed.
func TestKilledBackendIsTold(t *testing.T) {
	g := story(t)
	const backend = "metrics-server"
	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)

	pipeline.Spec.MetricsServer.Image = "registry.invalid/metrics-server:none"
	whenApplied(t, pipeline)
	condition := thenCondition(t, rollout, v1alpha1.ConditionComponentsReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadStuck)
	g.Expect(condition.Message).To(ContainSubstring(backend))
	g.Eventually(func(g Gomega) {
		state := kit.Component(thePipeline(t, g), backend)
		g.Expect(state).NotTo(BeNil())
		g.Expect(state.Message).To(ContainSubstring("image registry.invalid/metrics-server:none cannot be pulled"))
	}, rollout, often).Should(Succeed())
	thenCondition(t, soon, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonWorkloadStuck)
	// The pod that runs keeps serving until the new one could take over.
	thenServed(t, "/apis/metrics.k8s.io/v1beta1/nodes", soon)
	g.Expect(kit.APIService(thePipeline(t, g), kit.ResourceMetricsAPI)).To(HaveField("Available", metav1.ConditionTrue))

	labels := deployment(t, g, backend).Spec.Selector.MatchLabels
	g.Expect(cluster.Client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(kit.OperatorNamespace),
		client.MatchingLabels(labels), client.GracePeriodSeconds(0))).To(Succeed())
	// The status gives what kube-aggregator gives, word for word.
	g.Eventually(func(g Gomega) {
		state := kit.APIService(thePipeline(t, g), kit.ResourceMetricsAPI)
		g.Expect(state).NotTo(BeNil())
		g.Expect(state.Available).To(Equal(metav1.ConditionFalse))
		actual := available(apiService(t, g, kit.ResourceMetricsAPI))
		g.Expect(state.Reason).To(Equal(actual.Reason))
		g.Expect(state.Message).To(Equal(actual.Message))
	}, soon, often).Should(Succeed())
	condition = thenCondition(t, soon, v1alpha1.ConditionAPIServicesAvailable, metav1.ConditionFalse,
		available(apiService(t, g, kit.ResourceMetricsAPI)).Reason)
	g.Expect(condition.Message).To(ContainSubstring(kit.ResourceMetricsAPI))
	g.Expect(kit.IsReady(thePipeline(t, g))).To(BeFalse())

	pipeline.Spec.MetricsServer.Image = ""
	whenApplied(t, pipeline)
	thenReady(t, rollout)
	thenServed(t, "/apis/metrics.k8s.io/v1beta1/nodes", soon)
}

// available is the Available condition of an APIService; empty when there is none yet.
func available(api *apiregv1.APIService) apiregv1.APIServiceCondition {
	for _, condition := range api.Status.Conditions {
		if condition.Type == apiregv1.Available {
			return condition
		}
	}
	return apiregv1.APIServiceCondition{}
}
