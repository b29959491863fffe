// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// badRules are one for each way in which a rule can be wrong that a schema cannot see.
const badRules = `
  - id: unclosed
    seriesQuery: 'unclosed{namespace="'
    resources: {template: <<.Resource>>}
    metricsQuery: sum(<<.Series>>)
  - id: wrong-query
    seriesQuery: wrong_query{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m)) by (<<.GroupBy>>)
  - id: wrong-template
    seriesQuery: wrong_template{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Nothing>>)
  - id: wrong-resource
    seriesQuery: wrong_resource{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}, thing: {resource: thingummy}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  - id: wrong-filter
    seriesQuery: wrong_filter{namespace!=""}
    seriesFilters: [{is: "("}]
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`

// TestBadRulesAreLeftOut: a rule that would stop the adapter is left out and named; the others work.
func TestBadRulesAreLeftOut(t *testing.T) {
	w := begin(t)
	w.apply(prometheusAt(startPrometheus(t).URL) + customRules + badRules)

	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(
		beFalse(v1alpha1.ReasonRulesRejected, "5 of 6 rules", "rule unclosed of spec.customMetrics"))
	status := w.status()
	w.Expect(status.RulesTotal).To(Equal(v1alpha1.RuleTotals{InUse: 1, Rejected: 5}))
	w.Expect(status.Rules).To(HaveExactElements(
		rejected("unclosed", "seriesQuery"),
		rejected("wrong-query", "metricsQuery", "PromQL"),
		rejected("wrong-template", "Nothing"),
		rejected("wrong-resource", "thing", "thingummy"),
		rejected("wrong-filter", "("),
		Equal(v1alpha1.RuleStatus{ID: "requests", API: customGroup, State: v1alpha1.RuleInUse}),
	))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())

	config := &corev1.ConfigMap{}
	w.Eventually(func() error {
		return w.Client.Get(t.Context(), inOperatorNamespace(adapter), config)
	}).Should(Succeed())
	w.Expect(config.Data["config.yaml"]).To(ContainSubstring("http_requests_total"))
	for _, word := range []string{"unclosed", "wrong_"} {
		w.Expect(config.Data["config.yaml"]).NotTo(ContainSubstring(word))
	}
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend))
	w.Eventually(w.events).Should(ContainElement(HavePrefix("RulesRejected: ")))

	// Corrected, nothing is left of it.
	w.apply(prometheusAt(startPrometheus(t).URL) + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beTrue())
	w.Expect(w.status().Rules).To(ConsistOf(HaveField("State", v1alpha1.RuleInUse)))
	w.Expect(w.status().RulesTotal).To(Equal(v1alpha1.RuleTotals{InUse: 1}))
}

// TestOnlyBadRules: an API that no rule could fill is not registered, and the status says so.
func TestOnlyBadRules(t *testing.T) {
	w := begin(t)
	only := "customMetrics:\n  rules:" + badRules
	w.apply(prometheusAt(startPrometheus(t).URL) + only)
	for _, api := range []string{customAPI, oldCustomAPI} {
		w.Eventually(w.api(api)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonConfigurationInvalid,
			"5 rules", "spec.customMetrics.rules", "status.rules"))
	}
	w.Expect(w.api(externalAPI)()).To(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonRulesRejected))
	w.Expect(w.of(adapter)).To(BeEmpty())
	w.Expect(w.apiServices()).To(BeEmpty())
}

// TestBadRulesKeepWhatWorks: rules that are all broken by an edit take nothing away that worked before.
func TestBadRulesKeepWhatWorks(t *testing.T) {
	w := begin(t)
	source := prometheusAt(startPrometheus(t).URL)
	w.apply(source + customRules)
	w.Eventually(func() []string { return w.of(adapter) }).Should(ContainElement("Deployment metricspipeline-system/" + adapter))
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beTrue())
	before := w.of(adapter)

	w.apply(source + "customMetrics:\n  rules:" + badRules)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beFalse(v1alpha1.ReasonRulesRejected, "5 of 5 rules"))
	w.rest()
	w.Expect(w.of(adapter)).To(ConsistOf(before))
	config := &corev1.ConfigMap{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(adapter), config)).To(Succeed())
	w.Expect(config.Data["config.yaml"]).To(ContainSubstring("http_requests_total"))
}

// TestLastGoodRulesOutliveTheOperator: an operator that starts anew after a bad edit has nothing to know the last good form of a rule
// by but what is stored, and goes on serving it.
func TestLastGoodRulesOutliveTheOperator(t *testing.T) {
	w := begin(t)
	source := prometheusAt(startPrometheus(t).URL)
	w.apply(source + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beTrue())
	w.rest()

	const otherRule = `
  - id: other
    seriesQuery: other_total{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`
	lastGood := func(id string, words ...string) OmegaMatcher { return ruled(id, v1alpha1.RuleLastGood, words...) }
	inUse := ruled("other", v1alpha1.RuleInUse)
	w.apply(source + strings.Replace(customRules, "metricsQuery: sum(", "metricsQuery: sum((", 1) + otherRule)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beFalse(v1alpha1.ReasonLastGoodInUse))
	w.lookAfterRestart(HaveExactElements(lastGood("requests", "metricsQuery", "sum(("), inUse))

	// Under other ids: the earlier ones are gone from the spec, and serve.
	w.apply(source + "customMetrics:\n  rules:" + badRules)
	w.Eventually(w.condition(v1alpha1.ConditionRulesAccepted)).Should(beFalse(v1alpha1.ReasonRulesRejected, "5 of 5 rules", "form: 2"))
	gone := "spec.customMetrics.rules does not have this rule any more"
	w.lookAfterRestart(ContainElements(lastGood("requests", gone), lastGood("other", gone), rejected("unclosed")))
}

// lookAfterRestart starts the operator anew, deletes the rules that the adapter runs, and expects them to be put back as they were
// and the status to have some rules.
func (w *world) lookAfterRestart(rules OmegaMatcher) {
	w.t.Helper()
	w.rest()
	before, after := &corev1.ConfigMap{}, &corev1.ConfigMap{}
	w.Expect(w.Client.Get(w.t.Context(), inOperatorNamespace(adapter), before)).To(Succeed())
	w.Expect(before.Data["config.yaml"]).To(SatisfyAll(
		ContainSubstring("sum(rate(<<.Series>>"), ContainSubstring("other_total"), Not(ContainSubstring("sum(("))))
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.Client.Delete(w.t.Context(), before)).To(Succeed())

	w.Expect(w.Start(logTo(w.t), harness.Conditions{})).To(Succeed())
	w.Eventually(func() error { return w.Client.Get(w.t.Context(), inOperatorNamespace(adapter), after) }).Should(Succeed())
	w.rest()
	w.Expect(after.Data).To(Equal(before.Data))
	w.Expect(w.status().Rules).To(rules)
}

// rejected matches what the status says of a rule that serves nothing, by its id and words of the message.
func rejected(id string, words ...string) OmegaMatcher {
	return ruled(id, v1alpha1.RuleRejected, words...)
}

// ruled is rejected for any state.
func ruled(id string, state v1alpha1.RuleState, words ...string) OmegaMatcher {
	says := []OmegaMatcher{}
	for _, word := range words {
		says = append(says, ContainSubstring(word))
	}
	return SatisfyAll(
		HaveField("ID", id),
		HaveField("API", customGroup),
		HaveField("State", state),
		HaveField("Message", SatisfyAll(says...)),
	)
}
