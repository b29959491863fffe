// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// allAPIs are the APIServices of a pipeline with custom and external rules.
var allAPIs = []string{kit.ResourceMetricsAPI, kit.OldCustomMetrics, kit.CustomMetricsAPI, kit.ExternalMetricsAPI}

const (
	requestRate = "http_requests_per_second"
	// The same rule gives the rate of all pods behind a Service.
	serviceMetric = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + kit.SampleNamespace + "/services/object/" + requestRate
	queueDepth    = "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + kit.SampleNamespace + "/queue_depth?labelSelector=queue%3Dorders"
)

// podMetric is the path of a metric of every pod of the sample application.
func podMetric(version, name string) string {
	return fmt.Sprintf("/apis/custom.metrics.k8s.io/%s/namespaces/%s/pods/*/%s", version, kit.SampleNamespace, name)
}

// metricItems returns how many values a metrics API answers with at a path.
func metricItems(ctx context.Context, path string) (int, error) {
	answer, err := cluster.Get(ctx, path)
	if err != nil {
		return 0, err
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return 0, fmt.Errorf("GET %s: %w: %s", path, err, answer)
	}
	return len(list.Items), nil
}

// thenServed waits until a metrics API answers with values at a path.
func thenServed(t *testing.T, path string, limit time.Duration) {
	t.Helper()
	NewWithT(t).Eventually(func() (int, error) { return metricItems(t.Context(), path) }, limit, often).Should(BeNumerically(">", 0))
}

// TestRulesServeMetrics applies the fuller sample and requests a metric of each API.
func TestRulesServeMetrics(t *testing.T) {
	g := story(t)
	start := time.Now()
	givenRules(t)
	t.Logf("Ready with rules after %.1f s", time.Since(start).Seconds())

	pipeline := thePipeline(t, g)
	g.Expect(pipeline.Status.Prometheus).To(HaveField("URL", ContainSubstring("monitoring")), "the only Prometheus object of the cluster")
	for _, name := range allAPIs {
		state := kit.APIService(pipeline, name)
		g.Expect(state).NotTo(BeNil(), name)
		g.Expect(state.Available).To(Equal(metav1.ConditionTrue), "%s: %s: %s", name, state.Reason, state.Message)
	}
	thenServed(t, podMetric("v1beta1", requestRate), scrape)
	thenServed(t, podMetric("v1beta2", requestRate), soon)
	thenServed(t, serviceMetric, soon)
	thenServed(t, queueDepth, soon)
}

// TestEveryAPIIsVerified reads the APIServices themselves: a status could claim anything.
func TestEveryAPIIsVerified(t *testing.T) {
	g := story(t)
	givenRules(t)
	list := &apiregv1.APIServiceList{}
	g.Expect(cluster.Client.List(t.Context(), list)).To(Succeed())
	found := map[string]bool{}
	for _, api := range list.Items {
		g.Expect(api.Spec.InsecureSkipTLSVerify).To(BeFalse(), api.Name)
		if api.Spec.Service == nil {
			continue // Served by the API server itself.
		}
		found[api.Name] = true
		g.Expect(api.Spec.CABundle).NotTo(BeEmpty(), api.Name)
		g.Expect(api.Labels).To(HaveKeyWithValue(v1alpha1.ManagedLabel, v1alpha1.SingletonName), api.Name)
	}
	for _, name := range allAPIs {
		g.Expect(found).To(HaveKey(name))
	}
}

// TestRuleChangesWithoutAGap requests a metric many times while prometheus-adapter gets a new rule: each time there is an
// answer with values, whichever replica gives it.
func TestRuleChangesWithoutAGap(t *testing.T) {
	g := story(t)
	pipeline := givenRules(t)
	thenServed(t, podMetric("v1beta2", requestRate), scrape)

	poller := startPolling(t, podMetric("v1beta2", requestRate))
	added := *pipeline.Spec.CustomMetrics.Rules[0].DeepCopy()
	added.ID, added.Name.As = "per-minute", "${1}_per_minute"
	added.MetricsQuery = "60 * " + added.MetricsQuery
	pipeline.Spec.CustomMetrics.Rules = append(pipeline.Spec.CustomMetrics.Rules, added)
	whenApplied(t, pipeline)

	start := time.Now()
	thenServed(t, podMetric("v1beta2", "http_requests_per_minute"), rollout)
	t.Logf("the new rule serves after %.1f s", time.Since(start).Seconds())
	// Only now the last old replica is deleted, and a request could still be sent to it while it ends.
	g.Eventually(func(g Gomega) {
		adapter := deployment(t, g, "prometheus-adapter")
		g.Expect(adapter).To(Satisfy(kit.RolledOut))
		g.Expect(podsOf(t, g, adapter)).To(HaveLen(int(*adapter.Spec.Replicas)))
	}, rollout, often).Should(Succeed())
	thenReady(t, rollout)

	poller.thenNoneFailed(t)
}

// TestBrokenRuleIsNamed puts rules that prometheus-adapter would exit at, and one that it accepts and that never has a value, beside one
// that works.
func TestBrokenRuleIsNamed(t *testing.T) {
	g := story(t)
	pipeline := givenRules(t)
	thenServed(t, podMetric("v1beta2", requestRate), scrape)

	good := pipeline.Spec.CustomMetrics.Rules[0]
	badQuery, badName := *good.DeepCopy(), *good.DeepCopy()
	badQuery.ID, badName.ID = "bad-query", "bad-name"
	badQuery.MetricsQuery = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m]) by (<<.GroupBy>>)"
	badName.Name.Matches = "^(http_("
	added := *good.DeepCopy()
	added.ID, added.Name.As = "per-hour", "${1}_per_hour"
	ungrouped := *good.DeepCopy()
	ungrouped.ID, ungrouped.Name.As = "ungrouped", "${1}_ungrouped"
	ungrouped.MetricsQuery = "sum(<<.Series>>{<<.LabelMatchers>>})"
	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{badQuery, good, badName, ungrouped, added}
	whenApplied(t, pipeline)

	condition := thenCondition(t, soon, v1alpha1.ConditionRulesAccepted, metav1.ConditionFalse, v1alpha1.ReasonRulesRejected)
	g.Expect(condition.Message).To(ContainSubstring("bad-query"))
	status := thePipeline(t, g).Status
	g.Expect(status.RulesTotal).To(HaveField("Rejected", BeEquivalentTo(2)))
	g.Expect(status.Rules[:2]).To(HaveExactElements(
		And(HaveField("ID", "bad-query"), HaveField("Message", ContainSubstring("is not PromQL"))),
		And(HaveField("ID", "bad-name"), HaveField("Message", ContainSubstring(badName.Name.Matches))),
	))
	g.Expect(status.Rules[2]).To(And(HaveField("ID", "ungrouped"), HaveField("State", v1alpha1.RuleWarned),
		HaveField("Message", ContainSubstring("always empty"))))
	g.Expect(status.Rules[3:]).To(HaveEach(And(HaveField("State", v1alpha1.RuleInUse), HaveField("Message", ""))))
	g.Eventually(func(g Gomega) { // What Prometheus has is counted after that.
		g.Expect(thePipeline(t, g).Status.Rules[3:]).To(HaveEach(HaveField("Series", HaveValue(BeNumerically(">", 0)))))
	}, soon, often).Should(Succeed())
	// The rules between and after the broken ones work, a new one included.
	thenServed(t, podMetric("v1beta2", "http_requests_per_hour"), rollout)
	thenServed(t, podMetric("v1beta2", requestRate), soon)
	thenCondition(t, soon, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRulesRejected)

	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{good}
	whenApplied(t, pipeline)
	thenCondition(t, soon, v1alpha1.ConditionRulesAccepted, metav1.ConditionTrue, v1alpha1.ReasonAllAccepted)
	thenReady(t, rollout)
}

// apiService reads an APIService.
func apiService(t *testing.T, g Gomega, name string) *apiregv1.APIService {
	t.Helper()
	found := &apiregv1.APIService{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Name: name}, found)).To(Succeed())
	return found
}
