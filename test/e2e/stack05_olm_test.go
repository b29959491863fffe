// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestStackOLM installs the operator from a catalog, as on OpenShift or with operatorhub.io: the Operator Lifecycle Manager pulls the
// catalog's and the bundle's images from a registry and unpacks them in pods. Then it is uninstalled, and what it deployed
// serves on until the pipeline is deleted.
func TestStackOLM(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	givenOperatorAgain(t)
	g.Expect(cluster.UninstallOperator(within(t, rollout))).To(Succeed())
	givenOLM(t)
	ctx := within(t, scrape)
	scratch := t.TempDir()
	csv, bundle, err := cluster.PushBundle(ctx, scratch)
	g.Expect(err).NotTo(HaveOccurred())
	catalog, err := cluster.PushCatalog(ctx, scratch, csv, bundle)
	g.Expect(err).NotTo(HaveOccurred())

	start := time.Now()
	givenSubscription(t, catalog)
	thenSucceeded(t, csv)
	t.Logf("%s Succeeded %.1f s after the Subscription was made", csv, time.Since(start).Seconds())
	givenPlain(t)
	t.Logf("the pipeline is Ready after %.1f s", time.Since(start).Seconds())
	thenTopWorks(t)
	table, err := cluster.Kubectl(ctx, "get", "csv", csv, "-n", kit.OperatorNamespace)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(table).To(ContainSubstring("Succeeded"))

	poller := startPolling(t, nodeMetrics)
	whenUnsubscribed(t, csv)
	thenMeasuredAfter(t, time.Now())
	poller.thenNoneFailed(t)
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	thenNothingLeft(t)
}

// givenOLM installs the Operator Lifecycle Manager until the end of the test.
func givenOLM(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Host(ctx, "addon", "remove", kit.OLMAddon)).To(Succeed())
	})
	g.Expect(cluster.Host(within(t, scrape), "addon", "install", kit.OLMAddon)).To(Succeed())
}

// givenSubscription makes the catalog known and subscribes to the operator in a namespace of its own, for all namespaces.
func givenSubscription(t *testing.T, catalog string) {
	t.Helper()
	g := NewWithT(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: kit.OperatorNamespace,
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(deleteAll(ctx, "Subscription", "ClusterServiceVersion")).To(Succeed())
		// What is left by docs/olm.md: with it, install.yaml would conflict.
		left := []client.Object{namespace, &apiextv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: "metricspipelines.metricspipeline.io"}}}
		for _, role := range []string{"editor", "viewer", "operator-metrics-reader", "prometheus-adapter-aggregate"} {
			left = append(left, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "metricspipeline-" + role}})
		}
		g.Expect(cluster.Delete(ctx, left...)).To(Succeed())
	})
	group := olmObject("OperatorGroup", kit.OperatorNamespace, "metricspipeline", map[string]any{})
	group.SetAPIVersion("operators.coreos.com/v1")
	g.Expect(cluster.Apply(t.Context(), namespace,
		olmObject("CatalogSource", kit.OLMNamespace, "e2e", map[string]any{
			"sourceType": "grpc", "image": catalog, "grpcPodConfig": map[string]any{"securityContextConfig": "restricted"},
		}),
		group,
		olmObject("Subscription", kit.OperatorNamespace, kit.OLMPackage, map[string]any{
			"source": "e2e", "sourceNamespace": kit.OLMNamespace, "name": kit.OLMPackage, "channel": kit.OLMChannel,
		}),
	)).To(Succeed())
}

func olmObject(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(kit.OLMKind(kind))
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// thenSucceeded waits until OLM says that the operator is installed.
func thenSucceeded(t *testing.T, csv string) {
	t.Helper()
	object := olmObject("ClusterServiceVersion", kit.OperatorNamespace, csv, nil)
	NewWithT(t).Eventually(func() string {
		err := cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		status, _, _ := unstructured.NestedMap(object.Object, "status")
		return fmt.Sprint(status["phase"], ": ", status["message"], " ", err)
	}, rollout, often).Should(HavePrefix("Succeeded: "))
}

// whenUnsubscribed deletes the Subscription and the ClusterServiceVersion, and waits until the operator's pods are deleted.
func whenUnsubscribed(t *testing.T, csv string) {
	t.Helper()
	g := NewWithT(t)
	ctx := within(t, rollout)
	_, err := cluster.Kubectl(ctx, "delete", "subscription.operators.coreos.com", kit.OLMPackage, "-n", kit.OperatorNamespace)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = cluster.Kubectl(ctx, "delete", "csv", csv, "-n", kit.OperatorNamespace)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = cluster.Kubectl(ctx, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name="+kit.OperatorName,
		"-n", kit.OperatorNamespace, "--timeout=1m")
	g.Expect(err).NotTo(HaveOccurred())
}

// deleteAll deletes what a test that failed has left of these kinds, while OLM runs, which has to agree.
func deleteAll(ctx context.Context, kinds ...string) error {
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kit.OLMKind(kind + "List"))
		if err := cluster.Client.List(ctx, list, client.InNamespace(kit.OperatorNamespace)); err != nil {
			return err
		}
		for i := range list.Items {
			if err := cluster.Delete(ctx, &list.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// thenMeasuredAfter waits until the metrics API has a measurement of the node that began after a time.
func thenMeasuredAfter(t *testing.T, start time.Time) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		content, err := cluster.Get(t.Context(), nodeMetrics)
		g.Expect(err).NotTo(HaveOccurred())
		var nodes struct {
			Items []struct{ Timestamp time.Time }
		}
		g.Expect(json.Unmarshal(content, &nodes)).To(Succeed())
		g.Expect(nodes.Items).To(ContainElement(HaveField("Timestamp", BeTemporally(">", start))))
	}, rollout, often).Should(Succeed())
}

// thenTopWorks runs the real kubectl against the real kubelet's numbers.
func thenTopWorks(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func() (string, error) {
		return cluster.Kubectl(t.Context(), "top", "node", "--no-headers")
	}, rollout, often).Should(MatchRegexp(`(?m)^\S+ +\d+m +\d+% +[1-9]\d*Mi +\d+% *$`))
}
