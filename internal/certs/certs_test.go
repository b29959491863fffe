// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

var (
	start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	names = []string{"metrics-server", "metrics-server.metrics", "metrics-server.metrics.svc"}
	// year is what the spec says by default.
	year = LifetimeFor(v1alpha1.CertificatesSpec{})
)

// newAuthority returns an authority that was issued at start.
func newAuthority(t *testing.T) Pair {
	t.Helper()
	pair, reason, err := EnsureAuthority(Pair{}, names, start)
	if err != nil || reason == "" {
		t.Fatalf("reason %q, error %v", reason, err)
	}
	return pair
}

// newServing returns a serving pair that was issued at start.
func newServing(t *testing.T, authority Pair) Pair {
	t.Helper()
	pair, reason, err := EnsureServing(Pair{}, authority, names, year, start)
	if err != nil || reason == "" {
		t.Fatalf("reason %q, error %v", reason, err)
	}
	return pair
}

func parsed(t *testing.T, pair Pair) *x509.Certificate {
	t.Helper()
	cert, err := parse(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// lastThird is the first moment at which a certificate that was issued at start is renewed.
func lastThird(lifetime time.Duration) time.Time { return start.Add(lifetime).Add(-lifetime / 3) }

func TestEnsureAuthority(t *testing.T) {
	authority := newAuthority(t)
	other := newAuthority(t)
	serving := newServing(t, authority)
	earlier, fewer := authorityFor(t, nil), authorityFor(t, names[1:])
	for name, tc := range map[string]struct {
		current Pair
		now     time.Time
		reason  string
	}{
		"for any name":                 {earlier, start, "not limited to the names of the components"},
		"for other names":              {fewer, start, "not limited to the names of the components"},
		"none":                         {Pair{}, start, "there is none yet"},
		"no key":                       {Pair{Cert: authority.Cert}, start, "there is none yet"},
		"no certificate":               {Pair{Key: authority.Key}, start, "there is none yet"},
		"not PEM":                      {Pair{Cert: []byte("junk"), Key: []byte("junk")}, start, "do not form a pair"},
		"the key of another":           {Pair{Cert: authority.Cert, Key: other.Key}, start, "do not form a pair"},
		"no authority":                 {serving, start, "may not sign others"},
		"new":                          {authority, start, ""},
		"on a server whose clock lags": {authority, start.Add(-clockSkew), ""},
		"not yet valid":                {authority, start.Add(-clockSkew - time.Second), "not valid before 2026-01-01T11:55:00Z"},
		"just before its last third":   {authority, lastThird(authorityLifetime).Add(-time.Second), ""},
		"in its last third":            {authority, lastThird(authorityLifetime), "ends on 2035-12-30T12:00:00Z"},
		"ended":                        {authority, start.Add(authorityLifetime + time.Hour), "ends on"},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason, err := EnsureAuthority(tc.current, names, tc.now)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, tc.current, got, tc.reason, reason)
			if kept, _, _ := EnsureAuthority(got, names, tc.now); !cmp.Equal(kept, got) {
				t.Error("what was just issued is not kept")
			}
		})
	}
}

func TestEnsureServing(t *testing.T) {
	authority := newAuthority(t)
	other := newAuthority(t)
	serving := newServing(t, authority)
	stolen := newServing(t, other)
	for name, tc := range map[string]struct {
		current Pair
		names   []string
		now     time.Time
		reason  string
	}{
		"none":                         {Pair{}, names, start, "there is none yet"},
		"the key of another":           {Pair{Cert: serving.Cert, Key: stolen.Key}, names, start, "do not form a pair"},
		"of another authority":         {stolen, names, start, "signed by another certificate authority"},
		"the authority itself":         {authority, names, start, "not valid for the name metrics-server"},
		"a name more":                  {serving, append([]string{"another.metrics.svc"}, names...), start, "not valid for the name another.metrics.svc"},
		"moved to another namespace":   {serving, []string{"metrics-server.moved.svc"}, start, "not valid for the name metrics-server.moved.svc"},
		"a name less":                  {serving, names[2:], start, ""},
		"new":                          {serving, names, start, ""},
		"on a server whose clock lags": {serving, names, start.Add(-clockSkew), ""},
		"not yet valid":                {serving, names, start.Add(-clockSkew - time.Second), "not valid before"},
		"just before its last third":   {serving, names, lastThird(year.Duration).Add(-time.Second), ""},
		"in its last third":            {serving, names, lastThird(year.Duration), "ends on 2027-01-01T12:00:00Z"},
		"ended":                        {serving, names, start.Add(2 * year.Duration), "ends on"},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason, err := EnsureServing(tc.current, authority, tc.names, year, tc.now)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, tc.current, got, tc.reason, reason)
			if kept, _, _ := EnsureServing(got, authority, tc.names, year, tc.now); !cmp.Equal(kept, got) {
				t.Error("what was just issued is not kept")
			}
		})
	}
}

// expect compares the reason, and sees that the pair changed exactly when there is one.
func expect(t *testing.T, before, after Pair, want, reason string) {
	t.Helper()
	if want == "" && reason != "" || !strings.Contains(reason, want) {
		t.Errorf("reason %q, want %q", reason, want)
	}
	if kept := cmp.Equal(before, after); kept != (want == "") {
		t.Errorf("kept: %v, and the reason is %q", kept, reason)
	}
}

func TestEnsureServingWithoutAuthority(t *testing.T) {
	for name, authority := range map[string]Pair{"none": {}, "not PEM": {Cert: []byte("junk"), Key: []byte("junk")}} {
		pair, _, err := EnsureServing(Pair{}, authority, names, year, start)
		if err == nil || !strings.Contains(err.Error(), "load the certificate authority") {
			t.Errorf("%s: %v", name, err)
		}
		if len(pair.Cert) != 0 {
			t.Errorf("%s: an unsigned certificate", name)
		}
	}
}

// TestVerifiesAsTheAPIServerDoes checks a serving certificate the way kube-aggregator does: the caBundle as only roots, the
// name of the Service, and the use as a server.
func TestVerifiesAsTheAPIServerDoes(t *testing.T) {
	authority := newAuthority(t)
	cert := parsed(t, newServing(t, authority))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.Cert) {
		t.Fatal("the caBundle has no certificate")
	}
	foreign := x509.NewCertPool()
	foreign.AppendCertsFromPEM(newAuthority(t).Cert)

	const service, server, client = "metrics-server.metrics.svc", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for name, tc := range map[string]struct {
		roots *x509.CertPool
		name  string
		use   x509.ExtKeyUsage
		at    time.Time
		fails bool
	}{
		"as it is":              {roots, service, server, start, false},
		"by a Prometheus":       {roots, "metrics-server", server, start, false},
		"with a lagging clock":  {roots, service, server, start.Add(-4 * time.Minute), false},
		"on its last day":       {roots, service, server, start.Add(year.Duration - time.Hour), false},
		"for another Service":   {roots, "other.metrics.svc", server, start, true},
		"by another authority":  {foreign, service, server, start, true},
		"as a client":           {roots, service, client, start, true},
		"a day after its end":   {roots, service, server, start.Add(year.Duration + 24*time.Hour), true},
		"long before its start": {roots, service, server, start.Add(-time.Hour), true},
	} {
		_, err := cert.Verify(x509.VerifyOptions{
			Roots: tc.roots, DNSName: tc.name, CurrentTime: tc.at, KeyUsages: []x509.ExtKeyUsage{tc.use}})
		if fails := err != nil; fails != tc.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestShape pins what others can see of the certificates.
func TestShape(t *testing.T) {
	authority := newAuthority(t)
	serving := newServing(t, authority)
	ca, leaf := parsed(t, authority), parsed(t, serving)

	for name, cert := range map[string]*x509.Certificate{"authority": ca, "serving": leaf} {
		key, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: the key is a %T, want one on P-256", name, cert.PublicKey)
		}
		if cert.SerialNumber.BitLen() < 64 {
			t.Errorf("%s: serial number %s can be guessed", name, cert.SerialNumber)
		}
	}
	if !ca.IsCA || !ca.MaxPathLenZero || leaf.IsCA {
		t.Errorf("authority: CA %v, path length zero %v; serving: CA %v", ca.IsCA, ca.MaxPathLenZero, leaf.IsCA)
	}
	if diff := cmp.Diff(names, leaf.DNSNames); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(pkix.Name{CommonName: "metrics-server.metrics.svc"}.String(), leaf.Subject.String()); diff != "" {
		t.Errorf("subject (-want +got):\n%s", diff)
	}
	if !leaf.NotAfter.Before(ca.NotAfter) {
		t.Errorf("the serving certificate (%s) outlives its authority (%s)", leaf.NotAfter, ca.NotAfter)
	}
	if _, err := tls.X509KeyPair(serving.Cert, serving.Key); err != nil {
		t.Errorf("a server cannot load the pair: %v", err)
	}
}

// TestAuthorityOutlivesWhatItSigns, also when the authority is as old as it may get: it is replaced before a certificate
// could outlive it.
func TestAuthorityOutlivesWhatItSigns(t *testing.T) {
	authority := newAuthority(t)
	last := lastThird(authorityLifetime).Add(-time.Second)
	serving, _, err := EnsureServing(Pair{}, authority, names, year, last)
	if err != nil {
		t.Fatal(err)
	}
	if end := parsed(t, serving).NotAfter; !end.Before(parsed(t, authority).NotAfter) {
		t.Errorf("issued at %s, ends at %s, after its authority", last, end)
	}
}

// TestOtherLifetime is a spec that was changed after a certificate had been issued.
func TestOtherLifetime(t *testing.T) {
	authority := newAuthority(t)
	serving := newServing(t, authority)
	for name, tc := range map[string]struct {
		spec   v1alpha1.CertificatesSpec
		at     time.Duration
		reason string
	}{
		"the default written out":     {v1alpha1.CertificatesSpec{Duration: "8760h"}, 0, ""},
		"the same in other units":     {v1alpha1.CertificatesSpec{Duration: "8759h60m"}, 0, ""},
		"shorter":                     {v1alpha1.CertificatesSpec{Duration: "24h"}, 0, "issued for 8760h0m0s, and 24h0m0s are wanted"},
		"longer":                      {v1alpha1.CertificatesSpec{Duration: "9000h"}, 0, "issued for 8760h0m0s, and 9000h0m0s are wanted"},
		"renewed late, before that":   {v1alpha1.CertificatesSpec{RenewBefore: "10h"}, 8749 * time.Hour, ""},
		"renewed late, and it is due": {v1alpha1.CertificatesSpec{RenewBefore: "10h"}, 8750 * time.Hour, "ends on"},
		"renewed early":               {v1alpha1.CertificatesSpec{RenewBefore: "8759h"}, time.Hour, "ends on"},
	} {
		got, reason, err := EnsureServing(serving, authority, names, LifetimeFor(tc.spec), start.Add(tc.at))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { expect(t, serving, got, tc.reason, reason) })
	}
}

func TestTimes(t *testing.T) {
	authority := newAuthority(t)
	serving := newServing(t, authority)
	times := TimesOf(serving.Cert, year, false)
	if !times.Expiry.Equal(start.Add(year.Duration)) {
		t.Errorf("Expiry = %s", times.Expiry)
	}
	// The policies agree with the renewal times: otherwise a reconcile at that moment would issue nothing and not requeue.
	if _, reason, _ := EnsureServing(serving, authority, names, year, times.Renewal); reason == "" {
		t.Errorf("nothing is renewed at Renewal = %s", times.Renewal)
	}
	if _, reason, _ := EnsureServing(serving, authority, names, year, times.Renewal.Add(-time.Second)); reason != "" {
		t.Errorf("renewed before Renewal: %s", reason)
	}
	renewal := AuthorityTimes(authority.Cert).Renewal
	if _, reason, _ := EnsureAuthority(authority, names, renewal); renewal.IsZero() || reason == "" {
		t.Errorf("nothing is renewed at the authority's Renewal = %s", renewal)
	}
	if !times.Start.Equal(start.Add(-clockSkew)) {
		t.Errorf("Start = %s", times.Start)
	}
	for name, content := range map[string][]byte{"nothing": nil, "not PEM": []byte("junk"), "a key": serving.Key,
		"PEM of something else": []byte("-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n")} {
		for _, got := range []Times{TimesOf(content, year, false), TimesOf(content, year, true), AuthorityTimes(content)} {
			if got != (Times{}) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}
