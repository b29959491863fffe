// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// input is what the policies decide on.
type input struct {
	pair      Pair
	authority Pair
	names     []string
	now       time.Time

	// cert is the parsed certificate; set once the policy pairIsWhole has passed.
	cert *x509.Certificate
}

// policy returns why a pair has to be replaced, or nothing.
type policy func(*input) string

// The policies, in order: each may rely on those before it.
var (
	authorityPolicies = []policy{
		exists,
		pairIsWhole,
		isAuthority,
		isCurrent,
	}
	servingPolicies = []policy{
		exists,
		pairIsWhole,
		isSignedByAuthority,
		holdsNames,
		isCurrent,
	}
)

// violated returns the reason of the first policy that is not met, or nothing.
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

// pairIsWhole holds when certificate and key can be read and belong together.
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

func isSignedByAuthority(in *input) string {
	authority, err := parse(in.authority.Cert)
	if err != nil {
		return "the certificate authority cannot be read: " + err.Error()
	}
	if err := in.cert.CheckSignatureFrom(authority); err != nil {
		return "it was signed by another certificate authority"
	}
	return ""
}

func holdsNames(in *input) string {
	for _, name := range in.names {
		if err := in.cert.VerifyHostname(name); err != nil {
			return fmt.Sprintf("it lacks the name %s", name)
		}
	}
	return ""
}

// isCurrent holds from a certificate's start until a third of its life is left.
func isCurrent(in *input) string {
	if in.now.Before(in.cert.NotBefore) {
		return "it is not valid before " + in.cert.NotBefore.UTC().Format(time.RFC3339)
	}
	if !in.now.Before(renewAt(in.cert)) {
		return "it ends on " + in.cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}
