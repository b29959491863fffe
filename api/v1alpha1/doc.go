// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of the MetricsPipeline operator: one cluster-scoped resource that describes a
// cluster's metrics stack, and the conditions and reasons by which its status explains itself.
//
// +kubebuilder:object:generate=true
// +groupName=metricspipeline.io
package v1alpha1
