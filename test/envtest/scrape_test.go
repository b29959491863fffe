// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"maps"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestForeignMonitor: a foreign monitor that has our name stays as it is and is reported, and once it is
// gone ours comes.
func TestForeignMonitor(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.PrometheusCRD(), harness.ServiceMonitorCRD(), harness.PodMonitorCRD())
	const namespace, name = "default", "metricspipeline-annotated"
	theirs := &monitoringv1.ServiceMonitor{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{Port: "web"}}},
	}
	w.Expect(w.Client.Create(t.Context(), theirs, client.FieldOwner("helm"))).To(Succeed())
	w.app("shop", nil)
	w.selectsAll()
	w.apply(`{}`)

	w.Eventually(func() []v1alpha1.NotScrapedNamespace { return w.scrape().NotScraped }).Should(ConsistOf(
		SatisfyAll(HaveField("Reason", v1alpha1.ReasonNameTaken), haveMessage("ServiceMonitor default/"+name, `"helm"`, "is left alone"))))
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(beTrue())
	found := &monitoringv1.ServiceMonitor{}
	w.Expect(w.Client.Get(t.Context(), client.ObjectKeyFromObject(theirs), found)).To(Succeed())
	w.Expect(found.Spec).To(Equal(theirs.Spec))
	w.Expect(found.Labels).To(BeEmpty())
	w.Expect(found.OwnerReferences).To(BeEmpty())

	w.Expect(w.Client.Delete(t.Context(), found)).To(Succeed())
	w.Eventually(func() string {
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(theirs), found); err != nil {
			return err.Error()
		}
		return found.Labels[v1alpha1.ManagedLabel]
	}).Should(Equal(v1alpha1.SingletonName))
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(beTrue())
}

// app makes a Service that wants to be scraped, in the namespace default, until the end of the story.
func (w *world) app(name string, further map[string]string) *corev1.Service {
	w.t.Helper()
	app := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{"prometheus.io/scrape": "true"}},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "web", Port: 80}}},
	}
	maps.Copy(app.Annotations, further)
	w.Expect(w.Client.Create(w.t.Context(), app)).To(Succeed())
	w.t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(w.t), app)).To(Succeed()) })
	return app
}
