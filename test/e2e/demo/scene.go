// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// scene is what can be seen at one moment.
type scene struct {
	operator   string
	components []v1alpha1.ComponentStatus
	apis       []v1alpha1.APIServiceStatus
	// ready is true when the pipeline is.
	ready bool
	// metric is the rate per pod that the HPA has read last, if metricKnown.
	metric      float64
	metricKnown bool
	// failing is true when the HPA has no metric to scale on.
	failing bool
	// replicas are the pods that serve, wanted the number that the HPA sets.
	replicas, wanted int32
}

// look reads a scene. What is not there yet is empty.
func look(ctx context.Context, cluster *kit.Cluster) scene {
	now := scene{operator: "starting"}
	operator, sample := &appsv1.Deployment{}, &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
	if cluster.Client.Get(ctx, key, operator) == nil && kit.RolledOut(operator) {
		now.operator = "ready"
	}
	if pipeline, err := cluster.Pipeline(ctx); err == nil {
		now.components, now.apis = pipeline.Status.Components, pipeline.Status.APIServices
		now.ready = kit.IsReady(pipeline)
	}
	key = client.ObjectKey{Namespace: kit.SampleNamespace, Name: app}
	if cluster.Client.Get(ctx, key, sample) == nil {
		now.replicas = sample.Status.ReadyReplicas
	}
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	if cluster.Client.Get(ctx, key, scaler) == nil {
		now.wanted = scaler.Status.DesiredReplicas
		now.failing = slices.ContainsFunc(scaler.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
			return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionFalse
		})
		for _, metric := range scaler.Status.CurrentMetrics {
			if metric.Pods != nil && metric.Pods.Current.AverageValue != nil {
				now.metric, now.metricKnown = metric.Pods.Current.AverageValue.AsApproximateFloat64(), true
			}
		}
	}
	return now
}

// componentsText is like "metrics-server 1/2   prometheus-adapter 2/2".
func (s scene) componentsText() string {
	var parts []string
	for _, component := range s.components {
		parts = append(parts, fmt.Sprintf("%s %d/%d", component.Name, component.Ready, component.Desired))
	}
	return strings.Join(parts, "   ")
}

// apisText is like "metrics.k8s.io v1beta1: WaitingForBackend", one line for each API.
func (s scene) apisText() []string {
	var lines []string
	for _, api := range s.apis {
		state := api.Reason
		if api.Available == metav1.ConditionTrue {
			state = "available"
		}
		lines = append(lines, fmt.Sprintf("%-32s %s", api.Group+"/"+api.Version, state))
	}
	return lines
}
