// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command release writes what a release consists of, from config/ and the code: `chart` the generated part of the Helm chart,
// `build` everything that RELEASE.md publishes. It pushes nothing.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

const usage = "usage: release chart | release build VERSION"

// The platforms of a release.
var (
	platforms       = []string{"linux/amd64", "linux/arm64"}
	pluginPlatforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "chart":
		return writeChart(root)
	case len(args) == 2 && args[0] == "build":
		return build(ctx, &release{Root: root, Version: args[1], Platforms: platforms, PluginPlatforms: pluginPlatforms, Out: os.Stdout})
	}
	return fmt.Errorf("%v is not understood; %s", args, usage)
}

// findRoot walks up to the folder of the repository.
func findRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository: no folder above it has a file PROJECT", start)
		}
	}
}
