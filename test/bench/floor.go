// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// floorReady is what a floor says once it watches.
const floorReady = "watching"

// floorProcess is the least program that does what is measured, in a process of its own, as the operator is one. Nobody who
// works through the API server can be faster.
type floorProcess struct {
	command *exec.Cmd
	stdin   io.Closer
	ended   func() error
}

// startFloor starts a row's floor with its work, with the share of the processors that the operator's pod has, and returns
// when it watches.
func startFloor(ctx context.Context, row string, work any, operator *corev1.Pod) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, "-row", row, "-floor")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the floor of %s: %w", row, err)
	}
	floor := &floorProcess{command, stdin, func() error { return nil }}
	removeGroup, err := sameWeight(command.Process.Pid, operator)
	if err == nil {
		floor.ended = removeGroup
		err = json.NewEncoder(stdin).Encode(work)
	}
	if err == nil {
		var said string
		if said, err = bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(said) != floorReady {
			err = errors.Join(err, fmt.Errorf("it says %q instead of %q", said, floorReady))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the floor of %s: %w", row, err), floor.stop())
	}
	return floor, nil
}

// stop ends it: the end of its standard input is its sign.
func (f *floorProcess) stop() error {
	if err := f.stdin.Close(); err != nil {
		return err
	}
	return errors.Join(f.command.Wait(), f.ended())
}

// beFloor is the process itself: it reads its work, begins to watch, says so, and ends with its standard input or with the
// first error that watch reports.
func beFloor(
	ctx context.Context, in io.Reader, out io.Writer, work any,
	watch func(ctx context.Context, cluster *kit.Cluster, failed chan<- error) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := json.NewDecoder(in).Decode(work); err != nil {
		return fmt.Errorf("read the work: %w", err)
	}
	cluster, err := kit.Connect()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	if err := watch(ctx, cluster, failed); err != nil {
		return err
	}
	fmt.Fprintln(out, floorReady)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
