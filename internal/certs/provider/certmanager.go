// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

// certManager issues by cert-manager, from an authority that it makes for us unless the spec names an issuer.
type certManager struct {
	*Round

	// prepared is true once the issuer was applied. err is why there may be none; adoption is why the authority's Secret does
	// not have its owners, which does not keep it from signing.
	prepared      bool
	err, adoption error
}

func (m *certManager) certificate(ctx context.Context, request Request, result *Result) (*Certificate, error) {
	if !m.prepared && m.Spec.IssuerRef == nil {
		m.prepared = true
		m.err = m.prepare(ctx)
	}
	if m.err != nil {
		return nil, m.err // An issuer of that name may not be ours.
	}
	subject := certs.Subject{Namespace: request.Namespace, Name: request.Component, DNSNames: request.DNSNames, Labels: request.Labels}
	if err := m.apply(ctx, certs.ServingCertificate(subject, m.Spec), request.Owners); err != nil {
		return nil, err
	}
	name := certs.IssuedSecret(request.Component)
	secret, err := read(ctx, m.Cluster, request.Namespace, name)
	if err != nil {
		return nil, errors.Join(m.adoption, err)
	}
	if !exists(secret) {
		result.Message = m.message(ctx, request)
		return nil, m.adoption
	}
	err = errors.Join(m.adoption, m.adopt(ctx, secret, request.Owners))
	pair, authority, unusable := certs.Issued(secret, request.DNSNames, certs.LifetimeFor(m.Spec), m.Now)
	switch {
	case unusable == nil:
		return m.inUse(Certificate{Provider: v1alpha1.CertificatesCertManager, Pair: pair, Authority: authority}), err
	case errors.Is(unusable, certs.ErrWithoutAuthority):
		result.WithoutCA = true
	default:
		result.Message = fmt.Sprintf("%v; cert-manager says: %s", unusable, m.message(ctx, request))
		result.Next = certs.TimesOf(secret.Data[corev1.TLSCertKey], certs.LifetimeFor(m.Spec), true).Start // It may not be valid yet.
	}
	return nil, err
}

// prepare has cert-manager make an authority and an issuer of it.
func (m *certManager) prepare(ctx context.Context) error {
	for _, object := range certs.AuthorityObjects(m.Namespace, m.Labels) {
		if err := m.apply(ctx, object, m.Owners); err != nil {
			return err
		}
	}
	m.adoption = m.adoptAuthority(ctx)
	return nil
}

func (m *certManager) adoptAuthority(ctx context.Context) error {
	secret, err := read(ctx, m.Cluster, m.Namespace, certs.AuthoritySecret)
	if err != nil || !exists(secret) {
		return err
	}
	m.authorityInUse(secret.Name, v1alpha1.CertificatesCertManager, secret.Data[corev1.TLSCertKey], "")
	return m.adopt(ctx, secret, m.Owners)
}

func (m *certManager) apply(ctx context.Context, object client.Object, owners []metav1.OwnerReference) error {
	object.SetOwnerReferences(owners)
	return m.Writer.Apply(ctx, object)
}

// adopt adds owners to a Secret that cert-manager writes: otherwise it would outlive the pipeline.
func (m *certManager) adopt(ctx context.Context, secret *corev1.Secret, owners []metav1.OwnerReference) error {
	patch, err := adoption(secret, owners)
	if err != nil || patch == nil {
		return err
	}
	err = m.Cluster.Patch(ctx, secret.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, patch),
		client.FieldOwner(v1alpha1.FieldManager))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("add the owners of Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// adoption returns a strategic merge patch that adds owners to a Secret, nil where it has them. Lists of owners merge by UID,
// so others stay. None of ours is a controller: with --enable-certificate-owner-ref, cert-manager makes its Certificate the
// controller of the Secret, and the API server accepts only one; every later write of cert-manager would be refused. What an
// earlier release wrote as a controller is corrected. An APIService that leads to another component by now is no owner any more.
// Garbage collection removes owners that no longer exist.
func adoption(secret *corev1.Secret, owners []metav1.OwnerReference) ([]byte, error) {
	var wanting []any
	for _, owner := range owners {
		adopted := slices.ContainsFunc(secret.OwnerReferences, func(has metav1.OwnerReference) bool {
			return has.UID == owner.UID && !ptr.Deref(has.Controller, false)
		})
		if !adopted {
			wanting = append(wanting, metav1.OwnerReference{
				APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID, Controller: ptr.To(false)})
		}
	}
	for _, has := range secret.OwnerReferences {
		isOwner := func(owner metav1.OwnerReference) bool { return owner.UID == has.UID }
		if has.Kind == "APIService" && !slices.ContainsFunc(owners, isOwner) {
			wanting = append(wanting, map[string]any{"$patch": "delete", "uid": has.UID})
		}
	}
	if len(wanting) == 0 {
		return nil, nil
	}
	// The UID and the version keep the patch from a Secret that was made anew under this name.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "resourceVersion": secret.ResourceVersion, "ownerReferences": wanting}})
	if err != nil {
		return nil, fmt.Errorf("encode the owners of Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return patch, nil
}

// message returns cert-manager's message about a component's Certificate, or why it cannot be read, which is no error: it only
// explains one.
func (m *certManager) message(ctx context.Context, request Request) string {
	key := client.ObjectKey{Namespace: request.Namespace, Name: request.Component}
	found := &certmanagerv1.Certificate{}
	if err := m.Cluster.Get(ctx, key, found); client.IgnoreNotFound(err) != nil {
		return fmt.Sprintf("Certificate %s cannot be read: %v", key, err)
	}
	var requests certmanagerv1.CertificateRequestList
	if m.CertificateRequests {
		if err := m.Cluster.List(ctx, &requests, client.InNamespace(request.Namespace)); err != nil {
			return fmt.Sprintf("Certificate %s: %s; its CertificateRequests cannot be listed: %v",
				key, certs.IssuerMessage(found, nil), err)
		}
	}
	return fmt.Sprintf("Certificate %s: %s", key, certs.IssuerMessage(found, requests.Items))
}
