// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package harness

import "errors"

var errNoNamespaces = errors.New("this system has no network namespaces")

func runIsolated() (int, error) { return 0, errNoNamespaces }

func configureNetwork() error { return errNoNamespaces }
