// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand_test

import (
	"testing"

	"github.com/metricspipeline/operator/internal/operand"
)

func TestParseImage(t *testing.T) {
	for reference, tc := range map[string]struct {
		want    operand.Image
		version string
	}{
		"example.com/a/b:v1":             {operand.Image{"example.com/a/b", "v1", ""}, "v1"},
		"example.com/a/b":                {operand.Image{"example.com/a/b", "", ""}, "latest"},
		"localhost:5000/b":               {operand.Image{"localhost:5000/b", "", ""}, "latest"},
		"localhost:5000/b:v1":            {operand.Image{"localhost:5000/b", "v1", ""}, "v1"},
		"localhost:5000/b@sha256:abc":    {operand.Image{"localhost:5000/b", "", "sha256:abc"}, "sha256:abc"},
		"localhost:5000/b:v1@sha256:abc": {operand.Image{"localhost:5000/b", "v1", "sha256:abc"}, "v1"},
		"b":                              {operand.Image{"b", "", ""}, "latest"},
	} {
		got := operand.ParseImage(reference)
		if got != tc.want || got.Version() != tc.version {
			t.Errorf("%s: %+v with version %q, want %+v with %q", reference, got, got.Version(), tc.want, tc.version)
		}
	}
}
