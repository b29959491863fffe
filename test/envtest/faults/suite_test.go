// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults runs the operator against a real kube-apiserver and etcd while everything goes wrong that can: it crashes
// after each of its writes, the API server refuses them, what it reads is old, and others change each object and each field.
// Whatever happens, it ends where it would have ended without, and on the way no rule of history_test.go is broken. A new
// feature adds its entries to the tables: scenarios(), specCases() and immutable.
package faults

import (
	"os"
	"testing"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// suite has two control planes: the operator's writes are one after another, so one alone leaves most processors idle.
var suite = &harness.Suite{
	ControlPlanes: 2, PlainLists: true, CRDs: harness.MonitoringCRDs,
	After: func() bool { return tally.print(os.Stdout) },
}

func TestMain(m *testing.M) { suite.Main(m) }
