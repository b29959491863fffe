// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults runs the operator against a real kube-apiserver and etcd while everything goes wrong that can: it crashes
// after each of its writes, the API server refuses them, what it reads is old, and somebody meddles with each object and
// each field. Whatever happens, it ends where it would have ended without, and on the way no rule of history_test.go is
// broken. A new feature adds its entries to the tables: scenarios(), specCases() and immutable.
package faults

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// planes are the control planes: the operator's writes are one after another, so one alone leaves most processors idle.
const planes = 2

// free are the control planes that no test uses.
var free = make(chan *harness.Cluster, planes)

func TestMain(m *testing.M) {
	harness.Suite{Prepare: prepare, ControlPlanes: planes, Furnish: furnish, After: func() bool { return tally.print(os.Stdout) }}.Main(m)
}

func prepare() error {
	// A streaming list waits for etcd to say how far it is, a third of a second in each of hundreds of lives. What a plain
	// list gets from the API server's cache may even be old, as after any restart with several API servers.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		return err
	}
	return errors.Join(harness.CheckAssets(), harness.FindMonitoringCRDs(), harness.FindCertManagerCRDs())
}

func furnish(ctx context.Context, started *harness.Cluster) error {
	// Whatever goes wrong here is meant to, and would fill pages.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	if _, err := started.Install(ctx); err != nil {
		return err
	}
	for _, file := range []string{harness.PrometheusCRD(), harness.ServiceMonitorCRD(), harness.PodMonitorCRD()} {
		if err := started.InstallCRD(ctx, file); err != nil {
			return err
		}
	}
	free <- started
	return nil
}
