// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-metricspipeline is the plugin `kubectl metricspipeline`.
package main

import (
	"context"
	"os"
	"os/signal"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/metricspipeline/operator/internal/cli"
)

// version is set at build time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := cli.Main(ctx, version, os.Args[1:], streams)
	stop()
	os.Exit(code)
}
