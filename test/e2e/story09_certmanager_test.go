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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	certManagerAddon = "cert-manager"
	// usersIssuer is an issuer of cert-manager that is not the pipeline's, and the Secret of its authority.
	usersIssuer = "users-authority"
)

// TestCertManagerComesAndGoes has cert-manager's controllers issue the certificates as soon as they are there, then an
// issuer of the user's own, then takes cert-manager away while it is in use, and goes back to the built-in authority. Each
// step is a rotation, and no request fails.
func TestCertManagerComesAndGoes(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	pipeline := givenEveryAPI(t)
	thenIssuedBy(t, v1alpha1.CertificatesBuiltIn)
	poller := startPolling(t, everyAPI()...)

	builtIn := caBundles(t, g)
	givenCertManager(t)
	start := time.Now()
	thenIssuedBy(t, v1alpha1.CertificatesCertManager)
	thenRotated(t, builtIn)
	t.Logf("cert-manager's certificates are in use %.1f s after it runs", time.Since(start).Seconds())

	own := caBundles(t, g)
	givenUsersIssuer(t)
	pipeline.Spec.Certificates.IssuerRef = &v1alpha1.IssuerReference{Name: usersIssuer}
	whenApplied(t, pipeline)
	thenRotated(t, own)
	authority := &corev1.Secret{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: usersIssuer}
	g.Expect(cluster.Client.Get(t.Context(), key, authority)).To(Succeed())
	for name, bundle := range caBundles(t, g) {
		g.Expect(string(bundle)).To(Equal(string(authority.Data[corev1.TLSCertKey])), name)
	}
	thenReady(t, soon)

	users := caBundles(t, g)
	g.Expect(cluster.Host(within(t, rollout), "addon", "remove", certManagerAddon)).To(Succeed())
	condition := thenCondition(t, soon, v1alpha1.ConditionCertificatesReady, metav1.ConditionFalse, v1alpha1.ReasonCertManagerMissing)
	g.Expect(condition.Message).To(ContainSubstring("cert-manager"))
	// What is served with stays until there is something to replace it.
	g.Expect(caBundles(t, g)).To(Equal(users))

	pipeline.Spec.Certificates = v1alpha1.CertificatesSpec{}
	whenApplied(t, pipeline)
	thenIssuedBy(t, v1alpha1.CertificatesBuiltIn)
	thenRotated(t, users)
	thenReady(t, soon)
	poller.thenNoneFailed(t)
}

// givenCertManager installs cert-manager until the end of the test.
func givenCertManager(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Host(ctx, "addon", "remove", certManagerAddon)).To(Succeed())
	})
	g.Expect(cluster.Host(within(t, rollout), "addon", "install", certManagerAddon)).To(Succeed())
}

// givenUsersIssuer makes an authority that is not the pipeline's, and an issuer that signs with it.
func givenUsersIssuer(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		// cert-manager leaves the Secrets of its certificates behind, and so it is the user's to remove.
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: usersIssuer}}
		g.Expect(cluster.Delete(context.WithoutCancel(t.Context()), secret)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(),
		certManagerObject("Issuer", usersIssuer+"-root", map[string]any{"selfSigned": map[string]any{}}),
		certManagerObject("Certificate", usersIssuer, map[string]any{
			"isCA":       true,
			"commonName": usersIssuer,
			"secretName": usersIssuer,
			"privateKey": map[string]any{"algorithm": "ECDSA"},
			"issuerRef":  map[string]any{"name": usersIssuer + "-root"},
		}),
		certManagerObject("Issuer", usersIssuer, map[string]any{"ca": map[string]any{"secretName": usersIssuer}}),
	)).To(Succeed())
}

// certManagerObject is an object of cert-manager in the operator's namespace.
func certManagerObject(kind, name string, spec map[string]any) client.Object {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cert-manager.io/v1",
		"kind":       kind,
		"metadata":   map[string]any{"namespace": kit.OperatorNamespace, "name": name},
		"spec":       spec,
	}}
}

// thenIssuedBy waits until the status says that every certificate in use was issued by a provider.
func thenIssuedBy(t *testing.T, provider v1alpha1.CertificateProvider) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		certificates := thePipeline(t, g).Status.Certificates
		g.Expect(certificates).NotTo(BeEmpty())
		for _, certificate := range certificates {
			g.Expect(certificate.Provider).To(Equal(provider), certificate.Name)
			g.Expect(certificate.Expires).NotTo(BeNil(), certificate.Name)
		}
	}, rollout, often).Should(Succeed())
}
