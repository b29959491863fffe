// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

const (
	// authorityName is the name of the authority that cert-manager makes, and of the issuer that signs by it.
	authorityName = "metricspipeline-ca"
	// selfSigned is the name of the issuer of that authority.
	selfSigned = "metricspipeline-selfsigned"
	// issuedSuffix ends the names of the Secrets that cert-manager writes. The components do not use those: the operator
	// hands a new certificate on when the API server trusts its authority, and not before.
	issuedSuffix = "-issued"
)

// AuthoritySecret is the name of the Secret with the authority that cert-manager makes.
const AuthoritySecret = authorityName + issuedSuffix

// IssuedSecret returns the name of the Secret into which cert-manager writes a component's certificate.
func IssuedSecret(componentName string) string { return componentName + issuedSuffix }

// ErrWithoutAuthority is the fault of a certificate that came without the authority that signed it.
var ErrWithoutAuthority = errors.New("the issuer gave no ca.crt, so the API server could not verify the certificate: " +
	"use an issuer that gives its authority, such as one of type CA or Vault, or leave spec.certificates.issuerRef unset")

// AuthorityObjects are what cert-manager makes a self-signed authority and an issuer of it from.
func AuthorityObjects(namespace string) []client.Object {
	return []client.Object{
		&certmanagerv1.Issuer{TypeMeta: typeMeta(certmanagerv1.IssuerKind), ObjectMeta: objectMeta(namespace, selfSigned, ""),
			Spec: certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}}},
		&certmanagerv1.Certificate{TypeMeta: typeMeta(certmanagerv1.CertificateKind), ObjectMeta: objectMeta(namespace, authorityName, ""),
			Spec: certmanagerv1.CertificateSpec{
				CommonName:     authorityName,
				IsCA:           true,
				Duration:       &metav1.Duration{Duration: authorityLifetime},
				RenewBefore:    &metav1.Duration{Duration: authorityRenewBefore},
				SecretName:     AuthoritySecret,
				SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: component.Labels("")},
				PrivateKey:     privateKey(),
				IssuerRef:      ownIssuer(selfSigned),
			}},
		&certmanagerv1.Issuer{TypeMeta: typeMeta(certmanagerv1.IssuerKind), ObjectMeta: objectMeta(namespace, authorityName, ""),
			Spec: certmanagerv1.IssuerSpec{
				IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: AuthoritySecret}}}},
	}
}

// ServingCertificate is what cert-manager is asked for as a component's certificate.
func ServingCertificate(c component.Component, spec v1alpha1.CertificatesSpec) *certmanagerv1.Certificate {
	issuer := ownIssuer(authorityName)
	if ref := spec.IssuerRef; ref != nil {
		issuer = cmmeta.IssuerReference{Group: cmp.Or(ref.Group, issuer.Group), Kind: cmp.Or(ref.Kind, issuer.Kind), Name: ref.Name}
	}
	names, lifetime := c.DNSNames(), LifetimeFor(spec)
	return &certmanagerv1.Certificate{
		TypeMeta: typeMeta(certmanagerv1.CertificateKind), ObjectMeta: objectMeta(c.Namespace, c.Name, c.Name),
		Spec: certmanagerv1.CertificateSpec{
			CommonName:     commonName(names),
			DNSNames:       names,
			Duration:       &metav1.Duration{Duration: lifetime.Duration},
			RenewBefore:    &metav1.Duration{Duration: lifetime.RenewBefore},
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
			SecretName:     IssuedSecret(c.Name),
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: component.Labels(c.Name)},
			PrivateKey:     privateKey(),
			IssuerRef:      issuer,
		},
	}
}

// Issued returns the pair and the PEM authority that cert-manager wrote into a Secret, if the pair can be served with: an
// error says why not.
func Issued(secret *corev1.Secret, names []string, lifetime Lifetime, now time.Time) (pair Pair, authority []byte, err error) {
	pair = Pair{Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}
	authority = secret.Data[cmmeta.TLSCAKey]
	if len(pair.Cert) > 0 && len(bytes.TrimSpace(authority)) == 0 {
		return Pair{}, nil, ErrWithoutAuthority
	}
	reason := violated(issuedPolicies, input{pair: pair, authority: authority, names: names, lifetime: lifetime, now: now})
	if reason != "" {
		return Pair{}, nil, fmt.Errorf("the certificate in Secret %s: %s", secret.Name, reason)
	}
	return pair, authority, nil
}

// IssuerMessage returns what cert-manager says about a certificate that it has not issued: the word of the last request for
// it, which knows the most, or that of the Certificate.
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

// ownIssuer refers to an issuer that AuthorityObjects has.
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

func objectMeta(namespace, name, componentName string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: component.Labels(componentName)}
}
