// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certs issues the serving certificates of the components from a certificate authority of its own, or makes the
// Certificates that request them of cert-manager, and decides by lists of policies whether an existing one is kept.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// authorityLifetime of an authority of ours, which is renewed when a third of it is left. No serving certificate lives
	// longer than that third, so none outlives its authority.
	authorityLifetime    = 10 * 365 * 24 * time.Hour
	authorityRenewBefore = authorityLifetime / 3
	// defaultLifetime of a serving certificate.
	defaultLifetime = 365 * 24 * time.Hour
	// clockSkew is how long before now a certificate is valid, for API servers whose clock is behind.
	clockSkew = 5 * time.Minute
)

// Lifetime of serving certificates, as the spec sets it.
type Lifetime struct {
	// Duration from issue to end.
	Duration time.Duration
	// RenewBefore from renewal to end; 0 is a third of the certificate's life.
	RenewBefore time.Duration
}

// LifetimeFor returns the lifetime of a spec: by default a year, renewed when a third of it is left.
func LifetimeFor(spec v1alpha1.CertificatesSpec) Lifetime {
	return Lifetime{Duration: spec.Duration.Or(defaultLifetime), RenewBefore: spec.RenewBefore.Or(0)}
}

// renewBefore is the time from renewal to end of a certificate with this life. An issuer may cap the lifetime below what was
// requested, even below RenewBefore; then it is a third of the life, as in cert-manager.
func (l Lifetime) renewBefore(life time.Duration) time.Duration {
	if l.RenewBefore > 0 && l.RenewBefore < life {
		return l.RenewBefore
	}
	return life / 3
}

// Pair is a certificate and its private key in PEM, as in a Secret of type kubernetes.io/tls.
type Pair struct {
	Cert, Key []byte
}

// EnsureAuthority returns the authority to use: the current one, or a new one with the reason for it. reason is empty
// when the current one is kept. names are the only ones that it can sign for, so that its key, stolen, stands for no other server
// where the authority is trusted; without any it can sign for all.
func EnsureAuthority(current Pair, names []string, now time.Time) (pair Pair, reason string, err error) {
	in := input{pair: current, names: names, now: now, lifetime: Lifetime{authorityLifetime, authorityRenewBefore}}
	if reason = violated(authorityPolicies, in); reason == "" {
		return current, "", nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "metricspipeline-ca"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	constrain(template, names)
	pair, err = issue(template, nil)
	return pair, reason, err
}

// constrain limits the names that an authority can sign for. A client that does not understand the limit must refuse the authority:
// that is what critical means. Addresses are a kind of name of their own, which a limit of DNS names would leave open.
func constrain(authority *x509.Certificate, names []string) {
	if len(names) == 0 {
		return
	}
	authority.PermittedDNSDomainsCritical = true
	authority.PermittedDNSDomains = names
	authority.ExcludedIPRanges = []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
}

// EnsureServing returns the serving pair to use for the names: the current one, or a new one that the authority signs,
// with the reason for it. reason is empty when the current one is kept.
func EnsureServing(current, authority Pair, names []string, lifetime Lifetime, now time.Time) (pair Pair, reason string, err error) {
	in := input{pair: current, authority: authority.Cert, names: names, lifetime: lifetime, now: now}
	if reason = violated(servingPolicies, in); reason == "" {
		return current, "", nil
	}
	signer, err := tls.X509KeyPair(authority.Cert, authority.Key)
	if err != nil {
		return Pair{}, reason, fmt.Errorf("load the certificate authority: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName(names)},
		DNSNames:    names,
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    now.Add(lifetime.Duration),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	pair, err = issue(template, &signer)
	return pair, reason, err
}

// Times of a certificate: its own, when it is due for renewal, and when that is overdue.
type Times struct{ Start, Renewal, Overdue, Expiry time.Time }

// AuthorityTimes returns the times of an authority, PEM.
func AuthorityTimes(cert []byte) Times {
	return TimesOf(cert, Lifetime{authorityLifetime, authorityRenewBefore}, false)
}

// TimesOf returns the times of a serving certificate, PEM, all zero where it cannot be read. Of a chain they are the first one's,
// the leaf's. Ours is due by the life that the spec sets: a policy replaces any other. One that cert-manager issued is due by its
// real life, which its issuer may have capped. Overdue is half way between the renewal by the real life and the end.
func TimesOf(cert []byte, lifetime Lifetime, issued bool) Times {
	parsed, err := parse(cert)
	if err != nil {
		return Times{}
	}
	lives := lifetime.Duration
	if issued {
		lives = life(parsed)
	}
	return Times{Start: parsed.NotBefore, Expiry: parsed.NotAfter, Renewal: parsed.NotAfter.Add(-lifetime.renewBefore(lives)),
		Overdue: parsed.NotAfter.Add(-lifetime.renewBefore(life(parsed)) / 2)}
}

// life of a certificate, from its start to its end.
func life(cert *x509.Certificate) time.Duration { return cert.NotAfter.Sub(cert.NotBefore) }

// issue makes a key and a certificate for it, signed by signer or, without one, by the new key itself.
func issue(template *x509.Certificate, signer *tls.Certificate) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate a key: %w", err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Pair{}, fmt.Errorf("generate a serial number: %w", err)
	}
	parent, signingKey := template, any(key)
	if signer != nil {
		parent, signingKey = signer.Leaf, signer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signingKey)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the certificate for %s: %w", template.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode the key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func parse(content []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("no PEM certificate in %d bytes", len(content))
	}
	return x509.ParseCertificate(block.Bytes)
}
