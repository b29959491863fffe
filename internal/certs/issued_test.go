// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"
	"time"

	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// signedBy returns a certificate as another issuer makes it: from a first moment to a last one, which need not be what was
// requested.
func signedBy(t *testing.T, signer *Pair, isCA bool, from, until time.Time) Pair {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, NotBefore: from, NotAfter: until, BasicConstraintsValid: true}
	if isCA {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		template.Subject.CommonName = "authority"
	} else {
		template.DNSNames, template.ExtKeyUsage = names, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	var parent *tls.Certificate
	if signer != nil {
		loaded, err := tls.X509KeyPair(signer.Cert, signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		parent = &loaded
	}
	pair, err := issue(template, parent)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// issuedSecret is as cert-manager writes it.
func issuedSecret(pair Pair, authority []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "metrics-server-issued"}, Data: map[string][]byte{
		corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key, cmmeta.TLSCAKey: authority}}
}

// TestRealLife: an issuer has the last word on how long a certificate lives, so its renewal and when that is overdue follow from
// the certificate, and what was just issued is never overdue.
func TestRealLife(t *testing.T) {
	authority := newAuthority(t)
	for name, tc := range map[string]struct {
		spec v1alpha1.CertificatesSpec
		// backdated is how long before start it is valid, and lives how long after.
		backdated, lives time.Duration
		renewal, overdue time.Duration
	}{
		"72h of the default year": {v1alpha1.CertificatesSpec{}, 0, 72 * time.Hour, 48 * time.Hour, 60 * time.Hour},
		"72h of 8760h, renewed before more than that": {v1alpha1.CertificatesSpec{Duration: "8760h", RenewBefore: "100h"}, 0,
			72 * time.Hour, 48 * time.Hour, 60 * time.Hour},
		"72h of 8760h, renewed before all of that": {v1alpha1.CertificatesSpec{Duration: "8760h", RenewBefore: "72h"}, 0,
			72 * time.Hour, 48 * time.Hour, 60 * time.Hour},
		"72h of 8760h, renewed before less than that": {v1alpha1.CertificatesSpec{Duration: "8760h", RenewBefore: "10h"}, 0,
			72 * time.Hour, 62 * time.Hour, 67 * time.Hour},
		"72h of 8760h, renewed as early as there is time": {v1alpha1.CertificatesSpec{Duration: "8760h", RenewBefore: "70h"}, 0,
			72 * time.Hour, 2 * time.Hour, 37 * time.Hour},
		"capped above the third of what was set": {v1alpha1.CertificatesSpec{}, 0, 3000 * time.Hour, 2000 * time.Hour, 2500 * time.Hour},
		"an hour of an hour":                     {v1alpha1.CertificatesSpec{Duration: "1h"}, 0, time.Hour, 40 * time.Minute, 50 * time.Minute},
		"an hour of a year":                      {v1alpha1.CertificatesSpec{}, 0, time.Hour, 40 * time.Minute, 50 * time.Minute},
		"an hour, renewed 5m before":             {v1alpha1.CertificatesSpec{Duration: "1h", RenewBefore: "5m"}, 0, time.Hour, 55 * time.Minute, 57*time.Minute + 30*time.Second},
		"longer than was set":                    {v1alpha1.CertificatesSpec{Duration: "24h"}, 0, 72 * time.Hour, 48 * time.Hour, 60 * time.Hour},
		"valid from before its issue":            {v1alpha1.CertificatesSpec{}, 3 * time.Hour, 72 * time.Hour, 47 * time.Hour, 59*time.Hour + 30*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			pair, lifetime := signedBy(t, &authority, false, start.Add(-tc.backdated), start.Add(tc.lives)), LifetimeFor(tc.spec)
			times := TimesOf(pair.Cert, lifetime, true)
			if at := times.Renewal; !at.Equal(start.Add(tc.renewal)) {
				t.Errorf("renewed after %s, want %s", at.Sub(start), tc.renewal)
			}
			if at := times.Overdue; !at.Equal(start.Add(tc.overdue)) {
				t.Errorf("overdue after %s, want %s", at.Sub(start), tc.overdue)
			}
			secret := issuedSecret(pair, authority.Cert)
			for at, usable := range map[time.Duration]bool{0: true, tc.renewal: true, tc.overdue - time.Second: true, tc.overdue: false} {
				if _, _, err := Issued(secret, names, lifetime, start.Add(at)); (err == nil) != usable {
					t.Errorf("after %s: %v", at, err)
				}
			}
		})
	}
}

// TestIssuedByAClockAhead waits for the certificate to be valid: the API server's clock may be ours.
func TestIssuedByAClockAhead(t *testing.T) {
	authority := newAuthority(t)
	pair := signedBy(t, &authority, false, start.Add(time.Minute), start.Add(72*time.Hour))
	secret := issuedSecret(pair, authority.Cert)
	if _, _, err := Issued(secret, names, year, start); err == nil || !strings.Contains(err.Error(), "not valid before 2026-01-01T12:01:00Z") {
		t.Errorf("error %v", err)
	}
	from := TimesOf(pair.Cert, year, true).Start
	if _, _, err := Issued(secret, names, year, from); err != nil {
		t.Errorf("at its start: %v", err)
	}
}

// TestRetained is good as long as it verifies, overdue or not.
func TestRetained(t *testing.T) {
	authority := newAuthority(t)
	pair := signedBy(t, &authority, false, start, start.Add(72*time.Hour))
	for name, tc := range map[string]struct {
		authority []byte
		at        time.Duration
		says      string
	}{
		"new":                        {authority.Cert, 0, ""},
		"overdue":                    {authority.Cert, 71 * time.Hour, ""},
		"ended":                      {authority.Cert, 72 * time.Hour, "ends on"},
		"without its authority":      {nil, 0, "gave no ca.crt"},
		"with another authority":     {newAuthority(t).Cert, 0, "would not accept it"},
		"with an earlier one beside": {slices.Concat(newAuthority(t).Cert, authority.Cert), 0, ""},
	} {
		got, ca, err := Retained(issuedSecret(pair, tc.authority), names, start.Add(tc.at))
		if tc.says == "" && (err != nil || len(got.Cert) == 0 || len(ca) == 0) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
}

// TestIntermediates: a chain is judged by its leaf, and verifies only as long as those between are valid too.
func TestIntermediates(t *testing.T) {
	root := signedBy(t, nil, true, start.Add(-time.Hour), start.Add(1000*time.Hour))
	between := signedBy(t, &root, true, start.Add(-time.Hour), start.Add(50*time.Hour))
	leaf := signedBy(t, &between, false, start, start.Add(72*time.Hour))
	chain := Pair{Cert: slices.Concat(leaf.Cert, between.Cert), Key: leaf.Key}
	for name, tc := range map[string]struct {
		pair Pair
		at   time.Duration
		says string
	}{
		"the chain":                 {chain, 0, ""},
		"due for renewal":           {chain, 48 * time.Hour, ""},
		"without the one between":   {leaf, 0, "would not accept it"},
		"the one between has ended": {chain, 51 * time.Hour, "would not accept it"},
	} {
		_, _, err := Issued(issuedSecret(tc.pair, root.Cert), names, year, start.Add(tc.at))
		if tc.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
	times := TimesOf(chain.Cert, year, true)
	if at := times.Expiry; !at.Equal(start.Add(72 * time.Hour)) {
		t.Errorf("Expiry = %s", at)
	}
	if at := times.Renewal; !at.Equal(start.Add(48 * time.Hour)) {
		t.Errorf("Renewal = %s", at)
	}
}
