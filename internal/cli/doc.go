// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line kubectl metricspipeline.
package cli
