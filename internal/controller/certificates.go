// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/component"
)

const (
	// authoritySecret holds the certificate authority that signs the serving certificates.
	authoritySecret = "metricspipeline-ca"
	// caKey is where a Secret holds the certificate of the authority, as cert-manager's do.
	caKey = "ca.crt"
	// providerAnnotation says in a Secret who issued the certificate.
	providerAnnotation = "metricspipeline.io/certificate-provider"
)

// certificate is a pair in use: who issued it, and the PEM authority by which it verifies.
type certificate struct {
	provider  v1alpha1.CertificateProvider
	pair      certs.Pair
	authority []byte
	// heldBy is the Secret of ours that the pair was read from; nil for one that is new to that Secret.
	heldBy *corev1.Secret
}

// certificates makes sure that each component has a serving certificate. Where it comes from makes no difference to what
// follows: the API server is told of its authority first, and then the component gets it.
func (r *Reconciler) certificates(ctx context.Context, s *scope) error {
	asked := asks(s.pipeline.Spec.Certificates, s.served.Has(apply.Certificate.CRD) && s.served.Has(apply.Issuer.CRD))
	if asked.certManager {
		if err := r.askCertManager(ctx, s); err != nil {
			return err
		}
	}
	for _, c := range s.plan.Components {
		found, err := r.certificateFor(ctx, s, asked, c)
		if err != nil {
			return err
		}
		if found == nil {
			s.held[c.Name] = true // Its pods could not start.
			continue
		}
		s.serves[c.Name] = *found
		s.certificateInUse(c.ServingSecret(), c.Name, *found, certs.LifetimeFor(s.pipeline.Spec.Certificates), r.clock.Now())
	}
	s.observed.certificates.looked = true
	return nil
}

// issueFailed is the error of a certificate that could not be read or made.
func issueFailed(err error) error {
	return &phaseError{v1alpha1.ConditionCertificatesReady, v1alpha1.ReasonIssueFailed, false, err}
}

// request is whom the spec has the operator ask for certificates.
type request struct {
	certManager, builtIn bool
	// missing is true when cert-manager should be asked and is not there.
	missing bool
}

// asks says whom. Where nobody demands cert-manager by name, our own authority stands in for one that does not issue: CRDs
// often outlive their cert-manager.
func asks(spec v1alpha1.CertificatesSpec, served bool) request {
	switch {
	case spec.Provider == v1alpha1.CertificatesBuiltIn:
		return request{builtIn: true}
	case spec.Provider == v1alpha1.CertificatesCertManager, spec.IssuerRef != nil:
		return request{certManager: served, missing: !served}
	default:
		return request{certManager: served, builtIn: true}
	}
}

// certificateFor returns the certificate that a component is to serve with; nil where there is none to be had yet.
func (r *Reconciler) certificateFor(ctx context.Context, s *scope, asked request, c component.Component) (*certificate, error) {
	o := &s.observed.certificates
	if asked.missing {
		o.certManagerMissing = true
	}
	if asked.certManager {
		issued, err := r.issued(ctx, s, c)
		if err != nil || issued != nil {
			return issued, err
		}
	}
	if asked.builtIn {
		return r.builtIn(ctx, s, c)
	}
	o.waiting = true
	// What it serves with now stays, whoever issued it, as long as it can be verified.
	secret := &corev1.Secret{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: c.ServingSecret()}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, issueFailed(fmt.Errorf("read Secret %s/%s: %w", r.Namespace, c.ServingSecret(), err))
	}
	now := r.clock.Now()
	pair, authority, err := certs.Retained(secret, c.DNSNames(), now)
	if err != nil {
		return nil, nil //nolint:nilerr // it is of no use, and why there is no better one has been noted
	}
	lifetime := certs.LifetimeFor(s.pipeline.Spec.Certificates)
	if overdue, ok := certs.Overdue(pair.Cert, lifetime); ok && !now.Before(overdue) {
		o.overdue = append(o.overdue, c.ServingSecret())
	}
	provider := v1alpha1.CertificateProvider(secret.Annotations[providerAnnotation])
	return &certificate{provider: provider, pair: pair, authority: authority, heldBy: secret}, nil
}

// builtIn returns a certificate of our own authority. The authority is stored before anybody trusts it: were it lost
// between, each new try would leave one more in the API server's trust.
func (r *Reconciler) builtIn(ctx context.Context, s *scope, c component.Component) (*certificate, error) {
	now := r.clock.Now()
	if len(s.authority.Cert) == 0 {
		authority, heldBy, reason, err := r.ensurePair(ctx, authoritySecret, func(current certs.Pair) (certs.Pair, string, error) {
			return certs.EnsureAuthority(current, now)
		})
		if err != nil {
			return nil, issueFailed(err)
		}
		stored := certificate{provider: v1alpha1.CertificatesBuiltIn, pair: authority, authority: authority.Cert, heldBy: heldBy}
		if err := r.store(ctx, s, tlsSecret(r.Namespace, authoritySecret, "", stored, authority.Cert)); err != nil {
			return nil, err
		}
		s.issued(authoritySecret, reason)
		s.authority = authority
		s.authorityInUse(authoritySecret, stored, now)
	}
	lifetime := certs.LifetimeFor(s.pipeline.Spec.Certificates)
	pair, heldBy, reason, err := r.ensurePair(ctx, c.ServingSecret(), func(current certs.Pair) (certs.Pair, string, error) {
		return certs.EnsureServing(current, s.authority, c.DNSNames(), lifetime, now)
	})
	if err != nil {
		return nil, issueFailed(err)
	}
	s.issued(c.ServingSecret(), reason)
	return &certificate{provider: v1alpha1.CertificatesBuiltIn, pair: pair, authority: s.authority.Cert, heldBy: heldBy}, nil
}

// store writes the Secret of our authority, or fails: what cannot be stored must not sign.
func (r *Reconciler) store(ctx context.Context, s *scope, secret *unstructured.Unstructured) error {
	if err := r.applier.Contested(ctx, secret); err != nil {
		s.wanted[apply.Identity(secret)] = true
		return err
	}
	return r.applyOwned(ctx, s, secret, s.owners(""))
}

// waitsForCertificate is true of a component that should run and has no certificate to serve with.
func (s *scope) waitsForCertificate(componentName string) bool {
	_, certified := s.serves[componentName]
	planned := slices.ContainsFunc(s.plan.Components, func(c component.Component) bool { return c.Name == componentName })
	return planned && !certified
}

// certificateInUse notes a serving certificate for the status, and asks for a look when something about it is due.
func (s *scope) certificateInUse(secret, componentName string, in certificate, lifetime certs.Lifetime, now time.Time) {
	renewal, _ := certs.Renewal(in.pair.Cert, lifetime)
	if in.provider == v1alpha1.CertificatesCertManager {
		renewal, _ = certs.IssuedRenewal(in.pair.Cert, lifetime)
	}
	overdue, _ := certs.Overdue(in.pair.Cert, lifetime)
	s.noteCertificate(secret, in, renewal)
	for _, at := range []time.Time{renewal, overdue} {
		if at.After(now) {
			s.lookAgain(at.Sub(now))
		}
	}
	if expiry, ok := certs.Expiry(in.pair.Cert); ok {
		s.observed.expiry(componentName, expiry)
	}
}

// authorityInUse is certificateInUse for an authority.
func (s *scope) authorityInUse(secret string, in certificate, now time.Time) {
	renewal, _ := certs.AuthorityRenewal(in.pair.Cert)
	s.noteCertificate(secret, in, renewal)
	if renewal.After(now) {
		s.lookAgain(renewal.Sub(now))
	}
}

func (s *scope) noteCertificate(secret string, in certificate, renewal time.Time) {
	status := v1alpha1.CertificateStatus{Name: secret, Provider: in.provider}
	if expiry, ok := certs.Expiry(in.pair.Cert); ok {
		expires, renews := metav1.NewTime(expiry), metav1.NewTime(renewal)
		status.Expires, status.Renews = &expires, &renews
	}
	s.observed.certificates.inUse = append(s.observed.certificates.inUse, status)
}

// ensurePair runs a certificate's policies on what the cache holds. Before anything new is issued it looks at the API
// server: two authorities in a row, because the cache had not yet seen the first, would break what the first signed. It
// returns the pair and the Secret that holds it, or the reason why it is new and held by none.
func (r *Reconciler) ensurePair(
	ctx context.Context, name string, ensure func(certs.Pair) (certs.Pair, string, error),
) (pair certs.Pair, heldBy *corev1.Secret, reason string, err error) {
	key := client.ObjectKey{Namespace: r.Namespace, Name: name}
	for _, reader := range []client.Reader{r.client, r.live} {
		secret := &corev1.Secret{}
		if err := reader.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
			return certs.Pair{}, nil, "", fmt.Errorf("read Secret %s: %w", key, err)
		}
		current := certs.Pair{Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}
		pair, reason, err = ensure(current)
		if err != nil {
			return certs.Pair{}, nil, "", fmt.Errorf("certificate in Secret %s: %w", key, err)
		}
		if reason == "" {
			return pair, secret, "", nil
		}
	}
	return pair, nil, reason, nil
}

// stored is true when the Secret of a component holds, at this moment and whatever the cache says, the certificate that it is
// to serve with. Only then has the last pod that can present another one been seen.
func (r *Reconciler) stored(ctx context.Context, c component.Component, serves certificate) (bool, error) {
	secret, key := &corev1.Secret{}, client.ObjectKey{Namespace: r.Namespace, Name: c.ServingSecret()}
	if err := r.live.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return false, issueFailed(fmt.Errorf("read Secret %s: %w", key, err))
	}
	return bytes.Equal(secret.Data[corev1.TLSCertKey], serves.pair.Cert), nil
}

// tlsSecret returns the Secret for a certificate, with the certificates by which clients should trust it. A pair that a
// Secret of that name holds already is for that one as it was read: when somebody deletes it, most often to get a new key, or
// it has got another pair that the cache does not show yet, the API server refuses to let the old one come back.
func tlsSecret(namespace, name, componentName string, in certificate, bundle []byte) *unstructured.Unstructured {
	encode := base64.StdEncoding.EncodeToString
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata": map[string]any{"name": name, "namespace": namespace,
			"annotations": map[string]any{providerAnnotation: string(in.provider)}},
		"type": string(corev1.SecretTypeTLS),
		"data": map[string]any{
			corev1.TLSCertKey:       encode(in.pair.Cert),
			corev1.TLSPrivateKeyKey: encode(in.pair.Key),
			caKey:                   encode(bundle),
		},
	}}
	secret.SetLabels(component.Labels(componentName))
	if in.heldBy != nil {
		onlyAsRead(secret, in.heldBy)
	}
	return secret
}
