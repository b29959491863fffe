// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// authorityFor returns one that can sign for other names.
func authorityFor(t *testing.T, names []string) Pair {
	t.Helper()
	pair, _, err := EnsureAuthority(Pair{}, names, start)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestAuthoritySignsForItsNamesAlone: with its key, stolen, no other server can be stood in for where the authority is trusted.
func TestAuthoritySignsForItsNamesAlone(t *testing.T) {
	authority := newAuthority(t)
	signer, err := tls.X509KeyPair(authority.Cert, authority.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(signer.Leaf)
	for name, tc := range map[string]struct {
		leaf x509.Certificate
		ok   bool
	}{
		"a component's":       {x509.Certificate{DNSNames: names}, true},
		"the API server's":    {x509.Certificate{DNSNames: []string{"kubernetes.default.svc"}}, false},
		"one beside its own":  {x509.Certificate{DNSNames: append(names[:1:1], "other.metrics.svc")}, false},
		"another namespace's": {x509.Certificate{DNSNames: []string{"metrics-server.other.svc"}}, false},
		"all of the domain":   {x509.Certificate{DNSNames: []string{"*.metrics.svc"}}, false},
		"an address":          {x509.Certificate{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}, false},
		"one of version 6":    {x509.Certificate{IPAddresses: []net.IP{net.IPv6loopback}}, false},
	} {
		tc.leaf.NotBefore, tc.leaf.NotAfter = start, start.Add(time.Hour)
		pair, err := issue(&tc.leaf, &signer)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed(t, pair).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if (err == nil) != tc.ok {
			t.Errorf("%s: error %v, want one: %t", name, err, !tc.ok)
		}
	}
}
