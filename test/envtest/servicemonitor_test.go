// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// installCRDs installs CRDs of others until the end of the story.
func (w *world) installCRDs(files ...string) {
	w.t.Helper()
	for _, file := range files {
		w.Expect(w.InstallCRD(w.t.Context(), file)).To(Succeed())
		w.t.Cleanup(func() { w.Expect(w.RemoveCRD(cleanupContext(w.t), file)).To(Succeed()) })
	}
}

// TestPrometheusOperatorComesLater: a prometheus-operator that comes after the pipeline brings the ServiceMonitors
// without a restart, with the labels that the Prometheus selects by; and may take it away again.
func TestPrometheusOperatorComesLater(t *testing.T) {
	w := begin(t)
	w.apply(customRules)
	w.Eventually(func() []string { return identities(w.managed()) }).Should(ConsistOf(everything))
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonPrometheusNotFound, "prometheuses.monitoring.coreos.com", "spec.prometheus.url"))

	w.installCRDs(harness.PrometheusCRD(), harness.ServiceMonitorCRD())
	w.Eventually(w.monitors).Should(HaveKey(metricsServer))

	w.prometheus("monitoring", "k8s", map[string]string{"release": "stack"})
	w.Eventually(w.monitors).Should(SatisfyAll(
		HaveKeyWithValue(metricsServer, HaveKeyWithValue("release", "stack")),
		HaveKeyWithValue(adapter, HaveKeyWithValue("release", "stack")),
	))
	w.Eventually(w.source).Should(HaveField("URL", "http://prometheus-operated.monitoring.svc:9090"))

	// A deleted one comes back, as everything else.
	monitor := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: metricsServer}}
	w.Expect(w.Client.Delete(t.Context(), monitor)).To(Succeed())
	w.Eventually(w.monitors).Should(HaveKey(metricsServer))

	// Without the CRDs there is no ServiceMonitor, and nothing else is amiss.
	w.Expect(w.RemoveCRD(t.Context(), harness.ServiceMonitorCRD())).To(Succeed())
	w.Expect(w.RemoveCRD(t.Context(), harness.PrometheusCRD())).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonPrometheusNotFound, "prometheuses.monitoring.coreos.com"))
	w.Expect(w.of(adapter)).NotTo(BeEmpty(), "what ran keeps running")

	// And once more.
	w.Expect(w.InstallCRD(t.Context(), harness.ServiceMonitorCRD())).To(Succeed())
	w.Eventually(w.monitors).Should(HaveKey(metricsServer))
}

// monitors returns the labels of the ServiceMonitors by name.
func (w *world) monitors() map[string]map[string]string {
	w.t.Helper()
	list := &monitoringv1.ServiceMonitorList{}
	w.Expect(w.Client.List(w.t.Context(), list, client.InNamespace(harness.OperatorNamespace))).To(Succeed())
	found := map[string]map[string]string{}
	for _, monitor := range list.Items {
		found[monitor.Name] = monitor.Labels
	}
	return found
}
