// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/cert"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// issuer starts what stands for cert-manager's controllers.
func (w *world) issuer() *harness.CertManager {
	w.t.Helper()
	manager, err := w.NewCertManager()
	w.Expect(err).NotTo(HaveOccurred())
	return manager
}

// issue has a component's certificate issued as soon as it is requested.
func (w *world) issue(manager *harness.CertManager, component string) {
	w.t.Helper()
	w.Eventually(func() error { return manager.Issue(w.t.Context(), inOperatorNamespace(component)) }).Should(Succeed())
}

// trusted returns how many authorities the API server trusts the resource metrics by.
func (w *world) trusted() int {
	w.t.Helper()
	apiService := &apiregv1.APIService{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: resourceAPI}, apiService)).To(Succeed())
	found, err := cert.ParseCertsPEM(apiService.Spec.CABundle)
	w.Expect(err).NotTo(HaveOccurred())
	return len(found)
}

// providerOf returns who issued a component's certificate, by the status.
func (w *world) providerOf(component string) func() v1alpha1.CertificateProvider {
	return func() v1alpha1.CertificateProvider {
		for _, certificate := range w.status().Certificates {
			if certificate.Name == component+"-tls" {
				return certificate.Provider
			}
		}
		return ""
	}
}

// TestCertManagerComesAndGoes: with the provider Auto, cert-manager issues as soon as it is there and has issued, our own
// authority until then and after it was removed. Each change is a rotation: the API server trusts both until the new
// certificate is served.
func TestCertManagerComesAndGoes(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	backend := w.ready()
	w.Expect(w.providerOf(metricsServer)()).To(Equal(v1alpha1.CertificatesBuiltIn))

	w.installCRDs(harness.CertManagerCRDs()...)
	manager := w.issuer()
	// A request without an answer: what works keeps working.
	w.Eventually(func() string { return w.condition(v1alpha1.ConditionCertificatesReady)().Message }).Should(
		SatisfyAll(ContainSubstring("stands in for cert-manager"), ContainSubstring("Certificate metricspipeline-system/metrics-server")))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(beTrue())

	w.issue(manager, metricsServer)
	w.Eventually(w.providerOf(metricsServer)).Should(Equal(v1alpha1.CertificatesCertManager))
	w.Eventually(w.condition(v1alpha1.ConditionCertificatesReady)).Should(HaveField("Reason", v1alpha1.ReasonRotating))
	w.Expect(w.trusted()).To(Equal(2), "the backend still presents the other certificate")
	w.Expect(backend.Reload(t.Context())).To(Succeed())
	w.Eventually(w.trusted).Should(Equal(1))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Eventually(func() error {
		return w.Client.Get(t.Context(), inOperatorNamespace("metricspipeline-ca"), &corev1.Secret{})
	}).Should(Satisfy(apierrors.IsNotFound), "our own authority is needed no more")

	for _, file := range harness.CertManagerCRDs() {
		w.Expect(w.RemoveCRD(t.Context(), file)).To(Succeed())
	}
	w.Eventually(w.providerOf(metricsServer)).Should(Equal(v1alpha1.CertificatesBuiltIn))
	w.Eventually(w.trusted).Should(Equal(2))
	w.rest() // The Secret is written after the API server trusts its certificate.
	w.Expect(backend.Reload(t.Context())).To(Succeed())
	w.Eventually(w.trusted).Should(Equal(1))
	w.Eventually(func() []string { return w.of(metricsServer) }).ShouldNot(ContainElement(HaveSuffix("-issued")))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}

// TestIssuerRef: a named issuer issues, and no other. Until it has issued nothing starts, and the status says why.
func TestIssuerRef(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	const spec = `certificates: {issuerRef: {kind: ClusterIssuer, name: company}, duration: 24h}`
	w.apply(spec)
	w.Eventually(w.condition(v1alpha1.ConditionCertificatesReady)).Should(beFalse(v1alpha1.ReasonCertManagerMissing, "install cert-manager"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())

	w.installCRDs(harness.CertManagerCRDs()...)
	manager := w.issuer()
	w.Eventually(func() error {
		return manager.Refuse(t.Context(), inOperatorNamespace(metricsServer), `ClusterIssuer "company" not found`)
	}).Should(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionCertificatesReady)).Should(
		beFalse(v1alpha1.ReasonIssuing, `ClusterIssuer "company" not found`))
	requested := &certmanagerv1.Certificate{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), requested)).To(Succeed())
	w.Expect(requested.Spec.IssuerRef).To(HaveField("Name", "company"))
	w.Expect(w.of(metricsServer)).NotTo(ContainElement(HavePrefix("Deployment")), "its pods could not start")

	manager.WithoutCA = true
	w.issue(manager, metricsServer)
	w.Eventually(w.condition(v1alpha1.ConditionCertificatesReady)).Should(beFalse(v1alpha1.ReasonIssuerWithoutCA, "ca.crt"))

	manager.WithoutCA = false
	w.issue(manager, metricsServer)
	backend := w.backend(metricsServer)
	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	// A renewal by the same issuer needs no other trust; one by another does.
	w.issue(manager, metricsServer)
	w.Consistently(w.trusted, "300ms").Should(Equal(1))
	other := w.issuer()
	w.issue(other, metricsServer)
	w.Eventually(w.trusted).Should(Equal(2))
	w.rest() // The Secret is written after the API server trusts its certificate.
	w.Expect(backend.Reload(t.Context())).To(Succeed())
	w.Eventually(w.trusted).Should(Equal(1))

	// The operator's own authority, in its place.
	w.apply(`certificates: {provider: BuiltIn}`)
	w.Eventually(w.providerOf(metricsServer)).Should(Equal(v1alpha1.CertificatesBuiltIn))
	w.Eventually(w.trusted).Should(Equal(2))
	w.rest() // The Secret is written after the API server trusts its certificate.
	w.Expect(backend.Reload(t.Context())).To(Succeed())
	w.Eventually(w.trusted).Should(Equal(1))
	w.Eventually(func() []string { return w.of(metricsServer) }).ShouldNot(
		ContainElement(Or(HavePrefix("Certificate"), HaveSuffix("-issued"))))
}
