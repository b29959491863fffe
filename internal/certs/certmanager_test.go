// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestIssued: a pair that cert-manager issued is usable or not.
func TestIssued(t *testing.T) {
	authority, other := newAuthority(t), newAuthority(t)
	serving := newServing(t, authority)
	for name, tc := range map[string]struct {
		pair Pair
		ca   []byte
		at   time.Duration
		says string
	}{
		"as it should be":              {serving, authority.Cert, 0, ""},
		"with another authority too":   {serving, slices.Concat(other.Cert, authority.Cert), 0, ""},
		"due for renewal":              {serving, authority.Cert, 8700 * time.Hour * 2 / 3, ""},
		"renewal long due":             {serving, authority.Cert, 8760 * time.Hour * 5 / 6, "ends on"},
		"ended":                        {serving, authority.Cert, 9000 * time.Hour, "ends on"},
		"nothing yet":                  {Pair{}, nil, 0, "there is none yet"},
		"the key of another":           {Pair{Cert: serving.Cert, Key: other.Key}, authority.Cert, 0, "do not form a pair"},
		"signed by another authority":  {serving, other.Cert, 0, "would not accept it"},
		"an authority that is no PEM":  {serving, []byte("junk"), 0, "is not known"},
		"without the authority":        {serving, nil, 0, "gave no ca.crt"},
		"with white space for its own": {serving, []byte(" \n"), 0, "gave no ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "metrics-server-issued"}, Data: map[string][]byte{
				corev1.TLSCertKey: tc.pair.Cert, corev1.TLSPrivateKeyKey: tc.pair.Key, cmmeta.TLSCAKey: tc.ca}}
			pair, ca, err := Issued(secret, names, year, start.Add(tc.at))
			if tc.says == "" {
				if err != nil || !cmp.Equal(pair, tc.pair) || !cmp.Equal(ca, tc.ca) {
					t.Errorf("not handed on: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || len(pair.Cert) > 0 {
				t.Errorf("error %v, want %q", err, tc.says)
			}
			if without := errors.Is(err, ErrWithoutAuthority); without != strings.Contains(tc.says, "ca.crt") {
				t.Errorf("taken for the issuer's fault: %v, for %v", without, err)
			}
		})
	}
}

// TestServingCertificate checks what is requested of cert-manager.
func TestServingCertificate(t *testing.T) {
	labels := map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
	subject := Subject{Namespace: "metrics", Name: "metrics-server", DNSNames: names, Labels: labels}
	got := ServingCertificate(subject, v1alpha1.CertificatesSpec{})
	if diff := cmp.Diff(names, got.Spec.DNSNames); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	// With a time of our own, cert-manager would renew an issuer's shorter certificate when hardly any of it is over.
	if got.Spec.Duration.Duration != 8760*time.Hour || got.Spec.RenewBefore != nil {
		t.Errorf("for %s, renewed %s before its end", got.Spec.Duration.Duration, got.Spec.RenewBefore)
	}
	own := AuthorityObjects("metrics", labels)
	if ref := got.Spec.IssuerRef; ref.Name != own[len(own)-1].GetName() || ref.Kind != "Issuer" || ref.Group != "cert-manager.io" {
		t.Errorf("issuer %+v, want that of our authority", ref)
	}
	for _, object := range append(own, got) {
		if object.GetLabels()[v1alpha1.ManagedLabel] == "" || object.GetNamespace() != "metrics" {
			t.Errorf("%s would not be found again: %v", object.GetName(), object.GetLabels())
		}
		certificate, ok := object.(*certmanagerv1.Certificate)
		if ok && certificate.Spec.SecretTemplate.Labels[v1alpha1.ManagedLabel] == "" {
			t.Errorf("the Secret of Certificate %s would not be found again", object.GetName())
		}
	}
	theirs := ServingCertificate(subject, v1alpha1.CertificatesSpec{Duration: "24h", RenewBefore: "1h",
		IssuerRef: &v1alpha1.IssuerReference{Group: "awspca.cert-manager.io", Kind: "AWSPCAClusterIssuer", Name: "company"}})
	want := cmmeta.IssuerReference{Group: "awspca.cert-manager.io", Kind: "AWSPCAClusterIssuer", Name: "company"}
	if theirs.Spec.IssuerRef != want || theirs.Spec.Duration.Duration != 24*time.Hour || theirs.Spec.RenewBefore.Duration != time.Hour {
		t.Errorf("requested %+v", theirs.Spec)
	}
}

// TestCommonName is left out where it would be longer than X.509 allows.
func TestCommonName(t *testing.T) {
	long := "prometheus-adapter." + strings.Repeat("n", 63) + ".svc"
	if got := commonName([]string{"a", long}); got != "" {
		t.Errorf("common name %q", got)
	}
	if got := commonName(names); got != "metrics-server.metrics.svc" {
		t.Errorf("common name %q", got)
	}
}

// TestIssuerMessage: the most exact message is returned.
func TestIssuerMessage(t *testing.T) {
	certificate := func(message string) *certmanagerv1.Certificate {
		c := &certmanagerv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: "metrics-server"}}
		if message != "" {
			c.Status.Conditions = []certmanagerv1.CertificateCondition{
				{Type: certmanagerv1.CertificateConditionReady, Status: cmmeta.ConditionFalse, Message: message}}
		}
		return c
	}
	request := func(name string, age time.Duration, message string) certmanagerv1.CertificateRequest {
		return certmanagerv1.CertificateRequest{
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(start.Add(-age)),
				Annotations: map[string]string{certmanagerv1.CertificateNameKey: name}},
			Status: certmanagerv1.CertificateRequestStatus{Conditions: []certmanagerv1.CertificateRequestCondition{
				{Type: certmanagerv1.CertificateRequestConditionReady, Status: cmmeta.ConditionFalse, Message: message}}}}
	}
	for want, tc := range map[string]struct {
		certificate *certmanagerv1.Certificate
		requests    []certmanagerv1.CertificateRequest
	}{
		"cert-manager has not looked at the Certificate yet": {certificate(""), nil},
		"Secret does not exist":                              {certificate("Secret does not exist"), nil},
		"issuer x not found": {certificate("Secret does not exist"), []certmanagerv1.CertificateRequest{
			request("metrics-server", time.Hour, "an earlier one"), request("metrics-server", time.Minute, "issuer x not found"),
			request("prometheus-adapter", time.Second, "of another certificate")}},
	} {
		if got := IssuerMessage(tc.certificate, tc.requests); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
