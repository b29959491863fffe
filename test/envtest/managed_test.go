// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const managedPrometheus = "managed-prometheus"

// managed is what the Prometheus of the operator consists of in both forms, and plain what the Deployment takes beside that.
var (
	managed = []string{
		"ClusterRole metricspipeline:managed-prometheus",
		"ClusterRoleBinding metricspipeline:managed-prometheus",
		"ConfigMap metricspipeline-system/managed-prometheus-last-good",
		"NetworkPolicy metricspipeline-system/managed-prometheus",
		"Secret metricspipeline-system/managed-prometheus-access",
		"Secret metricspipeline-system/managed-prometheus-tls",
		"Service metricspipeline-system/managed-prometheus",
		"ServiceAccount metricspipeline-system/managed-prometheus",
	}
	plain = append([]string{
		"ConfigMap metricspipeline-system/managed-prometheus",
		"Deployment metricspipeline-system/managed-prometheus",
	}, managed...)
)

// TestManaged: without any Prometheus the status names the field. With it a Deployment comes with a token that stays, is replaced where its
// Secret is deleted, and is known to the adapter. It stays while rules need it and nothing else is named, and goes without them. A
// prometheus-operator that comes later does not change what runs; where it is there first, an object comes instead.
func TestManaged(t *testing.T) {
	w := begin(t)
	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonPrometheusNotFound, "set spec.prometheus.managed: {}"))

	w.apply("prometheus: {managed: {}}\n" + customRules)
	w.Eventually(func() []string { return w.of(managedPrometheus) }).Should(ConsistOf(plain))
	w.Eventually(w.source).Should(Equal(&v1alpha1.PrometheusStatus{
		URL: "https://managed-prometheus.metricspipeline-system.svc:9090", Origin: "spec.prometheus.managed", Version: "v3.5.1"}))
	// There is no DNS here, so it has no chance to answer.
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonUnreachable, "the condition ComponentsReady"))
	w.Expect(w.condition(v1alpha1.ConditionStalled)()).NotTo(beTrue())

	w.token(t)
	w.keepsManaged(t)
	w.hasCertificateToBeScraped()

	w.installCRDs(harness.PrometheusCRD())
	w.rest()
	w.Expect(w.of(managedPrometheus)).To(ConsistOf(plain), "what runs stays in its form")
	w.apply("prometheus: {managed: {}}\n")
	w.rest() // A reconcile that has seen the Deployment would make it again.
	w.Expect(w.Client.Delete(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: harness.OperatorNamespace, Name: managedPrometheus}})).To(Succeed())
	object := append([]string{"Prometheus metricspipeline-system/metricspipeline"}, managed...)
	w.Eventually(func() []string { return w.of(managedPrometheus) }).Should(ConsistOf(object))
	made := &monitoringv1.Prometheus{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace("metricspipeline"), made)).To(Succeed())
	w.Expect(made.Spec.ServiceMonitorSelector.MatchLabels).To(HaveKeyWithValue(v1alpha1.ManagedLabel, v1alpha1.SingletonName))
	w.Expect(made.Spec.Web.TLSConfig.Cert.Secret.Name).To(Equal("managed-prometheus-tls"))
	service := &corev1.Service{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(managedPrometheus), service)).To(Succeed())
	w.Expect(service.Spec.Selector).To(HaveLen(1), "prometheus-operator gives the pods the other labels")
	for key, value := range service.Spec.Selector {
		w.Expect(made.Spec.PodMetadata.Labels).To(HaveKeyWithValue(key, value))
	}
	w.Expect(service.Spec.Ports).To(ConsistOf(SatisfyAll(HaveField("Port", BeEquivalentTo(9090)), HaveField("TargetPort.StrVal", "web"))))
	w.Eventually(w.source).Should(Equal(&v1alpha1.PrometheusStatus{
		URL: "https://prometheus-operated.metricspipeline-system.svc:9090", Origin: "spec.prometheus.managed", Version: "v3.5.1"}))

	w.apply(`{}`)
	w.Eventually(func() []string { return w.of(managedPrometheus) }).Should(BeEmpty())
}

// token: it is made once, also across a restart of the operator, and anew where its Secret is deleted.
func (w *world) token(t *testing.T) {
	t.Helper()
	stored := func() map[string][]byte {
		secret := &corev1.Secret{}
		if err := w.Client.Get(t.Context(), inOperatorNamespace("managed-prometheus-access"), secret); err != nil {
			return nil
		}
		return secret.Data
	}
	w.Eventually(stored).Should(SatisfyAll(HaveKey("password"), HaveKeyWithValue("ca.crt", ContainSubstring("BEGIN CERTIFICATE"))))
	first := stored()
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
	w.Eventually(w.Operator.Reconciles).Should(BeNumerically(">", 0))
	w.rest()
	w.Expect(stored()).To(Equal(first))

	w.Expect(w.Client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: harness.OperatorNamespace, Name: "managed-prometheus-access"}})).To(Succeed())
	w.Eventually(stored).Should(SatisfyAll(HaveKey("password"), Not(HaveKeyWithValue("password", first["password"]))))
	w.Expect(string(stored()["web.yaml"])).To(ContainSubstring(string(stored()["password-hash"])))
	w.Eventually(func() map[string][]byte {
		secret := &corev1.Secret{}
		_ = w.Client.Get(t.Context(), inOperatorNamespace("prometheus-adapter-access"), secret)
		return secret.Data
	}).ShouldNot(BeEmpty())
}

// keepsManaged: taken out of the spec, it stays as long as a rule queries it and no other is named.
func (w *world) keepsManaged(t *testing.T) {
	t.Helper()
	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonManagedRemoved, "spec.prometheus.managed was removed", "spec.prometheus.url", "Disabled"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.rest()
	w.Expect(w.of(managedPrometheus)).To(ConsistOf(plain))
	w.Expect(meta.FindStatusCondition(w.status().Conditions, v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonManagedRemoved))

	w.apply("customMetrics: {policy: Disabled}\n")
	w.Eventually(func() []string { return w.of(managedPrometheus) }).Should(BeEmpty())

	w.apply("prometheus: {managed: {}}\n")
	w.Eventually(func() []string { return w.of(managedPrometheus) }).Should(ConsistOf(plain))
}

// hasCertificateToBeScraped: the operator's metrics endpoint has a certificate although no object monitors it, and what the spec had made
// before is gone.
func (w *world) hasCertificateToBeScraped() {
	w.apply("prometheus: {managed: {}}\nmonitoring: {dashboard: Enabled}\n")
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(dashboard, operatorPair, monitoringForm))
	w.apply("prometheus: {managed: {}}\n")
	w.Eventually(func() []string { return w.of(selfMonitoring) }).Should(ConsistOf(operatorPair, monitoringForm))
	w.Eventually(w.condition(v1alpha1.ConditionMonitoringReady)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonInPlace,
		"The Prometheus that the operator runs scrapes the operator and its components."))
}
