// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	seriesBackend = "prometheus-adapter"
	samplePods    = "/apis/metrics.k8s.io/v1beta1/namespaces/" + kit.SampleNamespace + "/pods"
)

// TestResourceMetricsFromPrometheus: kubectl top works from the series of cAdvisor, and a client that reads the API all the time notices
// neither the switch to prometheus-adapter nor the one back.
func TestResourceMetricsFromPrometheus(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	thenServed(t, nodeMetrics, rollout)
	thenServed(t, samplePods, rollout)
	poller := startPolling(t, nodeMetrics, samplePods)

	// Without the series nothing changes, and the status says what is missing.
	pipeline.Spec.ResourceMetrics.Backend = v1alpha1.BackendPrometheusAdapter
	whenApplied(t, pipeline)
	missing := thenCondition(t, soon, v1alpha1.ConditionPrometheusReady, metav1.ConditionFalse, v1alpha1.ReasonResourceSeriesMissing)
	g.Expect(missing.Message).To(ContainSubstring("/metrics/cadvisor"))
	g.Expect(kit.APIService(thePipeline(t, g), kit.ResourceMetricsAPI)).To(HaveField("Backend", resourceBackend))

	givenKubeletsScraped(t)
	scraped := time.Now()
	thenBackend(t, seriesBackend)
	thenReady(t, rollout)
	t.Logf("switched %.1f s after the monitor of the kubelets", time.Since(scraped).Seconds())
	poller.goOn(t, 50)
	thenNoDeployment(t, resourceBackend)
	ctx := within(t, rollout)
	out, err := cluster.Kubectl(ctx, "top", "node", "--no-headers")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(MatchRegexp(`(?m)^\S+ +[1-9]\d*m +\d+% +[1-9]\d*Mi +\d+% *$`))
	out, err = cluster.Kubectl(ctx, "top", "pod", "--containers", "--no-headers", "-n", kit.SampleNamespace)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(MatchRegexp(`(?m)^pods-\S+ +app +\d+m +[1-9]\d*Mi *$`))

	// The adapter serves another endpoint for its own metrics then.
	thenTheirMetricsAreScraped(t, seriesBackend, 2)

	pipeline.Spec.ResourceMetrics.Backend = v1alpha1.BackendMetricsServer
	whenApplied(t, pipeline)
	thenBackend(t, resourceBackend)
	thenReady(t, rollout)
	poller.goOn(t, 50)
	thenNoDeployment(t, seriesBackend)
	poller.goOn(t, 20)
	poller.thenNoneFailed(t)
}

// givenKubeletsScraped has Prometheus scrape cAdvisor in the kubelets, as kube-prometheus does, until the end of the test.
func givenKubeletsScraped(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	nodes := &corev1.NodeList{}
	g.Expect(cluster.Client.List(t.Context(), nodes)).To(Succeed())
	object := metav1.ObjectMeta{Namespace: kit.SampleNamespace, Name: "kubelet",
		Labels: map[string]string{"app.kubernetes.io/name": "kubelet", "prometheus": "k8s"}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: *object.DeepCopy(), AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https-metrics"), Port: ptr.To[int32](10250), Protocol: ptr.To(corev1.ProtocolTCP)}}}
	slice.Labels[discoveryv1.LabelServiceName], slice.Labels[discoveryv1.LabelManagedBy] = object.Name, "e2e"
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address.Address},
					TargetRef: &corev1.ObjectReference{Kind: "Node", Name: node.Name}})
			}
		}
	}
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	endpoint := monitoringv1.Endpoint{Port: "https-metrics", Path: "/metrics/cadvisor", Scheme: ptr.To(monitoringv1.Scheme("https")),
		HonorLabels: true, HonorTimestamps: ptr.To(false)}
	endpoint.TLSConfig = &monitoringv1.TLSConfig{TLSFilesConfig: monitoringv1.TLSFilesConfig{CAFile: account + "ca.crt"}}
	endpoint.BearerTokenFile = account + "token" //nolint:staticcheck // the token of Prometheus' own pod, as kube-prometheus has it
	objects := []client.Object{
		&corev1.Service{ObjectMeta: *object.DeepCopy(), Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone,
			Ports: []corev1.ServicePort{{Name: "https-metrics", Port: 10250}}}},
		slice,
		&monitoringv1.ServiceMonitor{ObjectMeta: *object.DeepCopy(), Spec: monitoringv1.ServiceMonitorSpec{
			Selector:  metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "kubelet"}},
			Endpoints: []monitoringv1.Endpoint{endpoint}}},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Delete(ctx, objects...)).To(Succeed())
	})
	g.Expect(cluster.Apply(within(t, soon), objects...)).To(Succeed())
}

// thenBackend waits until the resource metrics API leads to a component and is available.
func thenBackend(t *testing.T, name string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		api := apiService(t, g, kit.ResourceMetricsAPI)
		g.Expect(api.Spec.Service).To(SatisfyAll(HaveField("Name", name), HaveField("Namespace", kit.OperatorNamespace)))
		condition := available(api)
		g.Expect(string(condition.Status)).To(Equal(string(metav1.ConditionTrue)), "%s: %s", condition.Reason, condition.Message)
	}, scrape, often).Should(Succeed())
}

// thenNoDeployment waits until the operator runs no component of a name.
func thenNoDeployment(t *testing.T, name string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: name}
		err := cluster.Client.Get(t.Context(), key, &appsv1.Deployment{})
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "Deployment %s: %v", name, err)
	}, soon, often).Should(Succeed())
}
