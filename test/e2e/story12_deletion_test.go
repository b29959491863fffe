// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// The orders in which a cluster can be taken apart, beside those of the stories of the lifecycle: whatever is deleted first,
// nothing is stuck and nothing is left.

// TestNamespaceCanGoFirst deletes the operator's namespace with everything running in it. An APIService that outlives its
// backend would keep this very deletion from ending, and that of every other namespace.
func TestNamespaceCanGoFirst(t *testing.T) {
	g := story(t)
	givenRules(t)
	givenOperatorAgain(t)
	ctx := within(t, rollout)
	start := time.Now()
	_, err := cluster.Kubectl(ctx, "delete", "namespace", kit.OperatorNamespace, "--timeout=1m")
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("the namespace is deleted after %.1f s", time.Since(start).Seconds())
	thenNoAPIServiceLeft(t)

	// What is left belongs to the pipeline, and is deleted with it although no operator runs any more.
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
}

// TestDefinitionCanGoFirst deletes the CustomResourceDefinition, and so the pipeline, under the operator.
func TestDefinitionCanGoFirst(t *testing.T) {
	g := story(t)
	givenPlain(t)
	givenOperatorAgain(t)
	ctx := within(t, rollout)
	start := time.Now()
	_, err := cluster.Kubectl(ctx, "delete", "crd", "metricspipelines.metricspipeline.io", "--timeout=1m")
	g.Expect(err).NotTo(HaveOccurred())
	thenNothingLeft(t)
	t.Logf("nothing is left after %.1f s, pods included", time.Since(start).Seconds())
}

// TestRolesCanGoFirst takes the operator its rights, then deletes the pipeline: the operator learns of nothing.
func TestRolesCanGoFirst(t *testing.T) {
	g := story(t)
	givenPlain(t)
	givenOperatorAgain(t)
	g.Expect(cluster.DeleteOperatorRoles(within(t, soon))).To(Succeed())
	start := time.Now()
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	thenNothingLeft(t)
	t.Logf("nothing is left after %.1f s, pods included", time.Since(start).Seconds())
	g.Expect(cluster.UninstallOperator(within(t, rollout))).To(Succeed())
}

// givenPlain applies the sample pipeline with `spec: {}` and waits until it is Ready, and until nothing is left of what an earlier spec had
// beside it: it is Ready before.
func givenPlain(t *testing.T) {
	t.Helper()
	pipeline, err := cluster.Sample(kit.SamplePlain)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	for _, component := range []string{seriesBackend, "managed-prometheus"} {
		NewWithT(t).Eventually(func() ([]string, error) {
			left, err := cluster.Labeled(t.Context(), client.MatchingLabels{
				v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: component}, false)
			return kit.Names(left), err
		}, rollout, often).Should(BeEmpty())
	}
}

// givenOperatorAgain installs the operator again at the end of the test.
func givenOperatorAgain(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		NewWithT(t).Expect(cluster.InstallOperator(ctx)).To(Succeed())
	})
}

// thenNothingLeft waits until nothing carries the pipeline's label any more.
func thenNothingLeft(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func() ([]string, error) {
		left, err := cluster.Managed(t.Context(), true)
		return kit.Names(left), err
	}, rollout, often).Should(BeEmpty())
	thenNoAPIServiceLeft(t)
}
