// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestReferencesHaveAnOrder: of two missing keys the same one is always reported, so that the status does not change at each look.
func TestReferencesHaveAnOrder(t *testing.T) {
	spec := v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "client"}}}
	for range 20 {
		all := references(spec, &prometheus.Credentials{})
		if len(all) != 2 || all[0].key.Key != corev1.TLSCertKey {
			t.Fatalf("%+v", all)
		}
	}
}

// TestOwnSecretsAreRefused: whoever may edit the pipeline would have the authority's key sent to a URL, or mounted into the pods.
func TestOwnSecretsAreRefused(t *testing.T) {
	meta := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "metrics", Name: name, Labels: labels}
	}
	objects := fake.NewClientBuilder().WithObjects(
		&corev1.Secret{ObjectMeta: meta("own", ownership.Labels("")), Data: map[string][]byte{"tls.key": []byte("secret")}},
		&corev1.ConfigMap{ObjectMeta: meta("own", ownership.Labels("")), Data: map[string]string{"tls.key": "a"}},
		&corev1.Secret{ObjectMeta: meta("theirs", nil), Data: map[string][]byte{"tls.key": []byte("token")}},
	).Build()
	source := &Source{Client: objects, Namespace: "metrics"}
	own, theirs := v1alpha1.KeyReference{Name: "own", Key: "tls.key"}, v1alpha1.KeyReference{Name: "theirs", Key: "tls.key"}
	for name, tc := range map[string]struct {
		spec v1alpha1.PrometheusSpec
		says string
	}{
		"a token": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{BearerToken: &own}},
			"spec.prometheus.auth.bearerToken: Secret metrics/own is the operator's own and not for a Prometheus; name another"},
		"a certificate": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "own"}}},
			"spec.prometheus.tls.clientCert: Secret metrics/own is the operator's own"},
		"an authority": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{Secret: &own}}},
			"spec.prometheus.tls.ca.secret: Secret metrics/own is the operator's own"},
		"a ConfigMap": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{ConfigMap: &own}}},
			"spec.prometheus.tls.ca.configMap: ConfigMap metrics/own is the operator's own"},
		"the user's": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{BearerToken: &theirs}}, ""},
	} {
		credentials, missing, err := source.credentials(t.Context(), tc.spec)
		if err != nil || !strings.HasPrefix(missing, tc.says) || (tc.says == "") != (missing == "") {
			t.Errorf("%s: %q, error %v, want %q", name, missing, err, tc.says)
		}
		if tc.says != "" && string(credentials.Token)+string(credentials.CA)+string(credentials.ClientKey) != "" {
			t.Errorf("%s: %+v was read", name, credentials)
		}
	}
}
