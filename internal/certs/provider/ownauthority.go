// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

// AuthoritySecret is the name of the Secret with the operator's own authority.
const AuthoritySecret = "metricspipeline-ca"

// ownAuthority issues from an authority of the operator's own.
type ownAuthority struct {
	*Round

	// prepared is true once prepare has run; pair is the authority unless err says why there is none.
	prepared bool
	pair     certs.Pair
	err      error
}

func (o *ownAuthority) certificate(ctx context.Context, request Request, _ *Result) (*Certificate, error) {
	if !o.prepared {
		o.prepared = true
		o.pair, o.err = o.prepare(ctx)
	}
	if o.err != nil {
		return nil, o.err
	}
	lifetime := certs.LifetimeFor(o.Spec)
	pair, readFrom, issued, err := o.ensure(ctx, request.Namespace, request.Secret, func(now certs.Pair) (certs.Pair, string, error) {
		return certs.EnsureServing(now, o.pair, request.DNSNames, lifetime, o.Now)
	})
	if err != nil {
		return nil, err
	}
	return o.inUse(Certificate{Provider: v1alpha1.CertificatesBuiltIn, Pair: pair, Authority: o.pair.Cert, ReadFrom: readFrom,
		Issued: issued}), nil
}

// prepare returns the authority once it is stored, and not before: one that is trusted and then lost would stay in the
// caBundle, one more with each try.
func (o *ownAuthority) prepare(ctx context.Context) (certs.Pair, error) {
	if err := o.Writer.Contested(ctx, secretMeta(o.Namespace, AuthoritySecret)); err != nil {
		return certs.Pair{}, err
	}
	pair, readFrom, issued, err := o.ensure(ctx, o.Namespace, AuthoritySecret, func(now certs.Pair) (certs.Pair, string, error) {
		return certs.EnsureAuthority(now, o.DNSNames, o.Now)
	})
	if err != nil {
		return certs.Pair{}, err
	}
	stored := Certificate{Provider: v1alpha1.CertificatesBuiltIn, Pair: pair, ReadFrom: readFrom}
	request := Request{Namespace: o.Namespace, Secret: AuthoritySecret, Owners: o.Owners, Labels: o.Labels}
	object := stored.Object(request, pair.Cert)
	if err := o.Writer.Apply(ctx, object); err != nil {
		return certs.Pair{}, err
	}
	// Apply returns no error for a contested object.
	if err := o.Writer.Contested(ctx, object); err != nil {
		return certs.Pair{}, err
	}
	o.authorityInUse(AuthoritySecret, v1alpha1.CertificatesBuiltIn, pair.Cert, issued)
	return pair, nil
}

// ensure runs a certificate's policies on the cached Secret and, before anything new is issued, on a live read: a second
// authority, because the cache had not seen the first yet, would break what the first signed. It returns the pair and the
// Secret that it was read from, or why it is new.
func (r *Round) ensure(
	ctx context.Context, namespace, name string, policies func(certs.Pair) (certs.Pair, string, error),
) (pair certs.Pair, readFrom *corev1.Secret, issued string, err error) {
	for _, reader := range []client.Reader{r.Cluster, r.Live} {
		secret, err := read(ctx, reader, namespace, name)
		if err != nil {
			return certs.Pair{}, nil, "", err
		}
		pair, issued, err = policies(certs.Pair{Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]})
		if err != nil {
			return certs.Pair{}, nil, "", issueError(namespace, name, err)
		}
		if issued == "" {
			return pair, secret, "", nil
		}
	}
	return pair, nil, issued, nil
}
