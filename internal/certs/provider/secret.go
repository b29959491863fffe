// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

const (
	// caKey is the key of the authority's certificate in a Secret, as in cert-manager's.
	caKey = "ca.crt"
	// providerAnnotation on a Secret is the provider that issued the certificate.
	providerAnnotation = "metricspipeline.io/certificate-provider"
)

// Object returns the Secret that a component serves from, with the certificates by which clients should trust it. A pair that
// was read from that Secret is written back with its UID and resourceVersion: when a person has deleted it, most often to get
// a new key, or it has a newer pair that the cache does not show yet, the API server answers a conflict.
func (c Certificate) Object(request Request, bundle []byte) *unstructured.Unstructured {
	encode := base64.StdEncoding.EncodeToString
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata": map[string]any{"name": request.Secret, "namespace": request.Namespace,
			"annotations": map[string]any{providerAnnotation: string(c.Provider)}},
		"type": string(corev1.SecretTypeTLS),
		"data": map[string]any{
			corev1.TLSCertKey:       encode(c.Pair.Cert),
			corev1.TLSPrivateKeyKey: encode(c.Pair.Key),
			caKey:                   encode(bundle),
		},
	}}
	secret.SetLabels(request.Labels)
	secret.SetOwnerReferences(request.Owners)
	if c.ReadFrom != nil {
		secret.SetUID(c.ReadFrom.UID)
		secret.SetResourceVersion(c.ReadFrom.ResourceVersion)
	}
	return secret
}

// Stored is true when a live read of a component's Secret has the certificate that it is to serve with. Only then can no pod
// start any more that presents another one.
func (r *Round) Stored(ctx context.Context, request Request, serves Certificate) (bool, error) {
	secret, err := read(ctx, r.Live, request.Namespace, request.Secret)
	if err != nil {
		return false, err
	}
	return bytes.Equal(secret.Data[corev1.TLSCertKey], serves.Pair.Cert), nil
}

// Trusted returns the certificates by which clients that read a component's Secret trust it now; nil where there is none.
func (r *Round) Trusted(ctx context.Context, request Request) ([]byte, error) {
	secret, err := read(ctx, r.Cluster, request.Namespace, request.Secret)
	if err != nil {
		return nil, err
	}
	return secret.Data[caKey], nil
}

// read returns a Secret; an empty one where there is none.
func read(ctx context.Context, reader client.Reader, namespace, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	return secret, nil
}

// exists is false for what read returns where there is no Secret.
func exists(secret *corev1.Secret) bool { return secret.ResourceVersion != "" }

func issueError(namespace, name string, err error) error {
	return fmt.Errorf("issue the certificate in Secret %s/%s: %w", namespace, name, err)
}

// desired names the objects that must exist for a component. It depends on the spec and not on what was written, so that a
// failed step prunes nothing.
func (r *Round) desired(request Request, result Result) []*metav1.PartialObjectMetadata {
	desired := []*metav1.PartialObjectMetadata{secretMeta(request.Namespace, request.Secret)}
	if r.certManager != nil {
		certificate := certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind)
		desired = append(desired, objectMeta(certificate, request.Namespace, request.Component),
			secretMeta(request.Namespace, certs.IssuedSecret(request.Component)))
		if r.Spec.IssuerRef == nil {
			for _, object := range certs.AuthorityObjects(r.Namespace, nil) {
				desired = append(desired, objectMeta(object.GetObjectKind().GroupVersionKind(), r.Namespace, object.GetName()))
			}
			desired = append(desired, secretMeta(r.Namespace, certs.AuthoritySecret))
		}
	}
	// Our own authority is kept until the component serves with a certificate of cert-manager.
	replaced := result.Err == nil && result.Certificate != nil && result.Certificate.Provider == v1alpha1.CertificatesCertManager
	if r.ownAuthority != nil && !replaced {
		desired = append(desired, secretMeta(r.Namespace, AuthoritySecret))
	}
	return desired
}

func secretMeta(namespace, name string) *metav1.PartialObjectMetadata {
	return objectMeta(corev1.SchemeGroupVersion.WithKind("Secret"), namespace, name)
}

func objectMeta(kind schema.GroupVersionKind, namespace, name string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	object.SetGroupVersionKind(kind)
	return object
}
