// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestBackendIsSwitched from metrics-server to prometheus-adapter and back: the present one serves until the other one does, which takes
// Prometheus to have series, and the APIService is switched by one write.
func TestBackendIsSwitched(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Handover: time.Millisecond, FirstProbe: 20 * time.Millisecond, LastProbe: 100 * time.Millisecond}}})
	prometheus := startPrometheus(t)
	prometheus.SetSparse(true)
	const fromPrometheus = "resourceMetrics: {backend: PrometheusAdapter}\n"
	w.apply(prometheusAt(prometheus.URL))
	server := w.backend(metricsServer)
	w.run(metricsServer, server)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	first := w.registration(resourceAPI)

	w.apply(prometheusAt(prometheus.URL) + fromPrometheus)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonResourceSeriesMissing,
		"spec.resourceMetrics.backend", "cpu of containers, memory of containers, cpu of nodes, memory of nodes", "/metrics/cadvisor"))
	w.Expect(w.api(resourceAPI)()).To(SatisfyAll(HaveField("Backend", metricsServer),
		beAPI(metav1.ConditionTrue, v1alpha1.ReasonWaitingForBackend, "metrics-server serves it until", "/metrics/cadvisor")))
	w.Expect(w.of(adapter)).To(BeEmpty())

	prometheus.SetSparse(false)
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionTrue, v1alpha1.ReasonWaitingForBackend,
		"metrics-server serves it until", "prometheus-adapter", "being rolled out"))
	w.Operator.Requests.Take()
	fromSeries := w.backend(adapter)
	w.run(adapter, fromSeries)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.api(resourceAPI)()).To(SatisfyAll(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed), HaveField("Backend", adapter)))
	w.Eventually(func() []string { return w.of(metricsServer) }).Should(BeEmpty())
	w.rest()
	w.Expect(registrations(w.Operator.Requests.Take())).To(ConsistOf(HavePrefix("PATCH ")))
	w.Expect(w.registration(resourceAPI).UID).To(Equal(first.UID), "it was deleted and made anew")
	w.verifiesTLS(resourceAPI)
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("APITakenOver: "), ContainSubstring("over from metrics-server"))))

	// Series that go take nothing away.
	prometheus.SetSparse(true)
	w.apply(prometheusAt(prometheus.URL) + "resourceMetrics: {backend: PrometheusAdapter, window: 3m}\n")
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonResourceSeriesMissing))
	w.Expect(w.api(resourceAPI)()).To(HaveField("Backend", adapter))
	w.run(adapter, fromSeries)

	w.Expect(server.Stop(t.Context())).To(Succeed())
	w.apply(prometheusAt(prometheus.URL))
	w.Eventually(w.api(resourceAPI)).Should(SatisfyAll(HaveField("Backend", adapter),
		beAPI(metav1.ConditionTrue, v1alpha1.ReasonWaitingForBackend, "prometheus-adapter serves it until", "metrics-server")))
	w.run(metricsServer, w.backend(metricsServer))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.api(resourceAPI)()).To(SatisfyAll(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed), HaveField("Backend", metricsServer)))
	w.Eventually(func() []string { return w.of(adapter) }).Should(BeEmpty())
	w.Expect(w.registration(resourceAPI).UID).To(Equal(first.UID), "it was deleted and made anew")
	w.verifiesTLS(resourceAPI)
}
