// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

// What the operator grants to it: what it lists to turn selectors into names.
// +kubebuilder:rbac:groups="",resources=nodes;namespaces;pods;services,verbs=get;list;watch

// What the operator grants to viewers and to the HorizontalPodAutoscaler controller. The resources are the metrics themselves,
// which cannot be listed beforehand.
// +kubebuilder:rbac:groups=custom.metrics.k8s.io;external.metrics.k8s.io,resources=*,verbs=get;list;watch
