// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// programVariable names the program that runs the test cluster. hack/with-cluster.sh sets it; for a cluster of
// KUBECONFIG it is not set.
const programVariable = "TEST_CLUSTER"

// ErrNoTestCluster is returned where only the test cluster would do.
var ErrNoTestCluster = errors.New(programVariable + " is not set: this needs the test cluster of `make test-e2e` without KUBECONFIG")

// HasTestCluster says whether the cluster is one that [Cluster.Host] can change.
func HasTestCluster() bool { return os.Getenv(programVariable) != "" }

// Host does to the test cluster what no API does, such as a fault of the machine: bin/cluster with these arguments. The
// error has what it prints.
func (c *Cluster) Host(ctx context.Context, args ...string) error {
	_, err := c.host(ctx, args...)
	return err
}

// SignKubelet has the kubelet of the test cluster serve with a certificate that the cluster, itself or another authority has signed, and
// returns the certificate of the last two.
func (c *Cluster) SignKubelet(ctx context.Context, by string) (string, error) {
	return c.host(ctx, "fault", "sign-kubelet", by)
}

// host is Host, and returns what it prints as its result.
func (c *Cluster) host(ctx context.Context, args ...string) (string, error) {
	program := os.Getenv(programVariable)
	if program == "" {
		return "", ErrNoTestCluster
	}
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = c.Root
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", program, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}
