// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const resourceBackend = "metrics-server"

// TestForeignMetricsServerIsTakenOverAndGivenBack begins on a cluster that has metrics-server as its own project installs
// it: it is observed, then taken over without a failed request, then given back.
func TestForeignMetricsServerIsTakenOverAndGivenBack(t *testing.T) {
	g := story(t)
	upstream := givenUpstream(t)
	theirs := apiService(t, g, kit.ResourceMetricsAPI)

	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	state := kit.APIService(thePipeline(t, g), kit.ResourceMetricsAPI)
	g.Expect(state).To(HaveField("Owner", ContainSubstring("kubectl")), "who has applied it")
	g.Expect(state).To(HaveField("Owner", ContainSubstring("kube-system/metrics-server")), "the Service that it leads to")
	g.Expect(apiService(t, g, kit.ResourceMetricsAPI).Spec).To(Equal(theirs.Spec))
	thenNoBackend(t)

	poller := startPolling(t, nodeMetrics)
	pipeline.Spec.ResourceMetrics.Policy = v1alpha1.PolicyTakeOver
	whenApplied(t, pipeline)
	start := time.Now()
	thenResourceMetricsFrom(t, kit.OperatorNamespace)
	t.Logf("taken over %.1f s after the policy", time.Since(start).Seconds())
	taken := apiService(t, g, kit.ResourceMetricsAPI)
	g.Expect(taken.UID).To(Equal(theirs.UID), "it is switched, not deleted and made again")
	g.Expect(taken.Spec.InsecureSkipTLSVerify).To(BeFalse())
	thenReady(t, rollout)
	poller.goOn(t, 50)
	poller.thenNoneFailed(t)
	g.Expect(upstreamDeployment(t, g)).To(Satisfy(kit.RolledOut), "what is not ours is not touched")

	pipeline.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		err := cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(taken), taken.DeepCopy())
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "APIService of ours: %v", err)
	}, soon, often).Should(Succeed())
	thenNoBackend(t)
	thenReady(t, soon)

	// The group is free for them as if we had never been there.
	g.Expect(upstream.Install(within(t, rollout))).To(Succeed())
	thenResourceMetricsFrom(t, "kube-system")
	thenServed(t, nodeMetrics, rollout)
	// Ready was True all the time, so it does not say that the status has caught up.
	g.Eventually(func(g Gomega) {
		g.Expect(kit.APIService(thePipeline(t, g), kit.ResourceMetricsAPI)).To(HaveField("Owner", ContainSubstring("kubectl")))
	}, soon, often).Should(Succeed())
	thenReady(t, soon)
}

// givenUpstream installs metrics-server from its own project's manifests until the end of the test, in a cluster without a
// pipeline, and waits until it serves.
func givenUpstream(t *testing.T) *kit.Upstream {
	t.Helper()
	g := NewWithT(t)
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	upstream, err := cluster.Upstream(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		logFailure(t)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		// What the pipeline has of it by now is in the way of its manifests otherwise.
		g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
		g.Expect(upstream.Remove(ctx)).To(Succeed())
		g.Expect(upstream.Close()).To(Succeed())
	})
	g.Expect(upstream.Install(within(t, rollout))).To(Succeed())
	thenResourceMetricsFrom(t, "kube-system")
	thenServed(t, nodeMetrics, rollout)
	return upstream
}

// thenResourceMetricsFrom waits until the resource metrics API leads to a Service of a namespace and is available.
func thenResourceMetricsFrom(t *testing.T, namespace string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		api := apiService(t, g, kit.ResourceMetricsAPI)
		g.Expect(api.Spec.Service).To(HaveField("Namespace", namespace))
		condition := available(api)
		g.Expect(string(condition.Status)).To(Equal(string(metav1.ConditionTrue)), "%s: %s", condition.Reason, condition.Message)
	}, rollout, often).Should(Succeed())
}

// thenNoBackend waits until the operator runs no metrics-server.
func thenNoBackend(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: resourceBackend}
		err := cluster.Client.Get(t.Context(), key, &appsv1.Deployment{})
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "Deployment of ours: %v", err)
	}, soon, often).Should(Succeed())
}

// upstreamDeployment reads the Deployment of metrics-server's own project.
func upstreamDeployment(t *testing.T, g Gomega) *appsv1.Deployment {
	t.Helper()
	found := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: "kube-system", Name: resourceBackend}
	g.Expect(cluster.Client.Get(t.Context(), key, found)).To(Succeed())
	return found
}
