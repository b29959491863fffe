// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// warnedRules are rules that are accepted: one that can never have a value, one without series, and one that no label of the series
// leads to an object for, which is rejected alone.
const warnedRules = `
  - id: ungrouped
    seriesQuery: jobs{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
  - id: nothing-yet
    seriesQuery: orders{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  - id: unrelated
    seriesQuery: visits
    metricsQuery: sum(<<.Series>>)
`

// TestRulesThatCannotWork are in use and say so, with what Prometheus has of their series, once; a restart says it no more.
func TestRulesThatCannotWork(t *testing.T) {
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Census: prometheus.Pace{Query: time.Millisecond, Unsettled: 100 * time.Millisecond, LastUnsettled: 100 * time.Millisecond}}}})
	source := startPrometheus(t)
	const (
		requests = `{namespace!="",pod!="",__name__="http_requests_total"}`
		orders   = `{namespace!="",pod!="",__name__="orders"}`
		unnamed  = `{namespace!="",__name__="orders"}`
	)
	source.SetSeries(map[string]int{requests: 3})
	w.apply(prometheusAt(source.URL) + customRules + warnedRules)

	w.Eventually(func() []v1alpha1.RuleStatus { return w.status().Rules }).Should(HaveExactElements(
		rejected("unrelated", "resources needs a template or an override"),
		ruled("ungrouped", v1alpha1.RuleWarned, "always empty", "by (<<.GroupBy>>)"),
		SatisfyAll(ruled("nothing-yet", v1alpha1.RuleInUse, "no series"), HaveField("Series", Equal(ptr.To[int64](0)))),
		Equal(v1alpha1.RuleStatus{ID: "requests", API: customGroup, State: v1alpha1.RuleInUse, Series: ptr.To[int64](3)}),
	))
	w.Expect(w.status().RulesTotal).To(Equal(v1alpha1.RuleTotals{InUse: 2, Warned: 1, Rejected: 1}))
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("RulesWarned: "), ContainSubstring("Rule ungrouped"))))
	config := &corev1.ConfigMap{}
	w.Eventually(func() error { return w.Client.Get(t.Context(), inOperatorNamespace(adapter), config) }).Should(Succeed())
	w.Expect(config.Data["config.yaml"]).To(ContainSubstring("jobs{"), "what the adapter accepts is run")

	// Without the wrong one, the condition counts warnings and stays True. The series that come have no label of a pod.
	source.SetSeries(map[string]int{requests: 3, unnamed: 2})
	w.Eventually(func() []v1alpha1.RuleStatus { return w.status().Rules }).Should(
		ContainElement(ruled("nothing-yet", v1alpha1.RuleWarned, "wants the label pod")))
	source.SetSeries(map[string]int{requests: 3, unnamed: 2, orders: 2})
	w.Eventually(func() []v1alpha1.RuleStatus { return w.status().Rules }).Should(
		ContainElement(SatisfyAll(ruled("nothing-yet", v1alpha1.RuleInUse), HaveField("Series", Equal(ptr.To[int64](2))))))

	before, events := w.status(), len(w.events())
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
	w.Consistently(func() []v1alpha1.RuleStatus { return w.status().Rules }, "2s").Should(Equal(before.Rules))
	w.Expect(w.events()).To(HaveLen(events))
}

// TestRuleOfLaterCRD: a rule names a resource without its group, and the CRD comes later. The rule is accepted within seconds, without a
// restart, and its new pods know the resource.
func TestRuleOfLaterCRD(t *testing.T) {
	w := begin(t)
	w.apply(prometheusAt(startPrometheus(t).URL) + customRules + `
  - id: queue
    seriesQuery: queue_depth{namespace!="",job!=""}
    resources: {overrides: {namespace: {resource: namespace}, job: {resource: ox}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beFalse(v1alpha1.ReasonRulesRejected, `no resource "ox"`))
	w.rest()

	file := filepath.Join(t.TempDir(), "oxen.yaml")
	w.Expect(os.WriteFile(file, []byte(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: oxen.farm.example.com}
spec:
  group: farm.example.com
  scope: Namespaced
  names: {kind: Ox, plural: oxen, singular: ox}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`), 0o600)).To(Succeed())
	w.installCRDs(file)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beTrue())
	config := &corev1.ConfigMap{}
	w.Eventually(func() (string, error) {
		err := w.Client.Get(t.Context(), inOperatorNamespace(adapter), config)
		return config.Data["config.yaml"], err
	}).Should(ContainSubstring("resource: ox"))
}
