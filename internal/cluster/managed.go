// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Token is what the Prometheus that the operator runs is queried with, and the hash by which it knows that.
type Token struct{ Value, Hash string }

// Keys of the Secret with the token, which both the Prometheus and the operator read. AuthorityKey is for people and their tools: who may
// read the token verifies by it to whom it is sent, and needs no Secret with a private key.
const (
	TokenKey     = "password"
	TokenHashKey = "password-hash"
	AuthorityKey = "ca.crt"
)

// ManagedSecret is the name of that Secret.
const ManagedSecret = prometheus.ManagedName + "-access"

// The Secret with the token by which components are scraped. It is installed with the operator.
const (
	MetricsSecret   = "metricspipeline-metrics-token"
	MetricsTokenKey = corev1.ServiceAccountTokenKey
)

// managedAccess reads how the Prometheus that the operator runs is queried. Nothing of it is in the spec: its certificate is of the
// components' authority, and its token is made here where none is stored.
func (s *Source) managedAccess(ctx context.Context, spec v1alpha1.PrometheusSpec, p *Prometheus) error {
	p.Access = prometheus.Access{Method: spec.QueryMethod, ServerName: p.Managed.ServerName(), Dial: s.Dial}
	if p.Managed.Plain {
		stored, err := s.secret(ctx, ManagedSecret)
		if err != nil {
			return err
		}
		if p.Token, err = s.tokenOf(stored); err != nil {
			return err
		}
		p.Access.Username, p.Access.Password = []byte(prometheus.ManagedUser), []byte(p.Token.Value)
		if len(stored) == 0 {
			p.Starting = fmt.Sprintf("Secret %s/%s, with its token, is being written.", s.Namespace, ManagedSecret)
		}
		if p.Authorities, err = s.componentAuthorities(ctx); err != nil {
			return err
		}
	}
	serving, err := s.secret(ctx, prometheus.ManagedName+"-tls")
	if err != nil {
		return err
	}
	if p.Access.CA = serving["ca.crt"]; len(p.Access.CA) == 0 {
		p.Starting = "Its certificate is not issued yet, see the condition CertificatesReady."
	}
	return nil
}

// componentAuthorities returns the authorities by which the components' certificates are verified, by Secret.
func (s *Source) componentAuthorities(ctx context.Context) (map[string]string, error) {
	token, err := s.secret(ctx, MetricsSecret)
	if err != nil || len(token[MetricsTokenKey]) == 0 {
		return nil, err
	}
	var secrets corev1.SecretList
	if err := s.Client.List(ctx, &secrets, client.InNamespace(s.Namespace),
		client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the Secrets of %s: %w", s.Namespace, err)
	}
	found := map[string]string{}
	for _, secret := range secrets.Items {
		if authority := secret.Data[corev1.ServiceAccountRootCAKey]; len(authority) > 0 {
			found[secret.Name] = string(authority)
		}
	}
	return found, nil
}

// secret returns the data of a Secret of the operator's namespace; nil where there is none.
func (s *Source) secret(ctx context.Context, name string) (map[string][]byte, error) {
	found := &corev1.Secret{}
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, found); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", s.Namespace, name, err)
	}
	return found.Data, nil
}

// tokenOf returns the stored token, or a new one where none is stored or its hash is that of another: a deleted Secret is how a token is
// replaced. The last one is remembered until the cache shows it, so that no reconcile makes another; after that it is forgotten.
func (s *Source) tokenOf(stored map[string][]byte) (Token, error) {
	found := Token{Value: string(stored[TokenKey]), Hash: string(stored[TokenHashKey])}
	if found == s.token && found.Value != "" {
		s.shown = true
		return found, nil
	}
	if found.Value != "" && bcrypt.CompareHashAndPassword([]byte(found.Hash), []byte(found.Value)) == nil {
		s.token, s.shown = found, true
		return found, nil
	}
	if s.token.Value != "" && !s.shown {
		return s.token, nil
	}
	value := rand.Text() + rand.Text()
	hash, err := bcrypt.GenerateFromPassword([]byte(value), bcrypt.DefaultCost)
	if err != nil {
		return Token{}, fmt.Errorf("hash the token of Secret %s/%s: %w", s.Namespace, ManagedSecret, err)
	}
	s.token, s.shown = Token{Value: value, Hash: string(hash)}, false
	return s.token, nil
}
