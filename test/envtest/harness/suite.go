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

// Suite is a package of tests that share control planes, each used by one test after another.
type Suite struct {
	// Prepare is called where there still is a network.
	Prepare func() error
	// ControlPlanes is their number; 0 is 1.
	ControlPlanes int
	// Furnish is called for each control plane, with an aggregation layer, once it has started.
	Furnish func(context.Context, *Cluster) error
	// After is called when the tests have ended, and returns whether the suite may pass; nil for nothing.
	After func() bool
}

// Main is the TestMain of a suite: it runs the tests in a network of their own, stops the control planes and exits.
func (s Suite) Main(m *testing.M) {
	os.Exit(Isolated(s.Prepare, func() int {
		clusters, err := s.start(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "starting the suite:", err)
			return 1
		}
		code := m.Run()
		if s.After != nil && !s.After() {
			code = max(code, 1)
		}
		if err := stopAll(clusters); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the control planes:", err)
			return 1
		}
		return code
	}))
}

func (s Suite) start(ctx context.Context) ([]*Cluster, error) {
	var clusters []*Cluster
	for range max(s.ControlPlanes, 1) {
		cluster, err := StartCluster(true)
		if err != nil {
			return nil, errors.Join(err, stopAll(clusters))
		}
		clusters = append(clusters, cluster)
		if err := s.Furnish(ctx, cluster); err != nil {
			return nil, errors.Join(err, stopAll(clusters))
		}
	}
	return clusters, nil
}

func stopAll(clusters []*Cluster) error {
	var all error
	for _, cluster := range clusters {
		all = errors.Join(all, cluster.Stop())
	}
	return all
}
