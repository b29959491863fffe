// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestRuleFollowsFromHPA: without a rule in the spec, the adapter is deployed and the APIs are registered once an HPA asks for a metric
// that a rule follows for. A restart changes nothing, and where the spec says so nothing is derived.
func TestRuleFollowsFromHPA(t *testing.T) {
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Names: prometheus.Pace{Query: time.Millisecond, Unsettled: 100 * time.Millisecond, LastUnsettled: 100 * time.Millisecond}}}})
	source := startPrometheus(t)
	w.apply(prometheusAt(source.URL))
	w.run(metricsServer, w.backend(metricsServer))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	w.namespace("shop")
	w.make(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 2,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: "jobs_per_second"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("1"))}}}},
		}})
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules, "no rule follows"))

	source.SetNames(map[string]string{`{__name__=~"jobs[_:]per[_:]second|container_jobs_per_second|jobs_total|jobs_per_second_total|` +
		`jobs_per_second_seconds_total|container_jobs_per_second_seconds_total|container_jobs_per_second_total",namespace="shop",` +
		`pod=~"web-[a-z0-9]{1,10}-[a-z0-9]{5}"}`: "jobs_total"})
	derived := v1alpha1.RuleStatus{ID: "derived/jobs_per_second/pods", API: customGroup, State: v1alpha1.RuleInUse, Origin: v1alpha1.RuleDerived,
		Series: ptr.To[int64](1), Autoscaler: "shop/web", Autoscalers: 1, Query: "sum(rate(jobs_total{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)"}
	w.Eventually(func() []v1alpha1.RuleStatus { return w.status().Rules }).Should(Equal([]v1alpha1.RuleStatus{derived}))
	w.Expect(w.status().RulesTotal).To(Equal(v1alpha1.RuleTotals{Derived: 1}))
	config := &corev1.ConfigMap{}
	w.Eventually(func() error { return w.Client.Get(t.Context(), inOperatorNamespace(adapter), config) }).Should(Succeed())
	w.Expect(config.Data["config.yaml"]).To(ContainSubstring(`jobs_total{namespace!="",pod!=""}`))
	w.run(adapter, w.backend(adapter))
	w.Eventually(w.api(customAPI)).Should(HaveField("Available", metav1.ConditionTrue))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.condition(v1alpha1.ConditionPrometheusReady)()).To(beStatus(metav1.ConditionTrue, v1alpha1.ReasonReachable))

	w.rest()
	versions := w.versions()
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
	w.Eventually(w.Operator.Reconciles).Should(BeNumerically(">", 0))
	w.rest()
	w.Expect(w.status().Rules).To(Equal([]v1alpha1.RuleStatus{derived}))
	w.Expect(w.versions()).To(Equal(versions))

	w.apply(prometheusAt(source.URL) + "customMetrics: {derive: Disabled}\n")
	w.Eventually(func() []string { return w.of(adapter) }).Should(BeEmpty())
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules))
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(adapter), &appsv1.Deployment{})).NotTo(Succeed())
}
