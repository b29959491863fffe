// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// unscrapedLabel excludes a namespace from scraping, by spec.scrape.namespaceSelector of the story.
const unscrapedLabel = "chains.metricspipeline.io/unscraped"

// chain is an app that scales, in a namespace of its own, and one way in which people break that.
type chain struct {
	// reason that the diagnosis has to give.
	reason string
	// metric that its HPA scales on when nothing is broken.
	metric autoscalingv2.MetricSpec
	// breaks changes the app.
	breaks func(*scalingApp)
}

// scalingApp is the sample application with an annotated Service and an HPA.
type scalingApp struct {
	namespace  *corev1.Namespace
	deployment *appsv1.Deployment
	service    *corev1.Service
	scaler     *autoscalingv2.HorizontalPodAutoscaler
	// more exists only while it is broken.
	more []client.Object
}

func (a *scalingApp) objects() []client.Object {
	return append([]client.Object{a.namespace, a.deployment, a.service, a.scaler}, a.more...)
}

func (a *scalingApp) container() *corev1.Container {
	return &a.deployment.Spec.Template.Spec.Containers[0]
}

// healthy is the app as it scales.
func (c chain) healthy(namespace string) *scalingApp {
	sample := kit.SampleApp("web")
	a := &scalingApp{namespace: kit.Namespace(namespace), deployment: sample[0].(*appsv1.Deployment), service: sample[1].(*corev1.Service),
		scaler: kit.SampleScaler("web", *c.metric.DeepCopy())}
	for _, object := range []client.Object{a.deployment, a.service, a.scaler} {
		object.SetNamespace(namespace)
	}
	a.container().Resources.Requests[corev1.ResourceCPU] = resource.MustParse("5m") // There are many of them on one node.
	// Named, because the API server keeps another name in its older field, also when nobody applies it any more.
	a.deployment.Spec.Template.Spec.ServiceAccountName = "default"
	return a
}

// second is another Deployment whose pods the first one's selector selects too.
func (a *scalingApp) second(name string) *appsv1.Deployment {
	second := a.deployment.DeepCopy()
	second.Name = name
	return second
}

// ofContainer is half of the cpu that a container requests.
func ofContainer(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType,
		ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: corev1.ResourceCPU, Container: name, Target: kit.CPU().Resource.Target}}
}

// metric is the name of the metric that an HPA on kit.RequestsOfPods reads.
func (a *scalingApp) metric() *string { return &a.scaler.Spec.Metrics[0].Pods.Metric.Name }

// named has the HPA read another metric of its pods.
func named(metric string) func(*scalingApp) {
	return func(a *scalingApp) { *a.metric() = metric }
}

// annotated gives the Service other annotations.
func annotated(annotations map[string]string) func(*scalingApp) {
	return func(a *scalingApp) { a.service.Annotations = annotations }
}

// chains are broken at the same time, each in its own namespace.
func chains() []chain {
	cpu, pods := kit.CPU(), kit.RequestsOfPods(20)
	return []chain{
		// The scale target.
		{v1alpha1.AutoscalerTargetMissing, cpu, func(a *scalingApp) { a.scaler.Spec.ScaleTargetRef.Name = "wbe" }},
		{v1alpha1.AutoscalerTargetKindNotServed, cpu, func(a *scalingApp) {
			a.scaler.Spec.ScaleTargetRef.Kind, a.scaler.Spec.ScaleTargetRef.APIVersion = "Rollout", "argoproj.io/v1alpha1"
		}},
		{v1alpha1.AutoscalerTargetNotScalable, cpu, func(a *scalingApp) {
			a.scaler.Spec.ScaleTargetRef.Kind = "DaemonSet"
			labels := map[string]string{"app": "agent"}
			a.more = append(a.more, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace.Name, Name: "web"},
				Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: a.deployment.Spec.Template.Spec}}})
		}},
		{v1alpha1.AutoscalerTargetShared, cpu, func(a *scalingApp) {
			second := a.scaler.DeepCopy()
			second.Name = "web-requests"
			second.Spec.Metrics = []autoscalingv2.MetricSpec{kit.RequestsOfPods(20)}
			a.more = append(a.more, second)
		}},
		// The pods.
		{v1alpha1.AutoscalerSelectorAmbiguous, cpu, func(a *scalingApp) {
			second := a.scaler.DeepCopy()
			second.Name, second.Spec.ScaleTargetRef.Name = "canary", "canary"
			a.more = append(a.more, a.second("canary"), second)
		}},
		{v1alpha1.AutoscalerSelectorTooWide, cpu, func(a *scalingApp) {
			worker := a.second("worker")
			worker.Spec.Template.Spec.Containers[0].Resources.Requests = nil
			a.more = append(a.more, worker)
		}},
		{v1alpha1.AutoscalerRequestsMissing, cpu, func(a *scalingApp) { delete(a.container().Resources.Requests, corev1.ResourceCPU) }},
		{v1alpha1.AutoscalerContainerMissing, ofContainer("app"), func(a *scalingApp) {
			a.scaler.Spec.Metrics[0].ContainerResource.Container = "application"
		}},
		{v1alpha1.AutoscalerContainerRequestMissing, ofContainer("app"), func(a *scalingApp) {
			delete(a.container().Resources.Requests, corev1.ResourceCPU)
		}},
		{v1alpha1.AutoscalerPodsMissing, cpu, func(a *scalingApp) { a.deployment.Spec.Template.Spec.ServiceAccountName = "wbe" }},
		{v1alpha1.AutoscalerPodsNotReady, cpu, func(a *scalingApp) { a.container().ReadinessProbe.HTTPGet.Port = intstr.FromInt32(7777) }},
		{v1alpha1.AutoscalerResourceNotMeasured, cpu, func(a *scalingApp) {
			a.scaler.Spec.Metrics[0].Resource.Name = corev1.ResourceEphemeralStorage
			a.scaler.Spec.Metrics[0].Resource.Target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType,
				AverageValue: ptr.To(resource.MustParse("1Gi"))}
		}},
		// The rule.
		{v1alpha1.AutoscalerRuleMissing, pods, named("http_reqeusts_per_second")},
		{v1alpha1.AutoscalerRuleRejected, pods, named("rejected_requests")},
		{v1alpha1.AutoscalerRuleWarned, pods, named("warned_requests")},
		{v1alpha1.AutoscalerDeriveCounter, pods, named("http_requests_total")},
		{v1alpha1.AutoscalerDeriveQuantile, pods, named("http_request_duration_p99")},
		{v1alpha1.AutoscalerDeriveRatio, pods, named("http_error_ratio")},
		{v1alpha1.AutoscalerDeriveJob, kit.RequestsOfService("web", 20), func(a *scalingApp) {
			object := a.scaler.Spec.Metrics[0].Object
			object.DescribedObject = autoscalingv2.CrossVersionObjectReference{APIVersion: "batch/v1", Kind: "Job", Name: "web"}
			object.Metric.Name = "queue_depth"
		}},
		// The series.
		{v1alpha1.AutoscalerSeriesMissing, pods, named("absent_per_second")},
		{v1alpha1.AutoscalerSeriesNotInNamespace, kit.QueueDepth("orders", 20), annotated(nil)},
		{v1alpha1.AutoscalerMetricSelectorMatchesNone, pods, func(a *scalingApp) {
			a.scaler.Spec.Metrics[0].Pods.Metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"code": "599"}}
		}},
		{v1alpha1.AutoscalerValueMissing, pods, named("short_requests")},
		// What is scraped.
		{v1alpha1.AutoscalerAppNotAnnotated, pods, annotated(nil)},
		{v1alpha1.AutoscalerAppRejected, pods, annotated(optIn("port", "80 80"))},
		{v1alpha1.AutoscalerScrapeDown, pods, annotated(optIn("port", "7778"))},
		{v1alpha1.AutoscalerMonitorNotSelected, pods, func(a *scalingApp) {
			a.service.Annotations = nil
			a.more = append(a.more, &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace.Name, Name: "web"},
				Spec: monitoringv1.ServiceMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: a.service.Labels},
					Endpoints: []monitoringv1.Endpoint{{Port: "http"}}}})
		}},
		{v1alpha1.AutoscalerNamespaceNotScraped, pods, func(a *scalingApp) {
			a.namespace.Labels[unscrapedLabel] = "true"
		}},
	}
}
