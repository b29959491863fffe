// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KubeletAuthority signs serving certificates of kubelets.
type KubeletAuthority struct {
	// PEM is its certificate.
	PEM         string
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewKubeletAuthority makes one.
func NewKubeletAuthority(name string) (*KubeletAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: name}, key)
	if err != nil {
		return nil, err
	}
	content := pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: certificate.Raw})
	return &KubeletAuthority{PEM: string(content), certificate: certificate, key: key}, nil
}

// Kubelet is a Node, and what stands for its kubelet: it serves TLS, and demands what a kubelet does of a request.
type Kubelet struct {
	// Address of the node.
	Address string
	cluster *Cluster
	name    string
	server  *http.Server
	pair    atomic.Pointer[tls.Certificate]
	// requests counts what came beside handshakes.
	requests atomic.Int32
}

// StartKubelet makes a node that is ready, at an address of PodNetwork, whose kubelet has a certificate for its name alone that it
// signed itself: that of a kubelet to which nothing else was said.
func (c *Cluster) StartKubelet(ctx context.Context, name string, host byte) (*Kubelet, error) {
	k := &Kubelet{Address: c.PodAddress(host), cluster: c, name: name}
	itself, err := NewKubeletAuthority(name + "-ca@1")
	if err != nil {
		return nil, err
	}
	if err := k.Present(itself, false); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(k.Address, "10250"))
	if err != nil {
		return nil, fmt.Errorf("listening for the kubelet of %s: %w", name, err)
	}
	k.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // A refused certificate is part of the story.
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			k.requests.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.pair.Load(), nil }},
	}
	go func() { _ = k.server.ServeTLS(listener, "", "") }()

	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Client.Create(ctx, node); err != nil {
		return nil, err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: k.Address}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return k, c.Client.Status().Update(ctx, node)
}

// Present serves from now on with a certificate of an authority, for the node's address or for its name alone.
func (k *Kubelet) Present(authority *KubeletAuthority, forAddress bool) error {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "system:node:" + k.name}, DNSNames: []string{k.name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if forAddress {
		template.IPAddresses = []net.IP{net.ParseIP(k.Address)}
	}
	certPEM, keyPEM, err := signedPair(template, authority.certificate, authority.key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	k.pair.Store(&pair)
	return nil
}

// Requests returns how many requests the kubelet got: a handshake is none.
func (k *Kubelet) Requests() int { return int(k.requests.Load()) }

// Stop ends the kubelet.
func (k *Kubelet) Stop() error { return k.server.Close() }

// Delete ends it, and removes the node.
func (k *Kubelet) Delete(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.name}}
	return errors.Join(k.Stop(), client.IgnoreNotFound(k.cluster.Client.Delete(ctx, node)))
}
