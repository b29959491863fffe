// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	selfMonitoring  = "self-monitoring"
	operatorMonitor = "ServiceMonitor metricspipeline-system/metricspipeline-operator"
	alertRule       = "PrometheusRule metricspipeline-system/metricspipeline"
	dashboard       = "ConfigMap metricspipeline-system/metricspipeline-dashboard"
	operatorPair    = "Secret metricspipeline-system/self-monitoring-tls"
	monitoringForm  = "ConfigMap metricspipeline-system/self-monitoring-last-good"
)

// TestMonitoringComesAndGoes: without prometheus-operator nothing monitors the stack, and nothing is amiss; its CRDs bring monitors,
// alerts and the dashboard without a restart, and may take them away again.
func TestMonitoringComesAndGoes(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	w.Expect(w.condition(v1alpha1.ConditionMonitoringReady)()).To(beTrue())
	w.Expect(w.condition(v1alpha1.ConditionMonitoringReady)().Message).To(ContainSubstring("prometheusrules.monitoring.coreos.com"))
	w.Expect(w.of(selfMonitoring)).To(BeEmpty())

	w.installCRDs(harness.PrometheusRuleCRD())
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(alertRule, dashboard, monitoringForm))
	w.installCRDs(harness.PrometheusCRD(), harness.ServiceMonitorCRD())
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorMonitor, alertRule, dashboard, monitoringForm, operatorPair))
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(
		HaveField("Message", "The stack is monitored. In place: ServiceMonitor metricspipeline-operator, PrometheusRule metricspipeline, "+
			"ConfigMap metricspipeline-dashboard."))

	// The labels by which the Prometheus selects come with it.
	w.prometheus("monitoring", "k8s", map[string]string{"release": "stack"})
	w.Eventually(w.monitors).Should(HaveKeyWithValue("metricspipeline-operator", HaveKeyWithValue("release", "stack")))
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(
		beFalse(v1alpha1.ReasonNotSelected, "Prometheus monitoring/k8s", "ruleSelector is not set"))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(beTrue(), "the metrics APIs do without")

	// A deleted one comes back, as everything else.
	w.Expect(w.Client.Delete(t.Context(), w.alerts())).To(Succeed())
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ContainElement(alertRule))

	w.Expect(w.RemoveCRD(t.Context(), harness.PrometheusRuleCRD())).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(SatisfyAll(
		beFalse(v1alpha1.ReasonNotSelected, "serviceMonitorNamespaceSelector"), HaveField("Message", Not(ContainSubstring("PrometheusRule")))))
	w.Expect(w.of(selfMonitoring)).To(ConsistOf(operatorMonitor, dashboard, monitoringForm, operatorPair))
	w.Expect(w.InstallCRD(t.Context(), harness.PrometheusRuleCRD())).To(Succeed())
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ContainElement(alertRule))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(beTrue())
}

// alerts is the PrometheusRule, by its name.
func (w *world) alerts() *monitoringv1.PrometheusRule {
	return &monitoringv1.PrometheusRule{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "metricspipeline"}}
}

// TestMonitoringDisabled: each part can be turned off, and what is turned off is deleted.
func TestMonitoringDisabled(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.MonitoringCRDs()...)
	w.apply(`monitoring: {labels: {release: stack}}`)
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorMonitor, alertRule, dashboard, monitoringForm, operatorPair))
	w.Eventually(w.monitors).Should(HaveKeyWithValue(metricsServer, HaveKeyWithValue("release", "stack")))
	shown := &corev1.ConfigMap{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace("metricspipeline-dashboard"), shown)).To(Succeed())
	w.Expect(shown.Labels).To(SatisfyAll(HaveKeyWithValue("grafana_dashboard", "1"), HaveKeyWithValue("release", "stack")))

	w.apply(`monitoring: {monitors: Disabled}`)
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(alertRule, dashboard, monitoringForm))
	w.Eventually(w.monitors).Should(BeEmpty(), "those of the components are gone as well")
	w.apply(`monitoring: {alerts: Disabled, dashboard: Disabled}`)
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorMonitor, monitoringForm, operatorPair))
	w.apply(`monitoring: {monitors: Disabled, alerts: Disabled, dashboard: Disabled}`)
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(BeEmpty())
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(
		HaveField("Message", ContainSubstring("spec.monitoring.alerts is Disabled.")))
}

// TestForeignAlerts: a PrometheusRule of the name that is not ours is left alone, and nothing else waits for it.
func TestForeignAlerts(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.installCRDs(harness.MonitoringCRDs()...)
	theirs := w.alerts()
	theirs.Spec.Groups = []monitoringv1.RuleGroup{{Name: "theirs"}}
	w.Expect(w.Client.Create(t.Context(), theirs, client.FieldOwner("by-hand"))).To(Succeed())
	t.Cleanup(func() { w.Expect(client.IgnoreNotFound(w.Client.Delete(cleanupContext(t), theirs))).To(Succeed()) })

	w.apply(`scrape: {targets: []}`)
	w.run(metricsServer, w.backend(metricsServer))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(
		beFalse(v1alpha1.ReasonNameTaken, alertRule, "by-hand", "delete it"))
	w.Expect(w.condition(v1alpha1.ConditionStalled)()).To(beFalse(v1alpha1.ReasonNotStalled))
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorMonitor, dashboard, operatorPair))
	found := w.alerts()
	w.Expect(w.Client.Get(t.Context(), client.ObjectKeyFromObject(found), found)).To(Succeed())
	w.Expect(found.Spec).To(Equal(theirs.Spec))
	w.Expect(found.OwnerReferences).To(BeEmpty())

	// It is tried again within a minute, and at once when the spec changes.
	w.Expect(w.Client.Delete(t.Context(), theirs)).To(Succeed())
	w.apply(`{scrape: {targets: []}, monitoring: {labels: {team: web}}}`)
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorMonitor, alertRule, dashboard, monitoringForm, operatorPair))
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(beTrue())
}
