// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// hurried are the conditions of an operator that says within a second that an HPA fails.
var hurried = harness.Conditions{Options: controller.Options{Timing: controller.Timing{
	Patience: time.Second / 2, Counts: time.Second / 10, Reports: time.Second / 10}}}

// TestAutoscalers: an HPA whose pods request no cpu, and one whose metrics API is disabled, are explained in the status and by an Event on
// each, and turn right. Only the cause that an administrator removes is in the condition. One that works costs nothing, and a restart
// says nothing again.
func TestAutoscalers(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := beginOn(t, cluster, hurried)
	w.namespace("scaled")
	w.ready()
	w.apply(`externalMetrics: {policy: Disabled}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	web, api := w.scaled("web"), w.scaled("api")
	cpu, queue := scaledBy("cpu", web, autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{
			Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(80))}}}),
		scaledBy("queue", api, autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "queue_length"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: resource.NewQuantity(10, resource.DecimalSI)}}})
	w.make(cpu, queue)
	w.looksAt(cpu, "")
	w.looksAt(queue, "")
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 2, Working: 2}))
	w.Expect(w.condition(v1alpha1.ConditionAutoscalersServed)()).To(beTrue())

	w.looksAt(cpu, "failed to get cpu utilization: missing request for cpu in container app of Pod web-1")
	w.Eventually(w.autoscalers).Should(SatisfyAll(HaveField("Working", int32(1)), HaveField("Failing", ConsistOf(SatisfyAll(
		HaveField("Namespace", "scaled"), HaveField("Name", "cpu"), HaveField("Metric", "Resource cpu"),
		HaveField("Reason", v1alpha1.AutoscalerRequestsMissing), haveMessage("web-1", "app"))))))
	w.Eventually(func() []string { return w.eventsAbout(cpu) }).Should(ConsistOf(
		SatisfyAll(HavePrefix(v1alpha1.AutoscalerRequestsMissing+": Resource cpu: "), ContainSubstring("web-1"))))
	w.Expect(w.condition(v1alpha1.ConditionAutoscalersServed)()).To(SatisfyAll(beTrue(), haveMessage("1 of 2")))
	w.Eventually(func() map[string]float64 { return failingByReason(w) }).Should(Equal(map[string]float64{v1alpha1.AutoscalerRequestsMissing: 1}))

	w.looksAt(queue, "unable to get external metric scaled/queue_length: no metrics returned from external metrics API")
	w.Eventually(w.autoscalers).Should(HaveField("Failing", ContainElement(SatisfyAll(HaveField("Name", "queue"),
		HaveField("Reason", v1alpha1.AutoscalerAPIDisabled)))))
	w.Eventually(w.condition(v1alpha1.ConditionAutoscalersServed)).Should(
		beFalse(v1alpha1.ReasonUnserved, "1 of 2", "HorizontalPodAutoscaler scaled/queue: "))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(beTrue())
	w.Eventually(func() []string { return w.eventsAbout(queue) }).Should(ConsistOf(ContainSubstring("External queue_length: ")))
	w.rest()
	w.explainsByCommandLine()

	before, said := w.status(), w.eventsIn("scaled")
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.Start(logTo(t), hurried)).To(Succeed())
	w.Eventually(func() map[string]float64 { return failingByReason(w) }).Should(HaveLen(2))
	w.rest()
	w.Expect(w.status()).To(Equal(before))
	w.Expect(w.eventsIn("scaled")).To(ConsistOf(said), "said again after a restart")

	w.looksAt(cpu, "")
	w.looksAt(queue, "")
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 2, Working: 2}))
	w.Eventually(w.condition(v1alpha1.ConditionAutoscalersServed)).Should(beTrue())
	w.Eventually(func() []string { return w.eventsIn("scaled") }).Should(ConsistOf(append(said,
		"Works HorizontalPodAutoscaler/cpu", "Works HorizontalPodAutoscaler/queue")))
	w.rest()
	w.Operator.Requests.Take()
	reconciles := w.Operator.Reconciles()
	for replicas := range int32(3) {
		cpu.Status.DesiredReplicas = replicas
		w.looksAt(cpu, "")
	}
	w.rest()
	w.Expect(w.Operator.Requests.Take()).To(BeEmpty())
	w.Expect(w.Operator.Reconciles()).To(Equal(reconciles))
}

// scaled makes a Deployment with a pod that is ready.
func (w *world) scaled(name string) *appsv1.Deployment {
	w.t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "scaled", Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(1))}}
	deployment.Spec.Selector, deployment.Spec.Template = workloadTemplate(name, nil)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "scaled", Name: name + "-1", Labels: deployment.Spec.Template.Labels},
		Spec: deployment.Spec.Template.Spec}
	w.make(deployment, pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	w.Expect(w.Client.Status().Update(w.t.Context(), pod)).To(Succeed())
	return deployment
}

// scaledBy is an HPA of a Deployment by one metric.
func scaledBy(name string, target *appsv1.Deployment, metric autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: target.Namespace, Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 10, Metrics: []autoscalingv2.MetricSpec{metric},
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target.Name}}}
}

// looksAt writes an HPA's status as the HPA controller does, with the message of a metric that has no value; empty where it has one.
func (w *world) looksAt(hpa *autoscalingv2.HorizontalPodAutoscaler, problem string) {
	w.t.Helper()
	if problem == "" {
		w.looksAs(hpa, corev1.ConditionTrue, "ValidMetricFound", "")
	} else {
		w.looksAs(hpa, corev1.ConditionFalse, "FailedGet"+string(hpa.Spec.Metrics[0].Type)+"Metric", problem)
	}
}

// looksAs writes an HPA's status with the condition ScalingActive. Without it the metric has no value.
func (w *world) looksAs(hpa *autoscalingv2.HorizontalPodAutoscaler, active corev1.ConditionStatus, reason, message string) {
	w.t.Helper()
	latest := hpa.DeepCopy()
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKeyFromObject(hpa), latest)).To(Succeed())
	current := autoscalingv2.MetricStatus{}
	if active == corev1.ConditionTrue {
		current.Type = hpa.Spec.Metrics[0].Type
	}
	latest.Status = autoscalingv2.HorizontalPodAutoscalerStatus{DesiredReplicas: hpa.Status.DesiredReplicas,
		CurrentMetrics: []autoscalingv2.MetricStatus{current},
		Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
			{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "SucceededGetScale"},
			{Type: autoscalingv2.ScalingActive, Status: active, Reason: reason, Message: message}}}
	w.Expect(w.Client.Status().Update(w.t.Context(), latest)).To(Succeed())
}

// autoscalers is what the status says of HPAs.
func (w *world) autoscalers() v1alpha1.AutoscalersStatus {
	w.t.Helper()
	return ptr.Deref(w.status().Autoscalers, v1alpha1.AutoscalersStatus{})
}

// failingByReason is the metric of HPAs that fail.
func failingByReason(w *world) map[string]float64 {
	w.t.Helper()
	families, err := metrics.Registry.Gather()
	w.Expect(err).NotTo(HaveOccurred())
	failing := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "metricspipeline_autoscaler_failing" {
			continue
		}
		for _, metric := range family.GetMetric() {
			failing[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
		}
	}
	return failing
}
