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
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const adapterName = "prometheus-adapter"

// TestRotatedCredentialsRollTheAdapter changes the token, and then the authority, that the adapter has read at its start:
// new pods have to come, and no request may meet the gap between.
func TestRotatedCredentialsRollTheAdapter(t *testing.T) {
	g := story(t)
	pipeline := givenEveryAPI(t)
	token := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: "prometheus-token"},
		Data:       map[string][]byte{"token": []byte("first")},
	}
	// The cluster's Prometheus has neither certificate nor token: what counts is that the adapter reads both. So it is named, and may
	// get the token over http.
	authority := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: "prometheus-ca"},
		Data:       map[string]string{"ca.crt": string(caBundles(t, g)[kit.CustomMetricsAPI])},
	}
	without := pipeline.DeepCopy()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.ApplyPipeline(ctx, without)).To(Succeed())
		g.Expect(cluster.Delete(ctx, token, authority)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), token, authority)).To(Succeed())
	pipeline.Spec.Prometheus.Ref, pipeline.Spec.Prometheus.AllowHTTP = &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}, true
	pipeline.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: token.Name, Key: "token"}}
	pipeline.Spec.Prometheus.TLS = &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{
		ConfigMap: &v1alpha1.KeyReference{Name: authority.Name, Key: "ca.crt"}}}
	before := podNames(t, g, adapterName)
	givenPipeline(t, pipeline)
	thenReplaced(t, adapterName, before)
	poller := startPolling(t, everyAPI()[1:]...)

	for _, change := range []struct {
		what   string
		object client.Object
	}{
		{"token", &corev1.Secret{ObjectMeta: token.ObjectMeta, Data: map[string][]byte{"token": []byte("second")}}},
		{"authority", &corev1.ConfigMap{ObjectMeta: authority.ObjectMeta, Data: map[string]string{"ca.crt": authority.Data["ca.crt"] + "\n"}}},
	} {
		before = podNames(t, g, adapterName)
		start := time.Now()
		g.Expect(cluster.Apply(t.Context(), change.object)).To(Succeed())
		thenReplaced(t, adapterName, before)
		t.Logf("every pod of the adapter has the new %s after %.1f s", change.what, time.Since(start).Seconds())
	}
	thenReady(t, soon)
	poller.thenNoneFailed(t)
}

// podNames are the names of a Deployment's pods.
func podNames(t *testing.T, g Gomega, name string) []string {
	t.Helper()
	var names []string
	for _, pod := range podsOf(t, g, deployment(t, g, name)) {
		names = append(names, pod.Name)
	}
	return names
}

// settled returns the names of a Deployment's pods, and expects that it runs with all of them and that none of an earlier rollout is left,
// not even ending.
func settled(t *testing.T, g Gomega, name string) []string {
	t.Helper()
	found := deployment(t, g, name)
	g.Expect(found).To(Satisfy(kit.RolledOut))
	names := podNames(t, g, name)
	g.Expect(names).To(HaveLen(int(*found.Spec.Replicas)))
	return names
}

// settledPods waits until a Deployment is settled, and returns the names of its pods.
func settledPods(t *testing.T, name string) (names []string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) { names = settled(t, g, name) }, rollout, often).Should(Succeed())
	return names
}

// thenReplaced waits until a Deployment is settled and has none of the pods before.
func thenReplaced(t *testing.T, name string, before []string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		names := settled(t, g, name)
		for _, old := range before {
			g.Expect(names).NotTo(ContainElement(old))
		}
	}, rollout, often).Should(Succeed())
}
