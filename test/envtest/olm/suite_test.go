// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package olm installs the operator's bundle by the real Operator Lifecycle Manager: its two controllers and the server of
// catalogs run as processes beside kube-apiserver and etcd, and kube-controller-manager collects the garbage. There is no kubelet:
// node runs the operator's program where OLM made a Deployment, with a token of the ServiceAccount that it names, so that it
// has the rights that OLM gave it and no others.
package olm

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// previous is the release that is upgraded from.
const previous = "v0.1.0"

// programs are the operator's, by the version that the image of a Deployment names.
var programs = map[string]string{
	previous:  harness.InProject("bin/manager-" + previous),
	"current": harness.InProject("bin/manager"),
}

var suite = &harness.Suite{Bare: true, CRDs: harness.OLMCRDs, Prepare: func() error {
	err := errors.Join(harness.FindOLMCRDs(), harness.CheckPrograms("test-olm", "kube-controller-manager", "olm", "catalog", "opm"))
	for _, file := range programs {
		if _, found := os.Stat(file); found != nil {
			err = errors.Join(err, fmt.Errorf("the operator is not built: run `make test-olm`: %w", found))
		}
	}
	return err
}}

func TestMain(m *testing.M) { suite.Main(m) }
