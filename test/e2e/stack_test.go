// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// The stories beside KEDA, VPA, Traefik, OLM and on the next Kubernetes are those whose names begin with TestStack. make test-stack runs
// them, make test-e2e does not.
const (
	stackPattern  = "^TestStack"
	stackFile     = "stack.txt"
	stackPreamble = `# The stories that the operator went through beside KEDA, VPA, Traefik, OLM and on the next Kubernetes: written by make test-stack,
# never by hand. make presubmit runs them again when the sources are others than these, see hack/verify-stack.sh.
`
)

// stackSources is the digest of what the stories of the stack are about; without it they are no proof.
var stackSources = flag.String("stack", "", "digest to write into the proof of the stack")

// stories are the names of those that have run.
var stories []string

// proveStack writes down that all stories of the stack have passed. A run of some of them, or elsewhere than on the test cluster, which
// leaves some out, is no proof.
func proveStack() error {
	if *stackSources == "" || flag.Lookup("test.run").Value.String() != stackPattern || !kit.HasTestCluster() {
		return nil
	}
	slices.Sort(stories)
	content := stackPreamble + "sources sha256:" + *stackSources + "\n" + strings.Join(stories, "\n") + "\n"
	return os.WriteFile(stackFile, []byte(content), 0o644)
}

// givenAddon installs an addon of the test cluster until the end of the test.
func givenAddon(t *testing.T, name string) {
	t.Helper()
	needTestCluster(t)
	g := NewWithT(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		if t.Failed() {
			for _, args := range [][]string{
				{"get", "pods", "--all-namespaces"}, {"logs", "--namespace=keda", "--selector=app.kubernetes.io/name=keda-operator", "--tail=40"},
			} {
				out, err := cluster.Kubectl(ctx, args...)
				t.Log(out, err)
			}
		}
		g.Expect(cluster.Host(ctx, "addon", "remove", name)).To(Succeed())
	})
	// What it is built of comes first, and takes as long as it takes.
	g.Expect(cluster.Host(t.Context(), "addon", "install", name)).To(Succeed())
}

// givenWorker deploys an instance of the sample application that nothing scrapes or asks for anything, until the end of the test.
func givenWorker(t *testing.T, name string) {
	t.Helper()
	g := NewWithT(t)
	worker := kit.SampleApp(name)[0]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Delete(ctx, worker)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), worker)).To(Succeed())
	key := client.ObjectKeyFromObject(worker)
	g.Expect(kit.Await(within(t, rollout), cluster, &appsv1.DeploymentList{}, key, kit.RolledOut)).To(Succeed())
}

// thenPods waits until an instance has a number of pods that fits, all of them ready.
func thenPods(t *testing.T, name string, number OmegaMatcher) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(pods(t, g, name)).To(number)
	}, scrape, often).Should(Succeed(), name)
}

// thenExplainedAs waits until the status, an Event on the HPA and the command line give this reason for an HPA of the samples.
func thenExplainedAs(t *testing.T, name, reason string) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		g.Expect(thePipeline(t, g).Status.Autoscalers).To(HaveField("Failing", ContainElement(SatisfyAll(
			HaveField("Namespace", kit.SampleNamespace), HaveField("Name", name), HaveField("Reason", reason)))))
		events := &corev1.EventList{}
		g.Expect(cluster.Client.List(t.Context(), events, client.InNamespace(kit.SampleNamespace), client.MatchingFields{
			"involvedObject.kind": "HorizontalPodAutoscaler", "involvedObject.name": name, "reason": reason})).To(Succeed())
		g.Expect(events.Items).NotTo(BeEmpty())
	}, scrape, often).Should(Succeed())
	code, out := why(t, kit.SampleNamespace, name)
	t.Log(out)
	g.Expect(code).To(Equal(1), out)
	g.Expect(out).To(ContainSubstring(reason))
}

// thenNotFailing waits until the status names no HPA of the samples, and the command line says that this one works.
func thenNotFailing(t *testing.T, name string) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		code, out := why(t, kit.SampleNamespace, name)
		g.Expect(code).To(Equal(0), out)
		g.Expect(thePipeline(t, g).Status.Autoscalers).To(HaveField("Failing", Not(ContainElement(HaveField("Name", name)))))
	}, scrape, often).Should(Succeed())
}
