// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package derive works out which rules follow from the metrics that HorizontalPodAutoscalers ask for. It is pure.
package derive
