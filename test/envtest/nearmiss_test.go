// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

var requestsScrape = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}

func workloadMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "almost", Name: name, Annotations: requestsScrape}
}

func workloadTemplate(app string, annotations map[string]string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	set := map[string]string{"app": app}
	return &metav1.LabelSelector{MatchLabels: set}, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set, Annotations: annotations},
		Spec: corev1.PodSpec{AutomountServiceAccountToken: ptr.To(false), Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
}

// TestNearMisses: the annotation of a template on its Deployment, and a misspelled one on a Service, get an Event that says where they
// belong, and a place in the status until they are there. What is scraped all the same gets none.
func TestNearMisses(t *testing.T) {
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Looks: time.Second, Counts: time.Second / 10, Reports: time.Second / 10}}})
	w.installCRDs(harness.MonitoringCRDs()...)
	w.namespace("almost")
	web := &appsv1.Deployment{ObjectMeta: workloadMeta("web"), Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(0))}}
	web.Spec.Selector, web.Spec.Template = workloadTemplate("web", nil)
	both := &appsv1.StatefulSet{ObjectMeta: workloadMeta("both")}
	both.Spec.Selector, both.Spec.Template = workloadTemplate("both", requestsScrape)
	agent := &appsv1.DaemonSet{ObjectMeta: workloadMeta("agent")}
	agent.Spec.Selector, agent.Spec.Template = workloadTemplate("agent", nil)
	scraped, misspelled := tenantService("almost", "agent", nil), tenantService("almost", "misspelled", nil)
	misspelled.Annotations = map[string]string{"prometheus.io.scrape": "true"}
	w.make(web, both, agent, scraped, misspelled)
	w.selectsAll()
	w.apply(`{}`)

	w.Eventually(w.scrape).Should(SatisfyAll(HaveField("Services", int32(1)), HaveField("RejectedTotal", BeZero()),
		HaveField("NearMissesTotal", int32(2)), HaveField("NearMisses", ConsistOf(
			SatisfyAll(HaveField("Kind", "Deployment"), HaveField("Namespace", "almost"), HaveField("Name", "web"),
				HaveField("Reason", ContainSubstring("spec.template.metadata.annotations"))),
			SatisfyAll(HaveField("Kind", "Service"), HaveField("Name", "misspelled"),
				HaveField("Reason", ContainSubstring(`write prometheus.io/scrape: "true"`)))))))
	w.Eventually(func() []string { return w.eventsAbout(web) }).Should(ConsistOf(
		ContainSubstring("move it and the others of prometheus.io/ to spec.template.metadata.annotations")))
	w.Eventually(func() []string { return w.eventsIn("almost") }).Should(ConsistOf(
		"ScrapeNearMiss Deployment/web", "ScrapeNearMiss Service/misspelled"))
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(beTrue())

	moved := `{"metadata": {"annotations": null}, "spec": {"template": {"metadata": {"annotations": {"prometheus.io/scrape": "true"}}}}}`
	w.Expect(w.Client.Patch(t.Context(), web, client.RawPatch(types.MergePatchType, []byte(moved)))).To(Succeed())
	renamed := `{"metadata": {"annotations": {"prometheus.io.scrape": null, "prometheus.io/scrape": "true"}}}`
	w.Expect(w.Client.Patch(t.Context(), misspelled, client.RawPatch(types.MergePatchType, []byte(renamed)))).To(Succeed())
	w.Eventually(w.scrape).Should(SatisfyAll(HaveField("Services", int32(2)), HaveField("NearMissesTotal", BeZero()), HaveField("NearMisses", BeEmpty())))

	w.Expect(w.Client.Delete(t.Context(), scraped)).To(Succeed())
	w.Eventually(w.scrape).Should(HaveField("NearMisses", ConsistOf(SatisfyAll(HaveField("Kind", "DaemonSet"), HaveField("Name", "agent")))))
	w.Eventually(func() []string { return w.eventsAbout(agent) }).Should(HaveLen(1))
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	off := client.RawPatch(types.MergePatchType, []byte(`{"spec": {"scrape": {"targets": []}}}`)) // An apply leaves what was defaulted.
	w.Expect(w.Client.Patch(t.Context(), pipeline, off)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(HaveField("Reason", v1alpha1.ReasonScrapeOff))
	w.Expect(w.scrape().NearMissesTotal).To(BeZero())
	w.Expect(w.eventsIn("almost")).To(HaveLen(3))
}
