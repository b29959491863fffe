// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// input is what the policies decide on.
type input struct {
	pair Pair
	// authority is one or several PEM certificates by which the pair's must verify.
	authority []byte
	names     []string
	lifetime  Lifetime
	now       time.Time

	// cert is the parsed certificate; set once the policy pairIsWhole has passed.
	cert *x509.Certificate
}

// policy returns why a pair must be replaced; empty for one that meets it.
type policy func(*input) string

// The policies, in order: each may rely on those before it.
var (
	authorityPolicies = []policy{
		exists,
		pairIsWhole,
		isAuthority,
		isConstrained,
		isCurrent,
	}
	servingPolicies = []policy{
		exists,
		pairIsWhole,
		isSignedByAuthority,
		hasNames,
		livesAsLong,
		isCurrent,
	}
	// issuedPolicies judge what cert-manager issued and will renew.
	issuedPolicies = []policy{
		exists,
		pairIsWhole,
		verifiesByAuthority,
		hasNames,
		isNotOverdue,
	}
	// retainedPolicies judge what serves now and has no successor.
	retainedPolicies = []policy{
		exists,
		pairIsWhole,
		verifiesByAuthority,
		hasNames,
		isValid,
	}
)

// violated returns the reason of the first policy that is not met; empty if all are.
func violated(policies []policy, in input) string {
	for _, check := range policies {
		if reason := check(&in); reason != "" {
			return reason
		}
	}
	return ""
}

func exists(in *input) string {
	if len(in.pair.Cert) == 0 || len(in.pair.Key) == 0 {
		return "there is none yet"
	}
	return ""
}

// pairIsWhole is met when certificate and key can be read and belong together.
func pairIsWhole(in *input) string {
	pair, err := tls.X509KeyPair(in.pair.Cert, in.pair.Key)
	if err != nil {
		return "certificate and key do not form a pair: " + err.Error()
	}
	in.cert = pair.Leaf
	return ""
}

func isAuthority(in *input) string {
	if !in.cert.IsCA || in.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return "the certificate may not sign others"
	}
	return ""
}

// isConstrained is met by an authority that can sign for the names of the components and for no others. One of an earlier release
// could sign for any, and one from before an operand was added not for all.
func isConstrained(in *input) string {
	wanted := &x509.Certificate{}
	constrain(wanted, in.names)
	ranges := func(a, b *net.IPNet) bool { return a.String() == b.String() }
	if in.cert.PermittedDNSDomainsCritical != wanted.PermittedDNSDomainsCritical ||
		!slices.Equal(in.cert.PermittedDNSDomains, wanted.PermittedDNSDomains) ||
		!slices.EqualFunc(in.cert.ExcludedIPRanges, wanted.ExcludedIPRanges, ranges) {
		return "it is not limited to the names of the components"
	}
	return ""
}

func isSignedByAuthority(in *input) string {
	authority, err := parse(in.authority)
	if err != nil {
		return "the certificate authority cannot be read: " + err.Error()
	}
	if err := in.cert.CheckSignatureFrom(authority); err != nil {
		return "it was signed by another certificate authority"
	}
	return ""
}

func hasNames(in *input) string {
	for _, name := range in.names {
		if err := in.cert.VerifyHostname(name); err != nil {
			return fmt.Sprintf("it is not valid for the name %s", name)
		}
	}
	return ""
}

// livesAsLong is met when a certificate was issued for the lifetime that is set now, to the second: it has no fractions.
func livesAsLong(in *input) string {
	lives := in.cert.NotAfter.Sub(in.cert.NotBefore) - clockSkew
	if (lives - in.lifetime.Duration).Abs() > time.Second {
		return fmt.Sprintf("it was issued for %s, and %s are wanted", lives, in.lifetime.Duration)
	}
	return ""
}

// isCurrent is met from the start of a certificate of ours until it is due for renewal.
func isCurrent(in *input) string { return in.validUntil(in.lifetime.renewBefore(in.lifetime.Duration)) }

// isNotOverdue is met until half of the time from cert-manager's renewal to the end has passed, by the certificate's real life.
func isNotOverdue(in *input) string { return in.validUntil(in.lifetime.renewBefore(life(in.cert)) / 2) }

// isValid is met from a certificate's start to its end.
func isValid(in *input) string { return in.validUntil(0) }

func (in *input) validUntil(beforeEnd time.Duration) string {
	if in.now.Before(in.cert.NotBefore) {
		return "it is not valid before " + in.cert.NotBefore.UTC().Format(time.RFC3339)
	}
	if !in.now.Before(in.cert.NotAfter.Add(-beforeEnd)) {
		return "it ends on " + in.cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

// verifiesByAuthority is met when the API server would accept the certificate by the authority that came with it.
func verifiesByAuthority(in *input) string {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(in.authority) {
		return "the authority that signed it is not known"
	}
	chain := x509.NewCertPool()
	chain.AppendCertsFromPEM(in.pair.Cert)
	_, err := in.cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain, CurrentTime: in.now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.Equal(in.cert) {
		return "" // A later policy reports it, with the time. That an issuer above it has expired is reported below.
	}
	if err != nil {
		return "the API server would not accept it by the authority that came with it: " + err.Error()
	}
	return ""
}
