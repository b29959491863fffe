// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestInstallsWithoutWarnings: installing the CRD and the operator says nothing that an administrator would have to look
// up.
func TestInstallsWithoutWarnings(t *testing.T) {
	NewWithT(t).Expect(installWarnings).To(BeEmpty())
}

// TestSchemaDefaults: `spec: {}`, or no spec at all, is a useful pipeline, and its defaults can be read back.
func TestSchemaDefaults(t *testing.T) {
	g := NewWithT(t)
	pipeline := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "metricspipeline.io/v1alpha1", "kind": "MetricsPipeline", "metadata": map[string]any{"name": "default"},
	}}
	g.Expect(dryRun(t, pipeline.DeepCopy())).To(Succeed())
	pipeline.Object["spec"] = map[string]any{}
	g.Expect(cluster.Client.Create(t.Context(), pipeline)).To(Succeed())
	t.Cleanup(func() {
		// The test's own context has ended by now.
		g.Expect(client.IgnoreNotFound(cluster.Client.Delete(cleanupContext(t), pipeline))).To(Succeed())
	})

	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(pipeline), pipeline)).To(Succeed())
	spec, err := yaml.Marshal(pipeline.Object["spec"])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(spec)).To(MatchYAML(`
resourceMetrics: {policy: Auto, onUnavailable: Keep, backend: MetricsServer}
customMetrics: {policy: Auto, onUnavailable: Keep, derive: Enabled}
externalMetrics: {policy: Auto, onUnavailable: Keep, derive: Enabled}
metricsServer:
  replicas: 2
  metricResolution: 15s
  kubelet:
    tls: {verification: Verify}
    preferredAddressTypes: [InternalIP, ExternalIP, Hostname]
prometheusAdapter:
  replicas: 2
  relistInterval: 1m
certificates: {provider: Auto, duration: 8760h}
monitoring: {monitors: Auto, alerts: Auto, dashboard: Auto}
prometheus: {}
scrape:
  targets: [Services, Pods]
  granularity: Namespace
  annotationPrefix: prometheus.io
  limits: {bodySize: 32MB, droppedTargets: 100, samples: 50000, targets: 5000}
  tls: {verification: Verify}
  selectorlessServices: Refuse
`))
}

// TestSchemaAdmitsTheLargestPipeline: the cost limits of CEL, which count what a schema admits, refuse nothing that keeps
// to the bounds.
func TestSchemaAdmitsTheLargestPipeline(t *testing.T) {
	g := NewWithT(t)
	rule := map[string]any{
		"seriesQuery": text(100), "metricsQuery": text(100),
		"seriesFilters": repeat(16, map[string]any{"is": text(20)}),
		// The namespace comes last, where a rule that looks for it has looked at all others.
		"resources": map[string]any{"overrides": overrides(32)},
	}
	largest := build(t, map[string]any{
		"spec.customMetrics.rules":         rulesLike(256, rule),
		"spec.externalMetrics.rules":       rulesLike(256, rule),
		"spec.prometheusAdapter.extraArgs": repeat(32, "--v="+text(1020)),
		"spec.metricsServer.extraArgs":     repeat(32, "--v="+text(1020)),
		"spec.scrape.labels":               largestLabels(),
		"spec.scrape.podTargetLabels":      largestKeys(16),
		"spec.monitoring.labels":           largestLabels(),
	}, "spec.patches", repeat(64, map[string]any{"target": map[string]any{"kind": "Deployment"}, "patch": text(4096)}))
	g.Expect(dryRun(t, largest)).To(Succeed())
}

// largestLabels are as many as there may be, with the longest keys and values.
func largestLabels() map[string]any {
	all := map[string]any{}
	for i := range 32 {
		prefix := strings.Repeat(text(49)+".", 4) + text(50) + fmt.Sprintf("-%02d", i)
		all[prefix+"/"+text(63)] = text(63)
	}
	return all
}

// largestKeys are so many of their keys.
func largestKeys(n int) []any {
	var keys []any
	for key := range largestLabels() {
		if len(keys) < n {
			keys = append(keys, key)
		}
	}
	return keys
}
