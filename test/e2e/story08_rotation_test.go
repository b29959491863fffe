// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
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

// certificateSecrets are the pipeline's Secrets of certificates, see [kit.Cluster.CertificateSecrets].
func certificateSecrets(t *testing.T, g Gomega) []corev1.Secret {
	t.Helper()
	secrets, err := cluster.CertificateSecrets(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(secrets)).To(Equal(4), "the authority's Secret, one for each backend, and the operator's own")
	return secrets
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
