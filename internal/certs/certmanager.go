// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// authorityName is the name of the authority that cert-manager makes, and of the issuer that signs by it.
	authorityName = "metricspipeline-ca"
	// selfSigned is the name of the issuer of that authority.
	selfSigned = "metricspipeline-selfsigned"
	// issuedSuffix ends the names of the Secrets that cert-manager writes. The components do not mount those: the operator
	// copies a new certificate only when the API server trusts its authority.
	issuedSuffix = "-issued"
)

// AuthoritySecret is the name of the Secret with the authority that cert-manager makes.
const AuthoritySecret = authorityName + issuedSuffix

// IssuedSecret returns the name of the Secret into which cert-manager writes a component's certificate.
func IssuedSecret(componentName string) string { return componentName + issuedSuffix }

// ErrWithoutAuthority is returned for a certificate without the authority that signed it.
var ErrWithoutAuthority = errors.New("the issuer gave no ca.crt, so the API server could not verify the certificate: " +
	"use an issuer that gives its authority, such as one of type CA or Vault, or leave spec.certificates.issuerRef unset")

// Subject is whom a certificate is for.
type Subject struct {
	// Namespace and Name of the component, which are those of its Certificate too.
	Namespace, Name string
	// DNSNames that the certificate must be valid for; the API server verifies the last one.
	DNSNames []string
	// Labels of the objects that belong to it.
	Labels map[string]string
}

// AuthorityObjects are the objects for which cert-manager makes a self-signed authority and an issuer of it.
func AuthorityObjects(namespace string, labels map[string]string) []client.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: maps.Clone(labels)}
	}
	return []client.Object{
		&certmanagerv1.Issuer{TypeMeta: typeMeta(certmanagerv1.IssuerKind), ObjectMeta: meta(selfSigned),
			Spec: certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}}},
		&certmanagerv1.Certificate{TypeMeta: typeMeta(certmanagerv1.CertificateKind), ObjectMeta: meta(authorityName),
			Spec: certmanagerv1.CertificateSpec{
				CommonName:     authorityName,
				IsCA:           true,
				Duration:       &metav1.Duration{Duration: authorityLifetime},
				RenewBefore:    &metav1.Duration{Duration: authorityRenewBefore},
				SecretName:     AuthoritySecret,
				SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: maps.Clone(labels)},
				PrivateKey:     privateKey(),
				IssuerRef:      ownIssuer(selfSigned),
			}},
		&certmanagerv1.Issuer{TypeMeta: typeMeta(certmanagerv1.IssuerKind), ObjectMeta: meta(authorityName),
			Spec: certmanagerv1.IssuerSpec{
				IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: AuthoritySecret}}}},
	}
}

// ServingCertificate is the Certificate that requests a component's certificate of cert-manager. Where the spec does not say
// when to renew it, neither does the Certificate: cert-manager then renews when a third of the real life is left.
func ServingCertificate(subject Subject, spec v1alpha1.CertificatesSpec) *certmanagerv1.Certificate {
	issuer := ownIssuer(authorityName)
	if ref := spec.IssuerRef; ref != nil {
		issuer = cmmeta.IssuerReference{Group: cmp.Or(ref.Group, issuer.Group), Kind: cmp.Or(ref.Kind, issuer.Kind), Name: ref.Name}
	}
	lifetime := LifetimeFor(spec)
	var renewBefore *metav1.Duration
	if lifetime.RenewBefore > 0 {
		renewBefore = &metav1.Duration{Duration: lifetime.RenewBefore}
	}
	return &certmanagerv1.Certificate{
		TypeMeta:   typeMeta(certmanagerv1.CertificateKind),
		ObjectMeta: metav1.ObjectMeta{Namespace: subject.Namespace, Name: subject.Name, Labels: maps.Clone(subject.Labels)},
		Spec: certmanagerv1.CertificateSpec{
			CommonName:     commonName(subject.DNSNames),
			DNSNames:       subject.DNSNames,
			Duration:       &metav1.Duration{Duration: lifetime.Duration},
			RenewBefore:    renewBefore,
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
			SecretName:     IssuedSecret(subject.Name),
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: maps.Clone(subject.Labels)},
			PrivateKey:     privateKey(),
			IssuerRef:      issuer,
		},
	}
}

// Issued returns the pair and the PEM authority that cert-manager wrote into a Secret; the error says why the pair cannot be
// served with.
func Issued(secret *corev1.Secret, names []string, lifetime Lifetime, now time.Time) (pair Pair, authority []byte, err error) {
	return judge(issuedPolicies, secret, input{names: names, lifetime: lifetime, now: now})
}

// Retained returns the pair and the PEM authority in the Secret that a component serves from, of any issuer. The pair has no
// successor, so it is usable until it ends, however overdue; the error says why it is not.
func Retained(secret *corev1.Secret, names []string, now time.Time) (pair Pair, authority []byte, err error) {
	return judge(retainedPolicies, secret, input{names: names, now: now})
}

func judge(policies []policy, secret *corev1.Secret, in input) (pair Pair, authority []byte, err error) {
	in.pair = Pair{Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}
	in.authority = secret.Data[cmmeta.TLSCAKey]
	if len(in.pair.Cert) > 0 && len(bytes.TrimSpace(in.authority)) == 0 {
		return Pair{}, nil, ErrWithoutAuthority
	}
	if reason := violated(policies, in); reason != "" {
		return Pair{}, nil, fmt.Errorf("the certificate in Secret %s: %s", secret.Name, reason)
	}
	return in.pair, in.authority, nil
}

// IssuerMessage returns why cert-manager has not issued a certificate: the message of its last CertificateRequest, which is
// the most exact, or that of the Certificate.
func IssuerMessage(certificate *certmanagerv1.Certificate, requests []certmanagerv1.CertificateRequest) string {
	var last *certmanagerv1.CertificateRequest
	for i, request := range requests {
		owned := request.Annotations[certmanagerv1.CertificateNameKey] == certificate.Name
		if owned && (last == nil || last.CreationTimestamp.Before(&request.CreationTimestamp)) {
			last = &requests[i]
		}
	}
	if last != nil {
		for _, condition := range last.Status.Conditions {
			if condition.Type == certmanagerv1.CertificateRequestConditionReady && condition.Status != cmmeta.ConditionTrue {
				return condition.Message
			}
		}
	}
	for _, condition := range certificate.Status.Conditions {
		if condition.Type == certmanagerv1.CertificateConditionReady && condition.Status != cmmeta.ConditionTrue {
			return condition.Message
		}
	}
	return "cert-manager has not looked at the Certificate yet"
}

// ownIssuer refers to an issuer of AuthorityObjects.
func ownIssuer(name string) cmmeta.IssuerReference {
	return cmmeta.IssuerReference{Group: certmanagerv1.SchemeGroupVersion.Group, Kind: certmanagerv1.IssuerKind, Name: name}
}

// commonName is the last of the names, unless that is too long for one.
func commonName(names []string) string {
	const longest = 64
	if last := names[len(names)-1]; len(last) <= longest {
		return last
	}
	return ""
}

func privateKey() *certmanagerv1.CertificatePrivateKey {
	return &certmanagerv1.CertificatePrivateKey{Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256, Encoding: certmanagerv1.PKCS8,
		RotationPolicy: certmanagerv1.RotationPolicyAlways}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: kind}
}
