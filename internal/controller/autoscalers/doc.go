// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package autoscalers examines the HorizontalPodAutoscalers that fail, and publishes what was found.
package autoscalers
