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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// Who has signed the kubelet's certificate, as bin/cluster names it.
const (
	signedByCluster = "cluster"
	signedByItself  = "itself"
	signedByAnother = "another"
)

// TestKubeletsThatCannotBeVerified begins as kind, minikube and kubeadm do, with a kubelet that has signed its certificate itself: the
// status says so within seconds, and each remedy makes the pipeline ready.
func TestKubeletsThatCannotBeVerified(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	whenSigned(t, signedByItself)
	plain, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	start := time.Now()
	whenApplied(t, plain)
	condition := thenCondition(t, soon, v1alpha1.ConditionComponentsReady, metav1.ConditionFalse, v1alpha1.ReasonKubeletsUnverified)
	t.Logf("the status says why after %.1f s", time.Since(start).Seconds())
	g.Expect(condition.Message).To(SatisfyAll(
		MatchRegexp(`x509: cannot validate certificate for \S+ because it doesn't contain any IP SANs`),
		ContainSubstring("serverTLSBootstrap: true"), ContainSubstring("spec.metricsServer.kubelet.tls.verification: Insecure")))
	thenNodes(t, 0, v1alpha1.NodeNameMismatch)

	kind, err := cluster.Sample(kit.SampleKind)
	g.Expect(err).NotTo(HaveOccurred())
	whenApplied(t, kind)
	thenReady(t, rollout)
	thenNodes(t, 1)

	// As where a kubelet CA has signed them: it is named, and verified by.
	authority := whenSigned(t, signedByAnother)
	bundle := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: "kubelet-ca"},
		Data: map[string]string{"ca.crt": authority}}
	named := kind.DeepCopy()
	named.Spec.MetricsServer.Kubelet.TLS = v1alpha1.KubeletTLS{
		CA: &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{Name: bundle.Name, Key: "ca.crt"}}}
	whenApplied(t, named)
	thenCondition(t, soon, v1alpha1.ConditionComponentsReady, metav1.ConditionFalse, v1alpha1.ReasonKubeletCAMissing)
	t.Cleanup(func() {
		g.Expect(cluster.Delete(context.WithoutCancel(t.Context()), bundle)).To(Succeed())
	})
	g.Expect(cluster.Apply(within(t, soon), bundle)).To(Succeed())
	thenReady(t, rollout)
	g.Expect(thenCondition(t, soon, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady).Message).NotTo(
		ContainSubstring("Insecure"))
	thenNodes(t, 1)
	g.Expect(cluster.Kubectl(within(t, soon), "top", "node", "--no-headers")).To(MatchRegexp(`(?m)^\S+ +\d+m `))
}

// whenSigned has the kubelet's certificate signed, and returns who signed it. In the end it is the cluster's again.
func whenSigned(t *testing.T, by string) string {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		_, err := cluster.SignKubelet(ctx, signedByCluster)
		g.Expect(err).NotTo(HaveOccurred())
	})
	authority, err := cluster.SignKubelet(within(t, rollout), by)
	g.Expect(err).NotTo(HaveOccurred())
	return authority
}

// thenNodes waits until status.nodes has its one node with metrics or without, and why.
func thenNodes(t *testing.T, with int32, reasons ...v1alpha1.NodeFailureReason) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		nodes := thePipeline(t, g).Status.Nodes
		g.Expect(nodes).To(HaveValue(SatisfyAll(HaveField("Total", int32(1)), HaveField("WithMetrics", with))))
		var found []v1alpha1.NodeFailureReason
		for _, failing := range nodes.Failing {
			found = append(found, failing.Reason)
		}
		g.Expect(found).To(ConsistOf(reasons))
	}, counts, often).Should(Succeed())
}
