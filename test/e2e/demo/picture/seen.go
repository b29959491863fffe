// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package picture draws what the demo sees of a cluster: the chain from an application to its HorizontalPodAutoscaler, and how each link
// of it stands. It reads no cluster: what is seen goes in, text comes out.
package picture

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// The names that the operator gives, as its status has them.
const (
	prometheus = "managed-prometheus"
	adapter    = "prometheus-adapter"
	customAPI  = "v1beta2.custom.metrics.k8s.io"
)

// Seen is what there is in the cluster at one moment. What is not there is nil.
type Seen struct {
	Operator *appsv1.Deployment
	Pipeline *v1alpha1.MetricsPipeline
	App      *appsv1.Deployment
	Scaler   *autoscalingv2.HorizontalPodAutoscaler
	// Load is how many requests are sent to the application each second, and Rates what the HPA has read of each pod until now, the
	// newest value last.
	Load  float64
	Rates []float64
}

// Replicas is how many pods of the application serve.
func (s *Seen) Replicas() int32 {
	if s.App == nil {
		return 0
	}
	return s.App.Status.ReadyReplicas
}

// Metric is the name of the metric that the HPA reads, and what one pod is meant to take of it.
func (s *Seen) Metric() (name string, target float64) {
	if s.Scaler != nil {
		for _, metric := range s.Scaler.Spec.Metrics {
			if metric.Pods != nil && metric.Pods.Target.AverageValue != nil {
				return metric.Pods.Metric.Name, metric.Pods.Target.AverageValue.AsApproximateFloat64()
			}
		}
	}
	return "", 0
}

// Rate is what the HPA has read last of the metric that it reads now; known is false where it has no number.
func (s *Seen) Rate() (perPod float64, known bool) {
	name, _ := s.Metric()
	if s.Scaler == nil || s.inactive() != nil {
		return 0, false
	}
	for _, metric := range s.Scaler.Status.CurrentMetrics {
		if metric.Pods != nil && metric.Pods.Metric.Name == name && metric.Pods.Current.AverageValue != nil {
			return metric.Pods.Current.AverageValue.AsApproximateFloat64(), true
		}
	}
	return 0, false
}

// inactive is the HPA's condition that it cannot scale, or nil.
func (s *Seen) inactive() *autoscalingv2.HorizontalPodAutoscalerCondition {
	at := slices.IndexFunc(s.Scaler.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionFalse
	})
	if at < 0 {
		return nil
	}
	return &s.Scaler.Status.Conditions[at]
}

// Failure is what the operator says of the HPA, or nil where it says nothing.
func (s *Seen) Failure() *v1alpha1.AutoscalerFailure {
	if s.Scaler == nil || s.Pipeline == nil || s.Pipeline.Status.Autoscalers == nil {
		return nil
	}
	failing := s.Pipeline.Status.Autoscalers.Failing
	for i := range failing {
		if failing[i].Namespace == s.Scaler.Namespace && failing[i].Name == s.Scaler.Name {
			return &failing[i]
		}
	}
	return nil
}

// NotReady is why the pipeline is not Ready, or empty.
func (s *Seen) NotReady() string {
	if s.Pipeline == nil {
		return "there is no pipeline"
	}
	ready := apimeta.FindStatusCondition(s.Pipeline.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration != s.Pipeline.Generation:
		return "the operator has not looked at it yet"
	case ready.Status != metav1.ConditionTrue:
		return ready.Reason + ": " + ready.Message
	}
	return ""
}

func (s *Seen) component(name string) *v1alpha1.ComponentStatus {
	if s.Pipeline != nil {
		for i := range s.Pipeline.Status.Components {
			if s.Pipeline.Status.Components[i].Name == name {
				return &s.Pipeline.Status.Components[i]
			}
		}
	}
	return nil
}

func (s *Seen) api() *v1alpha1.APIServiceStatus {
	if s.Pipeline != nil {
		for i := range s.Pipeline.Status.APIServices {
			if s.Pipeline.Status.APIServices[i].Name == customAPI {
				return &s.Pipeline.Status.APIServices[i]
			}
		}
	}
	return nil
}

func deploymentText(deployment *appsv1.Deployment) (State, string) {
	wanted := ptr.Deref(deployment.Spec.Replicas, 1)
	ready := deployment.Status.ReadyReplicas
	text := fmt.Sprintf("Deployment %s: %d of %s ready", deployment.Name, ready, pods(wanted))
	if ready > wanted {
		text = fmt.Sprintf("Deployment %s: %s ready, %d too many", deployment.Name, pods(ready), ready-wanted)
	}
	if ready < wanted {
		return Waiting, text
	}
	return Works, text
}

func pods(number int32) string {
	if number == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", number)
}
