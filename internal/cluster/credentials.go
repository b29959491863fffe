// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// reference is a key that a field of the spec names, and where its content is stored.
type reference struct {
	field     string
	configMap bool
	key       v1alpha1.KeyReference
	into      *[]byte
}

// authorityReference returns the key that a field names as a certificate authority; false where it names none.
func authorityReference(field string, named *v1alpha1.CertificateAuthority, into *[]byte) (reference, bool) {
	switch {
	case named != nil && named.Secret != nil:
		return reference{field: field + ".secret", key: *named.Secret, into: into}, true
	case named != nil && named.ConfigMap != nil:
		return reference{field: field + ".configMap", key: *named.ConfigMap, into: into, configMap: true}, true
	default:
		return reference{}, false
	}
}

// references returns the keys that spec.prometheus names.
func references(spec v1alpha1.PrometheusSpec, c *prometheus.Access) []reference {
	all := authReferences(spec.Auth, c)
	if spec.TLS == nil {
		return all
	}
	if authority, named := authorityReference("tls.ca", spec.TLS.CA, &c.CA); named {
		all = append(all, authority)
	}
	if cert := spec.TLS.ClientCert; cert != nil {
		of := func(key string) v1alpha1.KeyReference { return v1alpha1.KeyReference{Name: cert.Name, Key: key} }
		all = append(all, reference{field: "tls.clientCert", key: of(corev1.TLSCertKey), into: &c.ClientCert},
			reference{field: "tls.clientCert", key: of(corev1.TLSPrivateKeyKey), into: &c.ClientKey})
	}
	return all
}

// authReferences returns those that spec.prometheus.auth names.
func authReferences(spec *v1alpha1.PrometheusAuth, c *prometheus.Access) []reference {
	if spec == nil {
		return nil
	}
	var all []reference
	if spec.BearerToken != nil {
		all = append(all, reference{field: "auth.bearerToken", key: *spec.BearerToken, into: &c.Token})
	}
	if basic := spec.BasicAuth; basic != nil {
		all = append(all, reference{field: "auth.basicAuth.username", key: basic.Username, into: &c.Username},
			reference{field: "auth.basicAuth.password", key: basic.Password, into: &c.Password})
	}
	// In an order of their own: several may own the list, and its order must not replace the adapter's pods.
	sorted := slices.SortedFunc(slices.Values(spec.Headers), func(a, b v1alpha1.PrometheusHeader) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	c.Headers = make([]prometheus.Header, len(sorted))
	for i, header := range sorted {
		c.Headers[i].Name = header.Name
		all = append(all, reference{field: "auth.headers[" + header.Name + "]", key: header.Secret, into: &c.Headers[i].Value})
	}
	return all
}

// withheld says why the credentials of spec.prometheus must not be sent to a Prometheus; empty where they may be. The schema
// refuses an http URL in spec.prometheus.url; the one that follows from a Prometheus object is not known there, and may change.
func withheld(spec v1alpha1.PrometheusSpec, target prometheus.Target) string {
	parsed, err := url.Parse(target.URL)
	if spec.Auth == nil || spec.AllowHTTP || err == nil && parsed.Scheme == "https" {
		return ""
	}
	return fmt.Sprintf("spec.prometheus.auth is not sent to %s at %s: anyone on the way could read it; serve that Prometheus by https "+
		"(web.tlsConfig of the Prometheus object), set spec.prometheus.url to an https URL, or accept the risk with "+
		"spec.prometheus.allowHTTP: true", target.Origin, target.URL)
}

// Access returns how Prometheus is queried, and reads what spec.prometheus names by Client from Namespace. A missing object is a fact, not
// an error: its creation brings an event.
func (s *Source) Access(ctx context.Context, spec v1alpha1.PrometheusSpec) (prometheus.Access, string, error) {
	access := prometheus.Access{Method: spec.QueryMethod, Dial: s.Dial}
	if spec.TLS != nil {
		access.ServerName, access.Insecure = spec.TLS.ServerName, spec.TLS.Verification == v1alpha1.TLSInsecure
	}
	first := ""
	for _, ref := range references(spec, &access) {
		missing, err := s.readKey(ctx, ref)
		if err != nil {
			return access, fmt.Sprintf("spec.prometheus.%s: %v", ref.field, err), err
		}
		if missing != "" && first == "" {
			first = fmt.Sprintf("spec.prometheus.%s: %s", ref.field, missing)
		}
	}
	return access, first, nil
}

// readKey reads one key of a Secret or ConfigMap in the operator's namespace, and says what is missing.
func (s *Source) readKey(ctx context.Context, ref reference) (missing string, err error) {
	kind, object := "Secret", client.Object(&corev1.Secret{})
	if ref.configMap {
		kind, object = "ConfigMap", &corev1.ConfigMap{}
	}
	err = s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.key.Name}, object)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("there is no %s %s in the operator's namespace %s; create it", kind, ref.key.Name, s.Namespace), nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s %s/%s: %w", kind, s.Namespace, ref.key.Name, err)
	}
	if ownership.Labeled(object) {
		// Its authority's key would go to whatever answers at the URL, and into the pods.
		return fmt.Sprintf("%s %s/%s is the operator's own and not for this; name another", kind, s.Namespace, ref.key.Name), nil
	}
	var value []byte
	switch typed := object.(type) {
	case *corev1.Secret:
		value = typed.Data[ref.key.Key]
	case *corev1.ConfigMap:
		value = []byte(typed.Data[ref.key.Key])
	}
	if len(value) == 0 {
		return fmt.Sprintf("%s %s/%s has no key %s, or an empty one; add it", kind, s.Namespace, ref.key.Name, ref.key.Key), nil
	}
	*ref.into = value
	return "", nil
}
