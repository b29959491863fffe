// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider finds the serving certificate of each component: cert-manager's, or one of the operator's own authority.
// Later stages do not see which, and a fault of one component affects no other.
package provider

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

// Cluster reads from the watch cache and patches objects.
type Cluster interface {
	client.Reader
	Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error
}

// Writer stores objects by server-side apply.
type Writer interface {
	// Apply stores an object, typed or unstructured, as it is. A contested one is reported by the writer, left as it is, and no
	// error.
	Apply(ctx context.Context, object client.Object) error
	// Contested returns an error for a contested object, by its kind and name; it writes nothing.
	Contested(ctx context.Context, object client.Object) error
}

// Config is what a round works with.
type Config struct {
	// Spec says who issues.
	Spec v1alpha1.CertificatesSpec
	// CertManager is true when the cluster serves the Certificates and Issuers of cert-manager, and CertificateRequests when it
	// serves those.
	CertManager, CertificateRequests bool
	// Namespace, Owners and Labels of the objects that the components share.
	Namespace string
	Owners    []metav1.OwnerReference
	Labels    map[string]string
	// DNSNames are those of all components that there can be. The operator's own authority can sign for no others.
	DNSNames []string
	// Now is the time by which certificates are judged.
	Now time.Time

	Cluster Cluster
	// Live reads from the API server, for the decisions that a stale cache would get wrong.
	Live   client.Reader
	Writer Writer
}

// Request is what a component serves with.
type Request struct {
	// Component is its name and that of its Certificate, Secret the name of the Secret that it serves from.
	Namespace, Component, Secret string
	// DNSNames that the certificate must be valid for; the API server verifies the last one.
	DNSNames []string
	// Owners and Labels of the component's objects.
	Owners []metav1.OwnerReference
	Labels map[string]string
}

// Certificate is a pair to serve with.
type Certificate struct {
	// Provider that issued it.
	Provider v1alpha1.CertificateProvider
	Pair     certs.Pair
	// Authority by which it verifies, PEM.
	Authority []byte
	// ReadFrom is the Secret of the component that the pair was read from; nil for a pair that is new to that Secret.
	ReadFrom *corev1.Secret
	// Issued is why our own authority issued a new one; empty for one that is kept or is cert-manager's. Only one that was
	// stored counts as issued: no pod has the others, and the next round issues anew.
	Issued string
	certs.Times
}

// Result is what a round found for one component.
type Result struct {
	// Certificate to serve with; nil where there is none: pods that mount it could not start.
	Certificate *Certificate
	// Err is what failed, to be reported and tried again. Where Certificate is set as well, the component serves with it.
	Err error
	// Waiting is true when no provider has issued a certificate and nothing failed. Certificate is then the retained one, as
	// long as that verifies.
	Waiting bool
	// Message is cert-manager's on why it has issued nothing usable; our own authority may have issued instead.
	Message string
	// CertManagerMissing is true when the spec demands cert-manager and its CRDs are not served, and WithoutCA when its issuer
	// does not give the authority that signed.
	CertManagerMissing, WithoutCA bool
	// Overdue is true when Certificate should have been renewed and is still the one to serve with.
	Overdue bool
	// Desired are the kinds and names of the objects that must not be pruned: the component's, and those that it shares with
	// others. It is complete also when a step failed; an object may not exist yet.
	Desired []*metav1.PartialObjectMetadata
	// Next is when the certificate needs another look that no event brings; zero for never.
	Next time.Time
}

// Authority is a certificate authority that components of this round share.
type Authority struct {
	// Secret is the name of its Secret.
	Secret   string
	Provider v1alpha1.CertificateProvider
	// Issued is why the operator made and stored a new one in this round; empty where it did not.
	Issued string
	certs.Times
}

// provider issues serving certificates.
type provider interface {
	// certificate returns the component's, or nil where none is usable yet, with the reason in the result. An error beside a
	// certificate does not keep the component from serving with it.
	certificate(ctx context.Context, request Request, result *Result) (*Certificate, error)
}

// Round finds the certificates of all components in one reconcile. What they share is prepared for the first that needs it;
// an error of that is an error of each component that needs it. A round is for one goroutine.
type Round struct {
	Config

	// certManager and ownAuthority are nil where the spec excludes them.
	certManager  *certManager
	ownAuthority *ownAuthority
	// missing is true when the spec demands cert-manager and its CRDs are not served.
	missing     bool
	authorities []Authority
}

// New returns a round for one reconcile. Where the spec does not demand cert-manager, our own authority issues if it does not:
// CRDs often outlive their cert-manager.
func New(config Config) *Round {
	r := &Round{Config: config}
	spec := config.Spec
	demanded := spec.Provider == v1alpha1.CertificatesCertManager || spec.IssuerRef != nil
	switch {
	case spec.Provider == v1alpha1.CertificatesBuiltIn:
		r.ownAuthority = &ownAuthority{Round: r}
	case demanded && !config.CertManager:
		r.missing = true
	case demanded:
		r.certManager = &certManager{Round: r}
	case !config.CertManager:
		r.ownAuthority = &ownAuthority{Round: r}
	default:
		r.certManager, r.ownAuthority = &certManager{Round: r}, &ownAuthority{Round: r}
	}
	return r
}

// Authorities are those that the components have needed so far.
func (r *Round) Authorities() []Authority { return r.authorities }

// For returns what a component is to serve with.
func (r *Round) For(ctx context.Context, request Request) Result {
	result := Result{CertManagerMissing: r.missing}
	// With a contested Secret, each reconcile would issue a certificate that cannot be stored, and the one in the Secret may be
	// the rival's.
	if result.Err = r.Writer.Contested(ctx, secretMeta(request.Namespace, request.Secret)); result.Err == nil {
		r.find(ctx, request, &result)
	}
	result.Desired = r.desired(request, result)
	r.schedule(&result)
	return result
}

// find takes the certificate of the first provider that has one, or the retained one.
func (r *Round) find(ctx context.Context, request Request, result *Result) {
	kept := sync.OnceValue(func() *Certificate { return r.retained(ctx, request, result) })
	for _, p := range r.providers() {
		found, err := p.certificate(ctx, request, result)
		result.Err = errors.Join(result.Err, err)
		if result.Certificate = found; found != nil {
			return
		}
		if err == nil {
			continue
		}
		// The failure may pass: only an overdue certificate is left to the next provider.
		if kept() != nil && r.Now.Before(kept().Overdue) {
			result.Certificate = kept()
			return
		}
	}
	result.Certificate = kept()
	result.Waiting = result.Err == nil
}

func (r *Round) providers() []provider {
	var providers []provider
	if r.certManager != nil {
		providers = append(providers, r.certManager)
	}
	if r.ownAuthority != nil {
		providers = append(providers, r.ownAuthority)
	}
	return providers
}

// retained returns the certificate that the component serves with now, of any issuer; nil where that does not verify.
func (r *Round) retained(ctx context.Context, request Request, result *Result) *Certificate {
	secret, err := read(ctx, r.Cluster, request.Namespace, request.Secret)
	if err != nil {
		result.Err = errors.Join(result.Err, err)
		return nil
	}
	pair, authority, err := certs.Retained(secret, request.DNSNames, r.Now)
	if err != nil {
		return nil // Why there is no other one is in the result.
	}
	issuer := v1alpha1.CertificateProvider(secret.Annotations[providerAnnotation])
	return r.inUse(Certificate{Provider: issuer, Pair: pair, Authority: authority, ReadFrom: secret})
}

// inUse adds its times to a certificate.
func (r *Round) inUse(certificate Certificate) *Certificate {
	issued := certificate.Provider == v1alpha1.CertificatesCertManager
	certificate.Times = certs.TimesOf(certificate.Pair.Cert, certs.LifetimeFor(r.Spec), issued)
	return &certificate
}

// authorityInUse notes an authority.
func (r *Round) authorityInUse(secret string, issuer v1alpha1.CertificateProvider, cert []byte, issued string) {
	r.authorities = append(r.authorities,
		Authority{Secret: secret, Provider: issuer, Issued: issued, Times: certs.AuthorityTimes(cert)})
}

// schedule sets Overdue and Next by the clock.
func (r *Round) schedule(result *Result) {
	due := []time.Time{result.Next}
	if certificate := result.Certificate; certificate != nil {
		result.Overdue = !r.Now.Before(certificate.Overdue)
		due = append(due, certificate.Renewal, certificate.Overdue, certificate.Expiry)
	}
	for _, authority := range r.authorities {
		due = append(due, authority.Renewal)
	}
	result.Next = time.Time{}
	for _, at := range due {
		if at.After(r.Now) && (result.Next.IsZero() || at.Before(result.Next)) {
			result.Next = at
		}
	}
}
