// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// frontProxyName is the common name by which aggregated servers know the API server.
const frontProxyName = "front-proxy-client"

// frontProxy are the files by which the API server proves to aggregated servers that it speaks for a user.
type frontProxy struct {
	caFile, certFile, keyFile string
}

func newFrontProxy(dir string) (*frontProxy, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "front-proxy-ca"}, caKey)
	if err != nil {
		return nil, err
	}
	leaf, key, err := clientPair(frontProxyName, ca, caKey)
	if err != nil {
		return nil, err
	}
	proxy := &frontProxy{
		caFile:   filepath.Join(dir, "front-proxy-ca.crt"),
		certFile: filepath.Join(dir, "front-proxy-client.crt"),
		keyFile:  filepath.Join(dir, "front-proxy-client.key"),
	}
	for path, content := range map[string][]byte{
		proxy.caFile:   pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: ca.Raw}),
		proxy.certFile: leaf,
		proxy.keyFile:  key,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	return proxy, nil
}

// flags are those of kube-apiserver.
func (p *frontProxy) flags() map[string]string {
	return map[string]string{
		"requestheader-client-ca-file":       p.caFile,
		"requestheader-allowed-names":        frontProxyName,
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"proxy-client-cert-file":             p.certFile,
		"proxy-client-key-file":              p.keyFile,
		// Endpoints are dialed directly: there is no kube-proxy that would answer on a Service's address.
		"enable-aggregator-routing": "true",
	}
}

// clientPair makes a client certificate and its key, both PEM.
func clientPair(name string, ca *x509.Certificate, caKey crypto.Signer) (certPEM, keyPEM []byte, err error) {
	return signedPair(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   ca.NotBefore,
		NotAfter:    time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
}

// signedPair makes the key of a certificate and signs it, both PEM.
func signedPair(template, ca *x509.Certificate, caKey crypto.Signer) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der}), keyPEM, nil
}
