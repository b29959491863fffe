// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Suite is a package of tests that share control planes with the operator's CRD, account and roles, each used by one test at
// a time.
type Suite struct {
	// ControlPlanes is their number; 0 is 1.
	ControlPlanes int
	// PlainLists has clients list and then watch, instead of one stream. A stream waits for etcd to report its revision, a third
	// of a second in each of hundreds of starts, and an operator that streams needs no permission to list.
	PlainLists bool
	// Bare leaves out the operator's CRD, account and roles.
	Bare bool
	// Prepare looks for what the tests need besides, while there still is a network; nil for nothing.
	Prepare func() error
	// CRDs returns the files of the CRDs of others that are there from the start; nil for none.
	CRDs func() []string
	// Furnish is called for each control plane with what else is there from the start; nil for nothing.
	Furnish func(context.Context, *Cluster) error
	// After is called when the tests have ended, and returns whether the suite may pass; nil for nothing.
	After func() bool

	free chan *Cluster
}

// Take returns a control plane that no other test uses until the end of this one.
func (s *Suite) Take(t *testing.T) *Cluster {
	t.Helper()
	cluster := <-s.free
	t.Cleanup(func() { s.free <- cluster })
	return cluster
}

// Main is the TestMain of a suite: it runs the tests in a network of their own, stops the control planes and exits.
func (s *Suite) Main(m *testing.M) {
	os.Exit(Isolated(s.prepare, func() int {
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

// prepare looks for what a network may be needed for.
func (s *Suite) prepare() error {
	if s.PlainLists {
		if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
			return err
		}
	}
	err := errors.Join(CheckAssets(), FindMonitoringCRDs(), FindCertManagerCRDs())
	if s.Prepare != nil {
		err = errors.Join(err, s.Prepare())
	}
	return err
}

func (s *Suite) start(ctx context.Context) ([]*Cluster, error) {
	// Each operator logs to the test that it belongs to. What libraries log besides is about failures that tests inject.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	var clusters []*Cluster
	s.free = make(chan *Cluster, max(s.ControlPlanes, 1))
	for range cap(s.free) {
		cluster, err := StartCluster(true)
		if err != nil {
			return nil, errors.Join(err, stopAll(clusters))
		}
		clusters = append(clusters, cluster)
		if err := s.furnish(ctx, cluster); err != nil {
			return nil, errors.Join(err, stopAll(clusters))
		}
		s.free <- cluster
	}
	return clusters, nil
}

func (s *Suite) furnish(ctx context.Context, cluster *Cluster) error {
	if !s.Bare {
		if err := cluster.Install(ctx); err != nil {
			return err
		}
	}
	if s.CRDs != nil {
		for _, file := range s.CRDs() {
			if err := cluster.InstallCRD(ctx, file); err != nil {
				return err
			}
		}
	}
	if s.Furnish == nil {
		return nil
	}
	return s.Furnish(ctx, cluster)
}

func stopAll(clusters []*Cluster) error {
	var all error
	for _, cluster := range clusters {
		all = errors.Join(all, cluster.Stop())
	}
	return all
}
