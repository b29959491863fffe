// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestScalesWithoutARule: an empty spec, an annotated app and an HPA are enough. The rule that follows from the HPA is in the status, and
// the command line turns it into one to keep.
func TestScalesWithoutARule(t *testing.T) {
	g := story(t)
	whenApplied(t, &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}})
	thenReady(t, scrape)
	start := time.Now()
	sample := samples[1]
	givenScaler(t, scaled{name: sample.name, metric: sample.metric})
	t.Logf("a rule is derived, and the HPA has a value, after %.0f s", time.Since(start).Seconds())
	thenReady(t, rollout)
	g.Eventually(func(g Gomega) {
		g.Expect(thePipeline(t, g).Status.Rules).To(ContainElement(SatisfyAll(
			HaveField("Origin", v1alpha1.RuleDerived), HaveField("State", v1alpha1.RuleInUse),
			HaveField("Autoscaler", kit.SampleNamespace+"/"+sample.name), HaveField("Query", ContainSubstring("rate(http_requests_total")))))
	}, counts, often).Should(Succeed())
	out, err := exec.CommandContext(t.Context(), filepath.Join(cluster.Root, "bin", "kubectl-metricspipeline"), "rules", "export").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	g.Expect(string(out)).To(ContainSubstring("http_requests_total"))

	start = time.Now()
	g.Expect(cluster.Steer(t.Context(), sample.name, sample.load)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(pods(t, g, sample.name)).To(BeEquivalentTo(kit.SampleMaxReplicas))
	}, scrape, often).Should(Succeed())
	t.Logf("1 to %d pods in %.0f s", kit.SampleMaxReplicas, time.Since(start).Seconds())
	g.Expect(cluster.Steer(t.Context(), sample.name, sample.idle)).To(Succeed())
}
