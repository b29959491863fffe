// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	certManagerModule = "github.com/cert-manager/cert-manager"
	certManagerEnv    = "METRICSPIPELINE_ENVTEST_CERT_MANAGER_CRDS"
)

// FindCertManagerCRDs is FindMonitoringCRDs for cert-manager, which the operator's own go.mod pins.
func FindCertManagerCRDs() error {
	dir, err := moduleDir(inProject("."), certManagerModule)
	if err != nil {
		return err
	}
	return os.Setenv(certManagerEnv, filepath.Join(dir, "deploy", "crds"))
}

// CertManagerCRDs are the files of the CRDs that the operator works with, known after FindCertManagerCRDs.
func CertManagerCRDs() []string {
	var files []string
	for _, plural := range []string{"certificates", "issuers", "certificaterequests"} {
		files = append(files, filepath.Join(os.Getenv(certManagerEnv), "cert-manager.io_"+plural+".yaml"))
	}
	return files
}

// CertManager issues what Certificates request, as cert-manager's controllers would; those themselves run in test/e2e.
type CertManager struct {
	cluster *Cluster
	ca      *x509.Certificate
	key     *ecdsa.PrivateKey
	// WithoutCA leaves out the authority, as issuers of type ACME do.
	WithoutCA bool
}

// NewCertManager returns one with an authority of its own.
func (c *Cluster) NewCertManager() (*CertManager, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "issuer of the story", NotBefore: time.Now().Add(-2 * time.Hour)}, key)
	if err != nil {
		return nil, err
	}
	return &CertManager{cluster: c, ca: ca, key: key}, nil
}

// CA returns the authority, PEM.
func (m *CertManager) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: m.ca.Raw})
}

// Issue writes a new certificate for a Certificate that is no authority into its Secret.
func (m *CertManager) Issue(ctx context.Context, key client.ObjectKey) error {
	desired := &certmanagerv1.Certificate{}
	if err := m.cluster.Client.Get(ctx, key, desired); err != nil {
		return err
	}
	certPEM, keyPEM, err := m.sign(desired.Spec.DNSNames, desired.Spec.Duration.Duration)
	if err != nil {
		return fmt.Errorf("signing for Certificate %s: %w", key, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: desired.Spec.SecretName}}
	_, err = controllerutil.CreateOrUpdate(ctx, m.cluster.Client, secret, func() error {
		secret.Type, secret.Labels = corev1.SecretTypeTLS, desired.Spec.SecretTemplate.Labels
		secret.Data = map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM}
		if !m.WithoutCA {
			secret.Data[cmmeta.TLSCAKey] = m.CA()
		}
		return nil
	})
	return err
}

// Refuse writes into a Certificate's status why nothing is issued.
func (m *CertManager) Refuse(ctx context.Context, key client.ObjectKey, message string) error {
	desired := &certmanagerv1.Certificate{}
	if err := m.cluster.Client.Get(ctx, key, desired); err != nil {
		return err
	}
	now := metav1.Now()
	desired.Status.Conditions = []certmanagerv1.CertificateCondition{{Type: certmanagerv1.CertificateConditionReady,
		Status: cmmeta.ConditionFalse, Reason: "DoesNotExist", Message: message, LastTransitionTime: &now}}
	return m.cluster.Client.Status().Update(ctx, desired)
}

func (m *CertManager) sign(names []string, lifetime time.Duration) (certPEM, keyPEM []byte, err error) {
	return signedPair(&x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		DNSNames:    names,
		NotBefore:   time.Now().Add(-time.Hour), // The operator's clock may be a frozen one.
		NotAfter:    time.Now().Add(lifetime),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, m.ca, m.key)
}
