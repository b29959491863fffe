// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package envtest has the stories of the operator's users, against a real kube-apiserver and etcd: one file for each story.
package envtest

import (
	"context"
	"testing"
	"time"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// cluster is the control plane that the stories share. A MetricsPipeline is a singleton, so they run one after another and
// each leaves the cluster as it found it.
var cluster *harness.Cluster

// installWarnings are what the API server said about config/.
var installWarnings []string

func TestMain(m *testing.M) {
	suite := &harness.Suite{Prepare: harness.FindScalerCRDs, Furnish: func(_ context.Context, started *harness.Cluster) error {
		cluster, installWarnings = started, started.InstallWarnings
		return nil
	}}
	suite.Main(m)
}

// cleanupContext is for what happens after a test, when its own context has ended.
func cleanupContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
