// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsserver

// What the operator grants to it: kubelets' metrics, and the nodes and pods that they are about.
// +kubebuilder:rbac:groups="",resources=nodes/metrics,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes;namespaces;pods;services,verbs=get;list;watch

// What the operator grants to viewers and to the HorizontalPodAutoscaler controller.
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=pods;nodes,verbs=get;list;watch
