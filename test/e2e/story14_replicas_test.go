// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestSecondReplicaTakesOver ends the leader of the two operators that are installed: another one repairs what is broken next, once, and writes
// nothing else.
func TestSecondReplicaTakesOver(t *testing.T) {
	for _, end := range []struct {
		name string
		of   func(*testing.T, *corev1.Pod)
	}{
		{"the leader's pod is deleted", func(t *testing.T, pod *corev1.Pod) {
			t.Helper()
			NewWithT(t).Expect(cluster.Client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(Succeed())
		}},
		// It cannot give its lease up, which has to run out.
		{"the leader is killed", func(t *testing.T, pod *corev1.Pod) {
			t.Helper()
			needTestCluster(t)
			NewWithT(t).Expect(cluster.Host(t.Context(), "fault", "kill-container", pod.Status.ContainerStatuses[0].ContainerID)).To(Succeed())
		}},
	} {
		t.Run(end.name, func(t *testing.T) { takesOver(t, end.of) })
	}
}

// TestADrainLeavesOneOperator evicts both operators, as a drain of two nodes at once does.
func TestADrainLeavesOneOperator(t *testing.T) {
	g := story(t)
	givenPlain(t)
	operators := podsOf(t, g, deployment(t, g, kit.OperatorName))
	g.Expect(operators).To(HaveLen(kit.OperatorReplicas))
	evict := func(pod *corev1.Pod) error {
		return cluster.Kube.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(),
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}})
	}
	g.Eventually(func() error { return evict(&operators[0]) }, soon, often).Should(Succeed()) // Once the budget is counted.
	g.Expect(evict(&operators[1])).To(Satisfy(apierrors.IsTooManyRequests))
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
	g.Expect(kit.Await(within(t, rollout), cluster, &appsv1.DeploymentList{}, key, kit.RolledOut)).To(Succeed())
}

// TestTheQuotaIsForTheCriticalPods: the quota counts the pods of the operator and of its components, so it is the one that a cluster
// demands that admits their priority class only beside such a quota.
func TestTheQuotaIsForTheCriticalPods(t *testing.T) {
	g := story(t)
	givenPlain(t)
	quota := &corev1.ResourceQuota{}
	g.Eventually(func(g Gomega) {
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "metricspipeline-critical-pods"}
		g.Expect(cluster.Client.Get(t.Context(), key, quota)).To(Succeed())
		g.Expect(quota.Status.Used.Pods().Value()).To(BeEquivalentTo(kit.OperatorReplicas + 2)) // And those of metrics-server.
	}, soon, often).Should(Succeed())
}

func takesOver(t *testing.T, end func(*testing.T, *corev1.Pod)) {
	t.Helper()
	g := story(t)
	givenPlain(t)
	leader, pod := thenLed(t, time.Now()), &corev1.Pod{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: kit.OperatorNamespace, Name: podOf(leader)}, pod)).To(Succeed())
	before, err := cluster.Snapshot(t.Context())
	g.Expect(err).NotTo(HaveOccurred())

	ended := time.Now()
	end(t, pod)
	g.Eventually(func() string { return thenLed(t, ended) }, rollout, often).ShouldNot(Equal(leader))
	t.Logf("another operator leads %.1f s after the end of the first", time.Since(ended).Seconds())
	thenUnchanged(t, before)

	role := &rbacv1.ClusterRole{}
	key := client.ObjectKey{Name: "metricspipeline:metrics-server"}
	g.Expect(cluster.Client.Get(t.Context(), key, role)).To(Succeed())
	rules := role.Rules
	events, err := cluster.Watch(t.Context(), &rbacv1.ClusterRoleList{}, key)
	g.Expect(err).NotTo(HaveOccurred())
	defer events.Stop()
	role.Rules = nil
	g.Expect(cluster.Client.Update(t.Context(), role)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Client.Get(t.Context(), key, role)).To(Succeed())
		g.Expect(role.Rules).To(Equal(rules))
	}, soon, often).Should(Succeed())
	thenWrites(t, events, 2)
	thenReady(t, soon)
}

// thenWrites checks that a watch, which begins with the object as it is, reports that many writes and no more.
func thenWrites(t *testing.T, events watch.Interface, want int) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(events.ResultChan(), soon).Should(Receive(HaveField("Type", watch.Added)))
	for range want {
		g.Eventually(events.ResultChan(), soon).Should(Receive(HaveField("Type", watch.Modified)))
	}
	g.Consistently(events.ResultChan(), 5*time.Second, time.Second).ShouldNot(Receive())
}
