// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand_test

import (
	"testing"

	"sigs.k8s.io/kustomize/api/pkg/util"

	"github.com/metricspipeline/operator/internal/operand"
)

// TestImage: a colon before the last slash is that of a registry's port.
func TestImage(t *testing.T) {
	for reference, tc := range map[string]struct {
		want    [3]string
		version string
	}{
		"example.com/a/b:v1":             {[3]string{"example.com/a/b", "v1", ""}, "v1"},
		"example.com/a/b":                {[3]string{"example.com/a/b", "", ""}, "latest"},
		"localhost:5000/b":               {[3]string{"localhost:5000/b", "", ""}, "latest"},
		"localhost:5000/b:v1":            {[3]string{"localhost:5000/b", "v1", ""}, "v1"},
		"localhost:5000/b@sha256:abc":    {[3]string{"localhost:5000/b", "", "sha256:abc"}, "sha256:abc"},
		"localhost:5000/b:v1@sha256:abc": {[3]string{"localhost:5000/b", "v1", "sha256:abc"}, "v1"},
		"localhost:5000/b@sha256:def":    {[3]string{"localhost:5000/b", "", "sha256:def"}, "v2"},
		"localhost:5000/b:v1@sha256:def": {[3]string{"localhost:5000/b", "v1", "sha256:def"}, "v1"},
		"b":                              {[3]string{"b", "", ""}, "latest"},
	} {
		repository, tag, digest := util.SplitImageName(reference)
		got, version := [3]string{repository, tag, digest}, operand.ImageVersion(reference, map[string]string{"sha256:def": "v2"})
		if got != tc.want || version != tc.version {
			t.Errorf("%s: %q with version %q, want %q with %q", reference, got, version, tc.want, tc.version)
		}
	}
}
