// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// bothBackends are the components that have pods.
var bothBackends = []string{resourceBackend, adapterName}

// beside is a patch that puts a container beside that of each component.
func beside() v1alpha1.Patch {
	return v1alpha1.Patch{Target: v1alpha1.PatchTarget{Kind: "Deployment"}, Patch: `
spec:
  template:
    spec:
      containers:
      - name: beside
        image: ` + kit.SampleImage() + `
        args: [--port=0]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`}
}

// TestHostNetwork: both components serve in the network of the only node, where a rollout ends although the port is free only once an
// old pod has ended. More pods than nodes are said to be. The log that kubectl shows is the component's, whatever a patch puts beside it.
func TestHostNetwork(t *testing.T) {
	g := story(t)
	givenPrivileged(t)
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.Patches = []v1alpha1.Patch{beside()}
	each(&pipeline.Spec, func(o *v1alpha1.ComponentOptions) { o.HostNetwork, o.Replicas = true, ptr.To[int32](1) })
	pipeline.Spec.PrometheusAdapter.Port = ptr.To[int32](14444)
	givenPipeline(t, pipeline)
	thenEveryAPI(t)
	before := map[string][]string{}
	for name, port := range map[string]int32{resourceBackend: 4443, adapterName: 14444} {
		for _, pod := range podsOf(t, g, deployment(t, g, name)) {
			g.Expect(pod.Status.PodIP).To(Equal(pod.Status.HostIP), name)
			g.Expect(pod.Spec.Containers).To(HaveLen(2), name)
			g.Expect(pod.Spec.Containers[0].Ports[0].HostPort).To(Equal(port), name)
		}
		before[name] = podNames(t, g, name)
		log, err := cluster.Kubectl(within(t, soon), "logs", "-n", kit.OperatorNamespace, "deployment/"+name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(log).To(ContainSubstring("Serving securely on"), name)
	}

	pipeline.Spec.MetricsServer.ExtraArgs, pipeline.Spec.PrometheusAdapter.ExtraArgs = []string{"--v=1"}, []string{"--v=1"}
	start := time.Now()
	whenApplied(t, pipeline)
	stalled := false
	g.Eventually(func(g Gomega) {
		stalled = stalled || slices.ContainsFunc(thePipeline(t, g).Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue
		})
		for _, name := range bothBackends {
			g.Expect(podNames(t, g, name)).To(HaveLen(1), name)
			g.Expect(podNames(t, g, name)).NotTo(Equal(before[name]), name)
		}
	}, rollout, often).Should(Succeed())
	thenReady(t, rollout)
	thenEveryAPI(t)
	g.Expect(stalled).To(BeFalse(), "a pod that waits for its predecessor to end waits for no person")
	t.Logf("rolled out on one node after %.1f s", time.Since(start).Seconds())

	pipeline.Spec.MetricsServer.Replicas = ptr.To[int32](2)
	whenApplied(t, pipeline)
	condition := thenCondition(t, rollout, v1alpha1.ConditionComponentsReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadStuck)
	g.Expect(condition.Message).To(SatisfyAll(ContainSubstring("didn't have free ports"), ContainSubstring("lower its replicas")))
}

// givenPrivileged has the operator's namespace admit every pod, by the command that the status names, until the end of the test.
func givenPrivileged(t *testing.T) {
	t.Helper()
	label := func(ctx context.Context, level string) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: kit.OperatorNamespace}}
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":%q}}}`, level)
		return cluster.Client.Patch(ctx, namespace, client.RawPatch(types.MergePatchType, patch))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		NewWithT(t).Expect(label(ctx, "restricted")).To(Succeed())
	})
	NewWithT(t).Expect(label(within(t, soon), "privileged")).To(Succeed())
}
