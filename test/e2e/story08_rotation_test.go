// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestRotationDropsNothing deletes the authority and every serving certificate at once, while each metrics API is queried
// many times a second. The kubelet hands out the new ones when it gets to it, each pod another moment.
func TestRotationDropsNothing(t *testing.T) {
	g := story(t)
	givenEveryAPI(t)
	before := caBundles(t, g)
	poller := startPolling(t, everyAPI()...)

	start := time.Now()
	for _, secret := range certificateSecrets(t, g) {
		g.Expect(cluster.Client.Delete(t.Context(), &secret)).To(Succeed())
	}
	thenRotated(t, before)
	t.Logf("the old authority is removed from every caBundle after %.1f s", time.Since(start).Seconds())
	thenReady(t, soon)
	poller.goOn(t, 50) // Also after the rotation, which can be quick.
	poller.thenNoneFailed(t)
}

// certificateSecrets are the pipeline's Secrets of certificates, the authority's first: no reconcile may see a serving
// certificate deleted and the authority still there, and put both back with the old one.
func certificateSecrets(t *testing.T, g Gomega) []corev1.Secret {
	t.Helper()
	list := &corev1.SecretList{}
	g.Expect(cluster.Client.List(t.Context(), list, client.InNamespace(kit.OperatorNamespace),
		client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName},
		client.MatchingFields{"type": string(corev1.SecretTypeTLS)})).To(Succeed())
	isAuthority := func(secret corev1.Secret) bool { return secret.Name == "metricspipeline-ca" }
	authority := slices.IndexFunc(list.Items, isAuthority)
	g.Expect(authority).To(BeNumerically(">=", 0), "the authority's Secret")
	g.Expect(len(list.Items)).To(Equal(4), "the authority's Secret, one for each backend, and the operator's own")
	return slices.Concat(list.Items[authority:], list.Items[:authority])
}

// caBundles are the authorities by which the API server knows each backend, by APIService.
func caBundles(t *testing.T, g Gomega) map[string][]byte {
	t.Helper()
	bundles := map[string][]byte{}
	for _, name := range allAPIs {
		bundles[name] = apiService(t, g, name).Spec.CABundle
	}
	return bundles
}

// thenRotated waits until the API server knows each backend by one authority, which is not one of before.
func thenRotated(t *testing.T, before map[string][]byte) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		for name, bundle := range caBundles(t, g) {
			g.Expect(bytes.Count(bundle, []byte("BEGIN CERTIFICATE"))).To(Equal(1), "authorities of %s", name)
			g.Expect(bytes.Contains(before[name], bytes.TrimSpace(bundle))).To(BeFalse(), "%s has an authority of before", name)
		}
	}, rollout, often).Should(Succeed())
}
