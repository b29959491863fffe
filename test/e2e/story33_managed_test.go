// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestManagedObject: beside a Prometheus of another team's the operator has one of its own run by prometheus-operator, which takes the
// operator's monitors and serves the rules over verified TLS; a drain leaves one of its two pods; nobody but the operator and its components
// reaches it; and it goes when the other is to be used again. A cluster without
// prometheus-operator is another suite's, see test/e2e/bare.
func TestManagedObject(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.Prometheus = v1alpha1.PrometheusSpec{Managed: &v1alpha1.ManagedPrometheusSpec{
		ScrapeInterval: "5s", Replicas: ptr.To[int32](2)}}
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		g.Expect(thePipeline(t, g).Status.Prometheus).To(HaveValue(SatisfyAll(HaveField("Origin", "spec.prometheus.managed"),
			HaveField("URL", "https://prometheus-operated."+kit.OperatorNamespace+".svc:9090"))))
	}, soon, often).Should(Succeed())
	thenReady(t, scrape)
	g.Eventually(func(g Gomega) {
		content, err := cluster.Get(t.Context(),
			"/apis/custom.metrics.k8s.io/v1beta2/namespaces/"+kit.SampleNamespace+"/pods/*/http_requests_per_second")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(content)).To(ContainSubstring(`"name":"pods-`))
	}, scrape, often).Should(Succeed())
	g.Eventually(func(g Gomega) {
		budget := &policyv1.PodDisruptionBudget{}
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "managed-prometheus"}
		g.Expect(cluster.Client.Get(t.Context(), key, budget)).To(Succeed())
		g.Expect(budget.Status).To(SatisfyAll(HaveField("CurrentHealthy", BeEquivalentTo(2)), HaveField("DisruptionsAllowed", BeEquivalentTo(1))))
	}, scrape, often).Should(Succeed())
	thenOnlyOurs(t, g)

	givenRules(t)
	g.Eventually(func(g Gomega) {
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "metricspipeline"}
		g.Expect(cluster.Client.Get(t.Context(), key, &monitoringv1.Prometheus{})).To(MatchError(ContainSubstring("not found")))
	}, rollout, often).Should(Succeed())
}

// thenOnlyOurs: the port of the managed Prometheus is open to the operator and to the adapter, and closed to an app.
func thenOnlyOurs(t *testing.T, g *WithT) {
	t.Helper()
	needTestCluster(t)
	podOf := func(namespace, label, value string) *corev1.Pod {
		list := &corev1.PodList{}
		g.Expect(cluster.Client.List(t.Context(), list, client.InNamespace(namespace), client.MatchingLabels{label: value})).To(Succeed())
		at := slices.IndexFunc(list.Items, func(pod corev1.Pod) bool { return kit.PodReady(&pod) && pod.DeletionTimestamp == nil })
		g.Expect(at).To(BeNumerically(">=", 0), "no pod of %s is ready", value)
		return &list.Items[at]
	}
	const name = "app.kubernetes.io/name"
	to := net.JoinHostPort(podOf(kit.OperatorNamespace, v1alpha1.ComponentLabel, "managed-prometheus").Status.PodIP, "9090")
	for _, from := range []*corev1.Pod{podOf(kit.OperatorNamespace, name, kit.OperatorName), podOf(kit.OperatorNamespace, name, adapterName)} {
		g.Expect(dial(t, kit.FromPod(from), to)).To(BeEmpty(), "from %s", from.Name)
	}
	g.Expect(dial(t, kit.FromPod(podOf(kit.SampleNamespace, name, samples[0].name)), to)).NotTo(BeEmpty(), "from an app")
}
