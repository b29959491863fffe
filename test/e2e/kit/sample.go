// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// SampleNamespace is where the sample application runs.
	SampleNamespace = "metricspipeline-sample"
	// SampleMaxReplicas is how far its HorizontalPodAutoscalers scale it.
	SampleMaxReplicas = 3

	appLabel = "app.kubernetes.io/name"
)

// SampleImage is the image of the sample application: SAMPLE_IMG of the environment, as `make` sets it.
func SampleImage() string { return environment("SAMPLE_IMG", "metricspipeline.io/sample-app:e2e") }

// SampleNamespaceObjects are the namespace of the sample application, under the restricted Pod Security level.
func SampleNamespaceObjects() []client.Object { return []client.Object{Namespace(SampleNamespace)} }

// Namespace is a namespace under the restricted Pod Security level.
func Namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   name,
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
}

// Annotated are the annotations that request scraping of an application's port 8080.
func Annotated() map[string]string {
	return map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
}

// SampleApp is an instance of the sample application: a Deployment, and an annotated Service of that name. Nothing else
// leads Prometheus to it.
func SampleApp(name string) []client.Object {
	labels := map[string]string{appLabel: name}
	object := metav1.ObjectMeta{Namespace: SampleNamespace, Name: name, Labels: labels}
	annotated := object
	annotated.Annotations = Annotated()
	return []client.Object{
		// No replicas: they belong to the HorizontalPodAutoscaler, and applying again must not take them from it.
		&appsv1.Deployment{ObjectMeta: object, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: SamplePod()},
		}},
		&corev1.Service{ObjectMeta: annotated, Spec: corev1.ServiceSpec{
			Selector: labels,
			Ports:    []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromString("http")}},
		}},
	}
}

// SamplePod is a pod of the sample application, with the one port http, 8080.
func SamplePod() corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](5),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   ptr.To(true),
			RunAsUser:      ptr.To[int64](65532),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name:            "app",
			Image:           SampleImage(),
			ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			Resources: corev1.ResourceRequirements{
				// A HorizontalPodAutoscaler on cpu divides by the request.
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
				},
			},
			ReadinessProbe: &corev1.Probe{
				ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
					Path: "/healthz", Port: intstr.FromString("http"),
				}},
				PeriodSeconds: 1,
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false),
				ReadOnlyRootFilesystem:   ptr.To(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
}

// SampleScaler scales an instance of the sample application between 1 and [SampleMaxReplicas] pods on one metric.
func SampleScaler(name string, metric autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: SampleNamespace, Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MinReplicas:    ptr.To[int32](1),
			MaxReplicas:    SampleMaxReplicas,
			Metrics:        []autoscalingv2.MetricSpec{metric},
			// Five minutes, the default, are for production.
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To[int32](10)},
			},
		},
	}
}

// CPU is half of the cpu that a pod requests.
func CPU() autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50),
			},
		},
	}
}

// Memory is that much memory of each pod.
func Memory(average string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceMemory,
			Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse(average)),
			},
		},
	}
}

// RequestsOfPods are that many requests each second of each pod.
func RequestsOfPods(each int64) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "http_requests_per_second"},
			Target: average(each),
		},
	}
}

// RequestsOfService are that many requests each second of a Service for each pod behind it.
func RequestsOfService(service string, each int64) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ObjectMetricSourceType,
		Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: service},
			Metric:          autoscalingv2.MetricIdentifier{Name: "http_requests_per_second"},
			Target:          average(each),
		},
	}
}

// QueueDepth are that many messages in a queue for each pod.
func QueueDepth(queue string, each int64) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{
				Name:     "queue_depth",
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"queue": queue}},
			},
			Target: average(each),
		},
	}
}

func average(each int64) autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{
		Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(each, resource.DecimalSI),
	}
}

// Steer sends a request such as /load?rps=200 to every pod of an instance, through the API server: nothing else has to
// reach into the cluster's network.
func (c *Cluster) Steer(ctx context.Context, name, request string) error {
	_, err := c.Ask(ctx, SampleNamespace, name, request)
	return err
}

// Ask sends a request to port 8080 of every pod that runs with this name as its application's, and returns the answers by
// the names of the pods.
func (c *Cluster) Ask(ctx context.Context, namespace, name, request string) (map[string][]byte, error) {
	pods := &corev1.PodList{}
	err := c.Client.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{appLabel: name})
	if err != nil {
		return nil, err
	}
	answers := map[string][]byte{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		path := fmt.Sprintf("/api/v1/namespaces/%s/pods/http:%s:8080/proxy%s", pod.Namespace, pod.Name, request)
		if answers[pod.Name], err = c.Get(ctx, path); err != nil {
			return nil, fmt.Errorf("query pod %s for %s: %w", pod.Name, request, err)
		}
	}
	if len(answers) == 0 {
		return nil, fmt.Errorf("query %s for %s: it has no running pod", name, request)
	}
	return answers, nil
}
