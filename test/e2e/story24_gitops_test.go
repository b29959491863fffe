// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
)

// TestNothingDiffersAtRest: where all is Ready, what is in Git is what is in the cluster, compared by the client as Argo CD does by
// default, and by the server as Flux does. kubectl ends with an error where something differs, and prints it.
func TestNothingDiffersAtRest(t *testing.T) {
	g := story(t)
	const pipeline = "config/samples/metricspipeline_v1alpha1_metricspipeline_rules.yaml"
	_, err := cluster.Kubectl(t.Context(), "apply", "-f", pipeline)
	g.Expect(err).NotTo(HaveOccurred())
	thenReady(t, scrape)
	for _, args := range [][]string{
		{"diff", "-f", pipeline},
		{"diff", "--server-side", "--force-conflicts", "-f", pipeline},
		{"diff", "--server-side", "-f", "dist/install.yaml"},
	} {
		differs, err := cluster.Kubectl(t.Context(), args...)
		g.Expect(err).NotTo(HaveOccurred(), "kubectl %v:\n%s", args, differs)
	}
}
