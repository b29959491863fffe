// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
	"github.com/metricspipeline/operator/test/e2e/puppets"
)

const (
	healthyScalers, healthyNamespaces = 200, 8
	// periods are some of the HPA controller, which looks every 5 seconds here.
	periods = 10 * time.Second
)

// TestNoneNamedWhereAllWork: of two hundred HPAs that work none is named, in the status, by an Event or in the metrics, neither while they
// come up, nor later, nor after a restart of the operator.
func TestNoneNamedWhereAllWork(t *testing.T) {
	g := story(t)
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	pipeline.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled // The Node of puppets has no kubelet.
	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{puppets.Rule()}
	whenApplied(t, pipeline)
	fleet, start := puppets.New(cluster, healthyScalers, healthyNamespaces), time.Now()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(fleet.Remove(ctx)).To(Succeed())
	})
	g.Expect(fleet.Begin(within(t, rollout))).To(Succeed())
	t.Logf("%d HPAs are there after %.0f s", healthyScalers, time.Since(start).Seconds())
	g.Eventually(func(g Gomega) {
		thenNoneNamed(t, g, fleet)
		working, err := fleet.Working(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(working).To(Equal(healthyScalers))
	}, scrape, time.Second).Should(Succeed())
	t.Logf("all of them have a value after %.0f s", time.Since(start).Seconds())
	thenNoneNamedFor(t, fleet, periods)

	old := podsOf(t, g, deployment(t, g, kit.OperatorName))
	for i := range old {
		g.Expect(cluster.Delete(within(t, soon), &old[i])).To(Succeed())
	}
	g.Eventually(func(g Gomega) {
		thenNoneNamed(t, g, fleet)
		g.Expect(kit.RolledOut(deployment(t, g, kit.OperatorName))).To(BeTrue())
	}, rollout, time.Second).Should(Succeed())
	thenLed(t, time.Now())
	t.Logf("the operator has been started anew after %.0f s", time.Since(start).Seconds())
	g.Eventually(func(g Gomega) {
		thenNoneNamed(t, g, fleet)
		all := thePipeline(t, g).Status.Autoscalers // It may be a minute old.
		g.Expect(all).NotTo(BeNil())
		g.Expect(all.Total).To(BeNumerically(">=", healthyScalers))
		g.Expect(all.Working).To(Equal(all.Total))
	}, counts, time.Second).Should(Succeed())
	thenNoneNamedFor(t, fleet, periods)
	thenCondition(t, soon, v1alpha1.ConditionAutoscalersServed, metav1.ConditionTrue, v1alpha1.ReasonServed)
	thenReady(t, soon)
	failing, _, err := cluster.Query(t.Context(), "sum(metricspipeline_autoscaler_failing)")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(failing).To(BeZero())
	t.Logf("none of them was named in %.0f s", time.Since(start).Seconds())
}

// thenNoneNamedFor looks for a time.
func thenNoneNamedFor(t *testing.T, fleet *puppets.Fleet, looking time.Duration) {
	t.Helper()
	NewWithT(t).Consistently(func(g Gomega) { thenNoneNamed(t, g, fleet) }, looking, time.Second).Should(Succeed())
}

// thenNoneNamed looks where an HPA would be named that fails.
func thenNoneNamed(t *testing.T, g Gomega, fleet *puppets.Fleet) {
	t.Helper()
	status := thePipeline(t, g).Status
	if status.Autoscalers != nil {
		g.Expect(status.Autoscalers.Failing).To(BeEmpty())
	}
	served := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAutoscalersServed)
	g.Expect(served == nil || served.Status != metav1.ConditionFalse).To(BeTrue(), "%+v", served)
	for _, namespace := range fleet.Namespaces() {
		events := &corev1.EventList{}
		g.Expect(cluster.Client.List(t.Context(), events, client.InNamespace(namespace), client.MatchingFields{
			"involvedObject.kind": "HorizontalPodAutoscaler", "reportingComponent": kit.OperatorName})).To(Succeed())
		g.Expect(events.Items).To(BeEmpty())
	}
}
