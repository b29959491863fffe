// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/component"
)

const (
	// authoritySecret holds the certificate authority that signs the serving certificates.
	authoritySecret = "metricspipeline-ca"
	// caKey is where a Secret holds the certificate of the authority, as cert-manager's do.
	caKey = "ca.crt"
)

// storedPair is a certificate and the Secret that holds it.
type storedPair struct {
	secret string
	// component that presents the certificate; empty for the authority.
	component string
	pair      certs.Pair
}

// certificates makes sure that there is an authority, and a serving certificate for each component.
func (r *Reconciler) certificates(ctx context.Context, s *scope) error {
	failed := func(err error) error {
		return &phaseError{v1alpha1.ConditionCertificatesReady, v1alpha1.ReasonIssueFailed, false, err}
	}
	now := r.clock.Now()

	authority, reason, err := r.ensurePair(ctx, authoritySecret, func(current certs.Pair) (certs.Pair, string, error) {
		return certs.EnsureAuthority(current, now)
	})
	if err != nil {
		return failed(err)
	}
	s.issued(authoritySecret, reason)
	s.authority = authority
	s.pairs = append(s.pairs, storedPair{secret: authoritySecret, pair: authority})

	for _, c := range s.plan.Components {
		serving, reason, err := r.ensurePair(ctx, c.ServingSecret(), func(current certs.Pair) (certs.Pair, string, error) {
			return certs.EnsureServing(current, authority, c.DNSNames(), now)
		})
		if err != nil {
			return failed(err)
		}
		s.issued(c.ServingSecret(), reason)
		s.pairs = append(s.pairs, storedPair{secret: c.ServingSecret(), component: c.Name, pair: serving})
		if expiry, ok := certs.Expiry(serving.Cert); ok {
			s.observed.expiry(c.Name, expiry)
		}
		if renewal, ok := certs.RenewAt(serving.Cert); ok {
			s.lookAgain(renewal.Sub(now))
		}
	}
	s.observed.certificatesIssued = true
	return nil
}

// ensurePair runs a certificate's policies on what the cache holds. Before anything new is issued it looks at the API
// server: two authorities in a row, because the cache had not yet seen the first, would break what the first signed.
func (r *Reconciler) ensurePair(
	ctx context.Context, name string, ensure func(certs.Pair) (certs.Pair, string, error),
) (certs.Pair, string, error) {
	for _, reader := range []client.Reader{r.client, r.live} {
		current, err := readPair(ctx, reader, client.ObjectKey{Namespace: r.Namespace, Name: name})
		if err != nil {
			return certs.Pair{}, "", err
		}
		pair, reason, err := ensure(current)
		if err != nil {
			return certs.Pair{}, "", fmt.Errorf("certificate in Secret %s/%s: %w", r.Namespace, name, err)
		}
		if reason == "" || reader == r.live {
			return pair, reason, nil
		}
	}
	return certs.Pair{}, "", fmt.Errorf("certificate in Secret %s/%s: nobody to ask", r.Namespace, name)
}

// readPair returns the pair in a Secret, empty where there is none.
func readPair(ctx context.Context, reader client.Reader, key client.ObjectKey) (certs.Pair, error) {
	secret := &corev1.Secret{}
	err := reader.Get(ctx, key, secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return certs.Pair{}, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return certs.Pair{Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}, nil
}

// tlsSecret returns the Secret for a pair, with the certificates by which clients should trust it.
func tlsSecret(namespace string, stored storedPair, bundle []byte) *unstructured.Unstructured {
	encode := base64.StdEncoding.EncodeToString
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"name": stored.secret, "namespace": namespace},
		"type":       string(corev1.SecretTypeTLS),
		"data": map[string]any{
			corev1.TLSCertKey:       encode(stored.pair.Cert),
			corev1.TLSPrivateKeyKey: encode(stored.pair.Key),
			caKey:                   encode(bundle),
		},
	}}
	secret.SetLabels(component.Labels(stored.component))
	return secret
}
