// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestScrapeConfigurations: where no prometheus-operator is served, the Prometheus that the operator runs reads scrape configurations
// from ConfigMaps, which are repaired like everything else and cost nothing at rest.
func TestScrapeConfigurations(t *testing.T) {
	w := begin(t)
	app := w.app("shop", nil)
	w.apply(`{prometheus: {managed: {}}}`)
	const job = "job_name: serviceMonitor/default/metricspipeline-annotated/0"
	shard := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: prometheus.ShardName(prometheus.ShardOf("default"))}
	configuration := func() string {
		if err := w.Client.Get(t.Context(), key, shard); err != nil {
			return err.Error()
		}
		return shard.Data["default.yaml"]
	}
	w.Eventually(configuration).Should(ContainSubstring(job))
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(beTrue())
	w.Eventually(w.scrape).Should(SatisfyAll(HaveField("Monitors", int32(1)), HaveField("NotScraped", BeEmpty())))

	w.Expect(configuration()).To(ContainSubstring(job))
	shard.Data = map[string]string{"default.yaml": "scrape_configs: []", "stranger.yaml": "scrape_configs: []"}
	w.Expect(w.Client.Update(t.Context(), shard)).To(Succeed())
	w.Eventually(configuration).Should(ContainSubstring(job))
	w.Eventually(func() map[string]string { configuration(); return shard.Data }).Should(HaveLen(1))
	w.Expect(w.Client.Delete(t.Context(), shard)).To(Succeed())
	w.Eventually(configuration).Should(ContainSubstring(job))

	w.rest()
	w.Operator.Requests.Take()
	another := w.app("bank", nil)
	w.Eventually(w.scrape).Should(HaveField("Services", int32(2)))
	w.rest()
	w.Expect(w.Operator.Requests.Take()).NotTo(ContainElement(ContainSubstring("configmaps")), "a second app of the namespace")

	for _, service := range []*corev1.Service{app, another} {
		service.Annotations["prometheus.io/scrape"] = "false"
		w.Expect(w.Client.Update(t.Context(), service)).To(Succeed())
	}
	w.Eventually(configuration).Should(BeEmpty())
}
