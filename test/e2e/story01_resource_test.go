// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestEmptySpecBecomesReady is what the README promises, with the commands of the README.
func TestEmptySpecBecomesReady(t *testing.T) {
	g := story(t)
	ctx := within(t, rollout+soon)
	start := time.Now()
	_, err := cluster.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--field-manager="+kit.FieldOwner,
		"-f", kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = cluster.Kubectl(ctx, "wait", "--for=condition=Ready", "metricspipeline/default", "--timeout="+rollout.String())
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("Ready %.1f s after kubectl apply", time.Since(start).Seconds())

	// Without rules there is nothing that custom or external metrics could be: registering them would break discovery.
	pipeline := thePipeline(t, g)
	g.Expect(kit.APIService(pipeline, kit.ResourceMetricsAPI)).To(HaveField("Reason", "Passed"))
	for _, name := range []string{kit.CustomMetricsAPI, kit.ExternalMetricsAPI} {
		g.Expect(kit.APIService(pipeline, name)).To(HaveField("Reason", "NoRules"), name)
	}
	out, err := cluster.Kubectl(ctx, "get", "metricspipeline")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(MatchRegexp(`default +True +Passed +NoRules +NoRules `))
}

// TestKubectlTopGivesNumbers runs the real kubectl against the real kubelet's numbers.
func TestKubectlTopGivesNumbers(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	ctx := within(t, rollout)

	// The node's line: name, cpu in cores and percent, memory in bytes and percent.
	g.Eventually(func() (string, error) {
		return cluster.Kubectl(ctx, "top", "node", "--no-headers")
	}, rollout, often).Should(MatchRegexp(`(?m)^\S+ +\d+m +\d+% +[1-9]\d*Mi +\d+% *$`))

	// A pod is first measured twice, 10 to 15 s apart, before it has a cpu rate.
	g.Eventually(func() (string, error) {
		return cluster.Kubectl(ctx, "top", "pod", "--containers", "--no-headers", "-n", kit.SampleNamespace)
	}, rollout, often).Should(MatchRegexp(`(?m)^pods-\S+ +app +\d+m +[1-9]\d*Mi *$`))
}
