// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestKubeSystem installs the operator into kube-system by the overlay of docs/install.md. The components run there too, and what
// was there before stays when all of it goes.
func TestKubeSystem(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	givenOperatorAgain(t)
	g.Expect(cluster.UninstallOperator(within(t, rollout))).To(Succeed())
	before := &corev1.Namespace{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, before)).To(Succeed())

	overlay := givenOverlay(t, metav1.NamespaceSystem)
	_, err := cluster.Kubectl(within(t, rollout), "apply", "--server-side", "-k", overlay)
	g.Expect(err).NotTo(HaveOccurred())
	givenPlain(t)
	thenTopWorks(t)
	deployments := &appsv1.DeploymentList{}
	g.Expect(cluster.Client.List(t.Context(), deployments, client.InNamespace(metav1.NamespaceSystem))).To(Succeed())
	var names []string
	for _, deployment := range deployments.Items {
		names = append(names, deployment.Name)
		if deployment.Name == metricsServer {
			g.Expect(deployment.Spec.Template.Spec.PriorityClassName).To(Equal("system-cluster-critical"), "kube-system admits it")
		}
	}
	g.Expect(names).To(ContainElements(kit.OperatorName, metricsServer))

	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	thenNothingLeft(t)
	_, err = cluster.Kubectl(within(t, rollout), "delete", "--ignore-not-found", "-k", overlay)
	g.Expect(err).NotTo(HaveOccurred())
	left, err := cluster.Labeled(t.Context(), client.MatchingLabels{"app.kubernetes.io/part-of": "metricspipeline"}, true)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kit.Names(left)).To(BeEmpty())
	after := &corev1.Namespace{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(before), after)).To(Succeed())
	g.Expect(after.Labels).To(Equal(before.Labels))
}

// givenOverlay writes an overlay that installs the operator into a namespace that is there, and takes it back at the end.
func givenOverlay(t *testing.T, namespace string) string {
	t.Helper()
	g := NewWithT(t)
	at := strings.LastIndex(kit.OperatorImage(), ":")
	overlay := filepath.Join("dist", "overlay-"+namespace) // Bases are relative to it.
	g.Expect(os.MkdirAll(filepath.Join(cluster.Root, overlay), 0o755)).To(Succeed())
	t.Cleanup(func() {
		logFailure(t)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
		_, err := cluster.Kubectl(ctx, "delete", "--ignore-not-found", "-k", overlay)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.RemoveAll(filepath.Join(cluster.Root, overlay))).To(Succeed())
	})
	g.Expect(os.WriteFile(filepath.Join(cluster.Root, overlay, "kustomization.yaml"), fmt.Appendf(nil, `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../config/default
namespace: %s
components:
- ../../config/components/existing-namespace
images:
- name: ghcr.io/metricspipeline/operator
  newName: %s
  newTag: %s
`, namespace, kit.OperatorImage()[:at], kit.OperatorImage()[at+1:]), 0o600)).To(Succeed())
	return overlay
}
