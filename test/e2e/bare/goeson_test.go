// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package bare

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// goesOn: the metric of an app has a value while the authority of every certificate is replaced, while a change of the spec replaces the
// pod of a Prometheus that has no volume, and while its configuration is one that Prometheus refuses. The adapter keeps its connection to a pod for as long as that lives, so the request that is
// under way at the end of the old pod may fail. The next one has a value.
func goesOn(t *testing.T, g *WithT, cluster *kit.Cluster, pipeline *v1alpha1.MetricsPipeline) {
	t.Helper()
	asked := ask(t, cluster)

	start := time.Now()
	before := authority(t, g, cluster)
	secrets, err := cluster.CertificateSecrets(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	for _, secret := range secrets {
		g.Expect(cluster.Client.Delete(t.Context(), &secret)).To(Succeed())
	}
	g.Eventually(func(g Gomega) {
		now := authority(t, g, cluster)
		g.Expect(bytes.Count(now, []byte("BEGIN CERTIFICATE"))).To(Equal(1), "the authority of before is trusted too")
		g.Expect(now).NotTo(Equal(before))
	}, comesUp, often).Should(Succeed())
	ready(t, g, cluster)
	asked.more(t, g)
	t.Logf("another authority after %.0f s", time.Since(start).Seconds())

	start = time.Now()
	old := prometheusPods(t, g, cluster)
	pipeline.Spec.Prometheus.Managed.Retention = "3h"
	g.Expect(cluster.ApplyPipeline(t.Context(), pipeline)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(prometheusPods(t, g, cluster)).To(SatisfyAll(HaveLen(1), Not(Equal(old))))
	}, comesUp, often).Should(Succeed())
	g.Expect(kit.Await(t.Context(), cluster, &appsv1.DeploymentList{}, managedPrometheus, kit.RolledOut)).To(Succeed())
	ready(t, g, cluster)
	asked.more(t, g)
	t.Logf("another pod after %.0f s", time.Since(start).Seconds())

	refusesConfiguration(t, g, cluster)
	asked.more(t, g)
	asked.end()
	t.Logf("%d requests for the metric, of which failed: %q", asked.sent, asked.failed)
	g.Expect(asked.longest).To(BeNumerically("<=", 1), "requests that failed one after the other")
}

// refusesConfiguration: somebody breaks the configuration while no operator runs. The pod that would start with it does not, its status has
// what promtool says, and the pod of before stays. An operator writes the configuration again, and the new pod starts.
func refusesConfiguration(t *testing.T, g *WithT, cluster *kit.Cluster) {
	t.Helper()
	start := time.Now()
	serving := prometheusPods(t, g, cluster)
	operators := func(number int) {
		_, err := cluster.Kubectl(t.Context(), "-n", kit.OperatorNamespace, "scale", "deployment", kit.OperatorName, fmt.Sprintf("--replicas=%d", number))
		g.Expect(err).NotTo(HaveOccurred())
		key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
		g.Expect(kit.Await(t.Context(), cluster, &appsv1.DeploymentList{}, key, kit.RolledOut)).To(Succeed())
	}
	operators(0)
	config := &corev1.ConfigMap{}
	g.Expect(cluster.Client.Get(t.Context(), managedPrometheus, config)).To(Succeed())
	config.Data["prometheus.yaml"] += "nonsense: true\n"
	g.Expect(cluster.Client.Update(t.Context(), config)).To(Succeed())
	_, err := cluster.Kubectl(t.Context(), "-n", kit.OperatorNamespace, "rollout", "restart", "deployment/managed-prometheus")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func(g Gomega) {
		list := &corev1.PodList{}
		g.Expect(cluster.Client.List(t.Context(), list, ofPrometheus...)).To(Succeed())
		g.Expect(list.Items).To(ContainElement(HaveField("Status.InitContainerStatuses", ContainElement(
			HaveField("LastTerminationState.Terminated", HaveValue(HaveField("Message", ContainSubstring("nonsense"))))))))
	}, comesUp, often).Should(Succeed())
	g.Expect(prometheusPods(t, g, cluster)).To(ContainElements(serving))

	operators(kit.OperatorReplicas)
	g.Eventually(func(g Gomega) {
		g.Expect(prometheusPods(t, g, cluster)).To(SatisfyAll(HaveLen(1), Not(Equal(serving))))
	}, comesUp, often).Should(Succeed())
	ready(t, g, cluster)
	t.Logf("a configuration that is refused, and another pod after %.0f s", time.Since(start).Seconds())
}

// managedPrometheus is the name of its Deployment and of its ConfigMap, and ofPrometheus selects its pods.
var (
	managedPrometheus = client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "managed-prometheus"}
	ofPrometheus      = []client.ListOption{client.InNamespace(kit.OperatorNamespace),
		client.MatchingLabels{v1alpha1.ComponentLabel: "managed-prometheus"}}
)

// authority is what clients of Prometheus verify it by.
func authority(t *testing.T, g Gomega, cluster *kit.Cluster) []byte {
	t.Helper()
	access := &corev1.Secret{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "managed-prometheus-access"}
	g.Expect(cluster.Client.Get(t.Context(), key, access)).To(Succeed())
	return access.Data["ca.crt"]
}

// prometheusPods are the names of its pods, those included that are going.
func prometheusPods(t *testing.T, g Gomega, cluster *kit.Cluster) []string {
	t.Helper()
	list := &corev1.PodList{}
	g.Expect(cluster.Client.List(t.Context(), list, ofPrometheus...)).To(Succeed())
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names
}

// answers is how long an answer is waited for: one that hangs is none.
const answers = 2 * time.Second

// asking requests the metric of the app again and again.
type asking struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	sent   int
	failed []string
	// running is how many have failed one after the other by now, longest the most of them.
	running, longest int
}

func ask(t *testing.T, cluster *kit.Cluster) *asking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{cancel: cancel}
	a.done.Go(func() {
		ticks := time.NewTicker(often)
		defer ticks.Stop()
		for ; ; <-ticks.C {
			within, cancel := context.WithTimeout(ctx, answers)
			pods, err := values(within, cluster, "http_requests_per_second")
			cancel()
			if ctx.Err() != nil {
				return
			}
			a.mu.Lock()
			a.sent++
			if err != nil || pods == 0 {
				a.failed = append(a.failed, fmt.Sprintf("%s: a value of %d pods, error %v", time.Now().Format(time.TimeOnly), pods, err))
				a.running++
			} else {
				a.running = 0
			}
			a.longest = max(a.longest, a.running)
			a.mu.Unlock()
		}
	})
	t.Cleanup(a.end)
	return a
}

// more waits for twenty more answers.
func (a *asking) more(t *testing.T, g *WithT) {
	t.Helper()
	number := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.sent
	}
	g.Eventually(number, comesUp, often).Should(BeNumerically(">=", number()+20))
}

// end waits for the last answer.
func (a *asking) end() {
	a.cancel()
	a.done.Wait()
}
