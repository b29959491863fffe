// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/docs/walk"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestStackKEDAManaged: KEDA scales to zero and back on a query of the Prometheus that the operator runs, here a Prometheus object, with
// what docs/keda.md gives it: the authority, a mode by which KEDA reads that, and a way through the NetworkPolicy, which is closed before.
func TestStackKEDAManaged(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.ExternalMetrics.Rules = nil
	pipeline.Spec.Prometheus = v1alpha1.PrometheusSpec{Managed: &v1alpha1.ManagedPrometheusSpec{ScrapeInterval: "5s"}}
	whenApplied(t, pipeline)
	thenNoExternalAPI(t)
	givenAddon(t, kedaAddon)
	givenWorker(t, byQueue)
	thenReady(t, scrape)
	g.Expect(cluster.Steer(t.Context(), "external", "/queue?depth=0&queue=orders")).To(Succeed())

	from := kit.FromPod(podWith(t, kedaAddon, "app.kubernetes.io/name", "keda-operator"))
	to := net.JoinHostPort(podWith(t, kit.OperatorNamespace, "metricspipeline.io/component", "managed-prometheus").Status.PodIP, "9090")
	g.Expect(dial(t, from, to)).NotTo(BeEmpty(), "before anything is done, KEDA is not let in")
	scaler := givenDocumentedAccess(t)
	g.Eventually(func() string { return dial(t, from, to) }, soon, often).Should(BeEmpty())
	g.Expect(cluster.Apply(t.Context(), scaler)).To(Succeed())
	thenPods(t, byQueue, BeZero())
	for _, turn := range []struct {
		depth string
		pods  int
	}{{"60", kit.SampleMaxReplicas}, {"0", 0}} {
		start := time.Now()
		g.Expect(cluster.Steer(t.Context(), "external", "/queue?queue=orders&depth="+turn.depth)).To(Succeed())
		thenPods(t, byQueue, BeEquivalentTo(turn.pods))
		t.Logf("to %d pods in %.0f s", turn.pods, time.Since(start).Seconds())
	}
}

// givenDocumentedAccess gives KEDA access to the Prometheus object of the operator by the commands and manifests of docs/keda.md until the
// end of the test, and returns the ScaledObject that the page has for it, for the worker of this story.
func givenDocumentedAccess(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	content, err := os.ReadFile(filepath.Join(cluster.Root, "docs/keda.md"))
	g.Expect(err).NotTo(HaveOccurred())
	_, managed, found := strings.Cut(string(content), "\n### The Prometheus that the operator runs\n")
	g.Expect(found).To(BeTrue())
	managed, _, _ = strings.Cut(managed, "\n## ")
	document, err := walk.Read(managed)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(document.Manifests).To(HaveLen(2), "what gives access, and the ScaledObject")
	access, worker := document.Manifests[0].Content, document.Manifests[1].Content

	var commands []string
	for _, step := range document.Steps {
		if !strings.Contains(step.Command, "managed-prometheus-access") { // That one is for the Deployment, and gives its password.
			commands = append(commands, step.Command)
		}
	}
	g.Expect(len(commands)).To(Equal(len(document.Steps) - 1))
	dir := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(dir, "access.yaml"), []byte(access), 0o600)).To(Succeed())
	scaler := &unstructured.Unstructured{}
	g.Expect(yaml.Unmarshal([]byte(strings.NewReplacer("worker", byQueue, "shop", kit.SampleNamespace).Replace(worker)), scaler)).To(Succeed())
	for field, value := range map[string]int64{"minReplicaCount": 1, "maxReplicaCount": kit.SampleMaxReplicas, "idleReplicaCount": 0,
		"pollingInterval": 2, "cooldownPeriod": 5} {
		g.Expect(unstructured.SetNestedField(scaler.Object, value, "spec", field)).To(Succeed())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		if t.Failed() {
			out, err := cluster.Kubectl(ctx, "describe", "scaledobjects.keda.sh,hpa", "-n", kit.SampleNamespace)
			t.Log(out, err)
		}
		g.Expect(cluster.Delete(ctx, scaler)).To(Succeed())
		_, err := bash(ctx, dir, "kubectl delete --ignore-not-found -f access.yaml; kubectl -n keda delete secret prometheus-access")
		g.Expect(err).NotTo(HaveOccurred())
	})
	_, err = bash(within(t, soon), dir, strings.Join(append(commands, "kubectl apply -f access.yaml"), "\n"))
	g.Expect(err).NotTo(HaveOccurred())
	return scaler
}

// podWith is the pod of a namespace with this label that is ready.
func podWith(t *testing.T, namespace, label, value string) (found *corev1.Pod) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(cluster.Client.List(t.Context(), pods, client.InNamespace(namespace), client.MatchingLabels{label: value})).To(Succeed())
		g.Expect(pods.Items).To(HaveLen(1))
		found = &pods.Items[0]
		g.Expect(kit.PodReady(found)).To(BeTrue())
	}, rollout, often).Should(Succeed())
	return found
}
