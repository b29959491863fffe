// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/metricsapi"
)

var now = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

// The metrics of the cases.

func utilizationOf(resource corev1.ResourceName) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: resource, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](80)},
	}}
}

func averageOf(name corev1.ResourceName, value string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: name, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse(value))},
	}}
}

func containerCPU(container string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
			Name: corev1.ResourceCPU, Container: container, Target: utilizationOf(corev1.ResourceCPU).Resource.Target,
		},
	}
}

func podsMetric(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("100"))},
	}}
}

func objectMetric(kind, object, name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: autoscalingv2.CrossVersionObjectReference{Kind: kind, Name: object},
		Metric:          autoscalingv2.MetricIdentifier{Name: name},
		Target:          autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: ptr.To(resource.MustParse("100"))},
	}}
}

func externalMetric(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("30"))},
	}}
}

// cpuAndMemory is what a container of the cases requests.
func cpuAndMemory() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
}

// healthy is the evidence of HPA shop/web of which every link works, and of which the HPA controller says that it fails by the metrics at
// the given places. What it says is all that makes it fail: a case breaks a link.
func healthy(metrics []autoscalingv2.MetricSpec, failing ...int) *Evidence {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    ptr.To[int32](2), MaxReplicas: 10, Metrics: metrics,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			CurrentReplicas: 2, DesiredReplicas: 2,
			Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
				{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "ReadyForNewScale"},
				{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue, Reason: "ValidMetricFound"},
			},
			CurrentMetrics: make([]autoscalingv2.MetricStatus, len(metrics)),
		},
	}
	evidence := &Evidence{
		Now: now, HPA: hpa, PodsTotal: 2, PodsReady: 2,
		Target: Target{Found: true, KindServed: true, Scalable: true, Replicas: 2, Selector: "app=web"},
		Pods:   []Pod{pod("web-1"), pod("web-2")},
	}
	for i, spec := range metrics {
		hpa.Status.CurrentMetrics[i] = autoscalingv2.MetricStatus{Type: spec.Type}
		evidence.Metrics = append(evidence.Metrics, workingMetric(viewOf(evidence, i, false)))
	}
	for _, i := range failing {
		hpa.Status.CurrentMetrics[i] = autoscalingv2.MetricStatus{}
	}
	return evidence
}

func pod(name string) Pod {
	return Pod{
		Name: name, Phase: corev1.PodRunning, Ready: true, Created: now.Add(-time.Hour), Owner: "Deployment web",
		Requests: map[string]corev1.ResourceList{"app": cpuAndMemory()},
	}
}

// workingMetric is the evidence of a metric all links of which work.
func workingMetric(v view) Metric {
	api := API{Group: v.group(), Policy: "Auto", Registered: true, Owner: "MetricsPipeline default", Ours: true, Available: true, Reason: "Passed"}
	if v.group() == metricsapi.Resource.Group {
		api.Backend = "metrics-server"
		return Metric{API: api, PodsWithMetrics: []string{"web-1", "web-2"}, ContainersWithMetrics: []string{"app"}}
	}
	api.Backend = "prometheus-adapter"
	return Metric{
		API: api,
		Rules: []Rule{{
			ID: "requests", Origin: "Spec", State: "InUse", SeriesQuery: `http_requests_total{namespace!="",pod!=""}`,
			Query: `sum(rate(http_requests_total{namespace="shop",pod=~"web-1|web-2"}[2m])) by (pod)`,
		}},
		Series: Series{
			Total: 8, InNamespace: 2, ForPods: 2, NamespaceLabel: "namespace", ObjectLabel: "pod", Samples: 2, Pods: []string{"web-1", "web-2"}, ForSelector: -1,
			Queries: []string{`count(http_requests_total{namespace="shop"})`},
		},
		Scrape: Scrape{Known: true, Up: 2, Monitors: []string{"ServiceMonitor metricspipeline-annotated"}, Annotated: []string{"Service web"}},
	}
}
