// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/certs"
	optional "github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/component"
)

// askCertManager has cert-manager make an authority, unless the spec names an issuer, and a certificate for each component.
func (r *Reconciler) askCertManager(ctx context.Context, s *scope) error {
	spec := s.pipeline.Spec.Certificates
	var objects []client.Object
	if spec.IssuerRef == nil {
		objects = certs.AuthorityObjects(r.Namespace, component.Labels(""))
	}
	for _, c := range s.plan.Components {
		objects = append(objects, certs.ServingCertificate(certs.Subject{
			Namespace: c.Namespace, Name: c.Name, DNSNames: c.DNSNames(), Labels: component.Labels(c.Name)}, spec))
	}
	for _, object := range objects {
		wanted, err := apply.FromTyped(object)
		if err != nil {
			return err
		}
		if err := r.applyOwned(ctx, s, wanted, s.owners(object.GetLabels()[v1alpha1.ComponentLabel])); err != nil {
			return err
		}
	}
	if spec.IssuerRef != nil {
		return nil
	}
	secret, err := r.adopt(ctx, s, certs.AuthoritySecret, s.owners(""))
	if err != nil || secret == nil {
		return err
	}
	s.authorityInUse(secret.Name, certificate{provider: v1alpha1.CertificatesCertManager,
		pair: certs.Pair{Cert: secret.Data[corev1.TLSCertKey]}}, r.clock.Now())
	return nil
}

// issued returns what cert-manager has issued for a component; nil, with a note why, where that is nothing of use.
func (r *Reconciler) issued(ctx context.Context, s *scope, c component.Component) (*certificate, error) {
	secret, err := r.adopt(ctx, s, certs.IssuedSecret(c.Name), s.owners(c.Name))
	if err != nil {
		return nil, err
	}
	if secret == nil {
		message, err := r.issuerMessage(ctx, s, c)
		s.observed.certificates.lacks(message)
		return nil, err
	}
	pair, authority, err := certs.Issued(secret, c.DNSNames(), certs.LifetimeFor(s.pipeline.Spec.Certificates), r.clock.Now())
	if errors.Is(err, certs.ErrWithoutAuthority) {
		s.observed.certificates.withoutCA = true
		return nil, nil
	}
	if err != nil {
		message, messageErr := r.issuerMessage(ctx, s, c)
		s.observed.certificates.lacks(fmt.Sprintf("%v; cert-manager says: %s", err, message))
		return nil, messageErr
	}
	return &certificate{provider: v1alpha1.CertificatesCertManager, pair: pair, authority: authority}, nil
}

// adopt returns a Secret that cert-manager writes, nil where there is none yet, and gives it owners: cert-manager leaves
// its Secrets behind, with the pipeline gone as well.
func (r *Reconciler) adopt(ctx context.Context, s *scope, name string, owners []metav1.OwnerReference) (*corev1.Secret, error) {
	s.wanted["Secret "+r.Namespace+"/"+name] = true // Even if it is issued later in this reconcile.
	secret := &corev1.Secret{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", r.Namespace, name, err)
	}
	missing := slices.ContainsFunc(owners, func(owner metav1.OwnerReference) bool {
		return !slices.ContainsFunc(secret.OwnerReferences, func(has metav1.OwnerReference) bool { return has.UID == owner.UID })
	})
	if !missing {
		return secret, nil
	}
	// The UID and the version in the patch keep it from a Secret that has come in this one's place.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "resourceVersion": secret.ResourceVersion, "ownerReferences": owners}})
	if err != nil {
		return nil, fmt.Errorf("write the owners of Secret %s/%s: %w", r.Namespace, name, err)
	}
	err = r.client.Patch(ctx, secret.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.FieldManager))
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("give Secret %s/%s its owners: %w", r.Namespace, name, err)
	}
	return secret, nil
}

// issuerMessage returns what cert-manager says about a component's Certificate.
func (r *Reconciler) issuerMessage(ctx context.Context, s *scope, c component.Component) (string, error) {
	found := &certmanagerv1.Certificate{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, found)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read Certificate %s/%s: %w", c.Namespace, c.Name, err)
	}
	var requests certmanagerv1.CertificateRequestList
	if s.served.Has(optional.CertificateRequestCRD) {
		if err := r.client.List(ctx, &requests, client.InNamespace(c.Namespace)); err != nil {
			return "", fmt.Errorf("list the CertificateRequests of %s: %w", c.Namespace, err)
		}
	}
	return fmt.Sprintf("Certificate %s/%s: %s", c.Namespace, c.Name, certs.IssuerMessage(found, requests.Items)), nil
}
