// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
)

// Suite is a package of tests that share one control plane, one after another.
type Suite struct {
	// Prepare is called where there still is a network.
	Prepare func() error
	// Furnish is called once the control plane, with an aggregation layer, has started.
	Furnish func(context.Context, *Cluster) error
	// After is called when the tests have ended, and returns whether the suite may pass; nil for nothing.
	After func() bool
}

// Main is the TestMain of a suite: it runs the tests in a network of their own, stops the control plane and exits.
func (s Suite) Main(m *testing.M) {
	os.Exit(Isolated(s.Prepare, func() int {
		cluster, err := s.start(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "starting the suite:", err)
			return 1
		}
		code := m.Run()
		if s.After != nil && !s.After() {
			code = max(code, 1)
		}
		if err := cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
			return 1
		}
		return code
	}))
}

func (s Suite) start(ctx context.Context) (*Cluster, error) {
	cluster, err := StartCluster(true)
	if err != nil {
		return nil, err
	}
	if err := s.Furnish(ctx, cluster); err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return cluster, nil
}
