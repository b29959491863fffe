// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package collect collects the evidence of a HorizontalPodAutoscaler, for the operator and for the command line.
package collect
