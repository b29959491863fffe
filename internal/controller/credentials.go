// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// readCredentials reads what spec.prometheus.tls and auth name. Something that is missing is an observation, not an error: it
// may come later, and brings an event when it does.
func (r *Reconciler) readCredentials(ctx context.Context, s *scope) error {
	spec := s.pipeline.Spec.Prometheus
	auth, tls := ptr.Deref(spec.Auth, v1alpha1.PrometheusAuth{}), ptr.Deref(spec.TLS, v1alpha1.ClientTLS{})
	authority := ptr.Deref(tls.CA, v1alpha1.CertificateAuthority{})
	read := func(field string, object client.Object, name, key string, into *[]byte) error {
		missing, err := r.readKey(ctx, object, name, key, into)
		if missing != "" && s.observed.prometheus.authMissing == "" {
			s.observed.prometheus.authMissing = fmt.Sprintf("spec.prometheus.%s: %s", field, missing)
		}
		return err
	}
	if ref := auth.BearerToken; ref != nil {
		if err := read("auth.bearerToken", &corev1.Secret{}, ref.Name, ref.Key, &s.credentials.Token); err != nil {
			return err
		}
	}
	if ref := authority.Secret; ref != nil {
		if err := read("tls.ca.secret", &corev1.Secret{}, ref.Name, ref.Key, &s.credentials.CA); err != nil {
			return err
		}
	}
	if ref := authority.ConfigMap; ref != nil {
		if err := read("tls.ca.configMap", &corev1.ConfigMap{}, ref.Name, ref.Key, &s.credentials.CA); err != nil {
			return err
		}
	}
	if ref := tls.ClientCert; ref != nil {
		if err := read("tls.clientCert", &corev1.Secret{}, ref.Name, corev1.TLSCertKey, &s.credentials.ClientCert); err != nil {
			return err
		}
		return read("tls.clientCert", &corev1.Secret{}, ref.Name, corev1.TLSPrivateKeyKey, &s.credentials.ClientKey)
	}
	return nil
}

// readKey reads one key of a Secret or ConfigMap in the operator's namespace, and says what is missing.
func (r *Reconciler) readKey(ctx context.Context, object client.Object, name, key string, into *[]byte) (missing string, err error) {
	kind := "Secret"
	if _, ok := object.(*corev1.ConfigMap); ok {
		kind = "ConfigMap"
	}
	err = r.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("there is no %s %s in the operator's namespace %s; create it", kind, name, r.Namespace), nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	var value []byte
	switch typed := object.(type) {
	case *corev1.Secret:
		value = typed.Data[key]
	case *corev1.ConfigMap:
		value = []byte(typed.Data[key])
	}
	if len(value) == 0 {
		return fmt.Sprintf("%s %s/%s has no key %s, or an empty one; add it", kind, r.Namespace, name, key), nil
	}
	*into = value
	return "", nil
}
