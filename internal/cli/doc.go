// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line, `kubectl metricspipeline`: one file for each command. It reads with the rights of who runs it, and
// writes nothing to the cluster.
package cli
