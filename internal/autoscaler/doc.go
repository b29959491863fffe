// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package autoscaler keeps what is known of the HorizontalPodAutoscalers of the cluster in little memory.
package autoscaler
