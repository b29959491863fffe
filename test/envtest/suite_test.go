// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package envtest tells what a user of the operator sees, against a real kube-apiserver and etcd: one file for each story.
package envtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// cluster is the control plane that the stories share. A MetricsPipeline is a singleton, so they run one after another and
// each leaves the cluster as it found it.
var cluster *harness.Cluster

// installWarnings are what the API server had to say about config/.
var installWarnings []string

func TestMain(m *testing.M) {
	harness.Suite{Prepare: prepare, Furnish: furnish}.Main(m)
}

func prepare() error {
	return errors.Join(harness.CheckAssets(), harness.FindMonitoringCRDs(), harness.FindCertManagerCRDs())
}

func furnish(ctx context.Context, started *harness.Cluster) (err error) {
	// Each operator logs to the test that it belongs to; what is left over has nowhere to go.
	ctrl.SetLogger(logr.Discard())
	cluster = started
	installWarnings, err = cluster.Install(ctx)
	return err
}

// cleanupContext is for what happens after a test, when its own context has ended.
func cleanupContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
