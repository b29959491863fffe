// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// customRules and externalRules are good ones, to be put under spec.
const (
	customRules = `
customMetrics:
  rules:
  - id: requests
    seriesQuery: http_requests_total{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    name: {matches: ^(.*)_total$, as: '${1}_per_second'}
    metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
`
	externalRules = `
externalMetrics:
  rules:
  - id: queue-length
    seriesQuery: queue_length{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}}}
    metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`
)

// prometheusAt is the part of a spec that names a Prometheus by its URL.
func prometheusAt(url string) string { return "prometheus: {url: '" + url + "'}\n" }

// startPrometheus returns one that answers until the story ends.
func startPrometheus(t *testing.T) *harness.Prometheus {
	t.Helper()
	prometheus := harness.StartPrometheus()
	t.Cleanup(prometheus.Stop)
	return prometheus
}

// TestPruneRules: an API whose rules are removed is pruned, and its APIService before its backend.
func TestPruneRules(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	source := prometheusAt(startPrometheus(t).URL)
	w.apply(source + customRules + externalRules)
	w.run(metricsServer, w.backend(metricsServer))
	w.run(adapter, w.backend(adapter))
	w.Eventually(w.apiServices).Should(ConsistOf(resourceAPI, customAPI, oldCustomAPI, externalAPI))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	// The external rules stay: so does the adapter.
	w.apply(source + externalRules)
	w.Eventually(w.apiServices).Should(ConsistOf(resourceAPI, externalAPI))
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules, "spec.customMetrics.rules"))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonUnavailable, adapter),
		"the adapter rolls, as its rules have changed")
	w.Expect(w.MarkDeploymentAvailable(t.Context(), harness.OperatorNamespace, adapter)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	order := w.watchDeletions()
	w.apply(source)
	w.Eventually(func() []string { return w.of(adapter) }).Should(BeEmpty())
	w.Expect(w.apiServices()).To(ConsistOf(resourceAPI))
	w.Eventually(w.api(externalAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(order()).To(ContainElements("deployments metricspipeline-system/"+adapter, "services metricspipeline-system/"+adapter))
	w.Expect(order()[0]).To(Equal("apiservices "+externalAPI), "%v", order())
	w.Eventually(w.events).Should(ContainElement(HavePrefix("ObjectsPruned: ")))
}

// watchDeletions returns a function that gives the deletions that the operator has sent, in their order.
func (w *world) watchDeletions() func() []string {
	w.Operator.Requests.Take()
	var sent []string
	return func() []string {
		sent = append(sent, w.Operator.Requests.Take()...)
		return harness.Deletions(sent)
	}
}

// of returns the managed objects of a component. Its EndpointSlices are the garbage collector's.
func (w *world) of(component string) []string {
	w.t.Helper()
	managed := slices.DeleteFunc(w.managed(), func(object metav1.PartialObjectMetadata) bool {
		return object.Labels[v1alpha1.ComponentLabel] != component || object.Kind == "EndpointSlice"
	})
	return identities(managed)
}

// TestDeletedAPIServiceAlone: an APIService that is deleted takes nothing with it, and comes back.
func TestDeletedAPIServiceAlone(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	before := w.of(metricsServer)
	apiService := &apiregv1.APIService{}
	w.Expect(w.Client.Get(t.Context(), client.ObjectKey{Name: resourceAPI}, apiService)).To(Succeed())
	w.Expect(w.Client.Delete(t.Context(), apiService)).To(Succeed())
	w.Expect(w.CollectGarbage(t.Context())).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Eventually(func() []string { return w.of(metricsServer) }).Should(ConsistOf(before))
}
