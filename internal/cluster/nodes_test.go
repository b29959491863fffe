// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// TestAuthorities are read from either kind; what is not there, or is no certificate, is named with its field.
func TestAuthorities(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	named := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "metrics", Name: name, Labels: labels}
	}
	objects := fake.NewClientBuilder().WithObjects(
		&corev1.ConfigMap{ObjectMeta: named("bundle", nil), Data: map[string]string{"ca.pem": authority, "readme": "no certificate"}},
		&corev1.Secret{ObjectMeta: named("bundle", nil), Data: map[string][]byte{"ca.pem": []byte(authority)}},
		&corev1.Secret{ObjectMeta: named("own", ownership.Labels("")), Data: map[string][]byte{"ca.pem": []byte(authority)}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
	).Build()
	source := &Source{Client: objects, Namespace: "metrics"}
	secret := func(name, key string) *v1alpha1.CertificateAuthority {
		return &v1alpha1.CertificateAuthority{Secret: &v1alpha1.KeyReference{Name: name, Key: key}}
	}
	configMap := func(name, key string) *v1alpha1.CertificateAuthority {
		return &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{Name: name, Key: key}}
	}
	const field = "spec.lamp.tls.ca"
	for name, tc := range map[string]struct {
		ca            *v1alpha1.CertificateAuthority
		want, missing string
	}{
		"none":                {},
		"a ConfigMap":         {ca: configMap("bundle", "ca.pem"), want: authority},
		"a Secret":            {ca: secret("bundle", "ca.pem"), want: authority},
		"a missing ConfigMap": {ca: configMap("kubelet-ca", "ca.pem"), missing: field + ".configMap: there is no ConfigMap kubelet-ca in the"},
		"a missing Secret":    {ca: secret("kubelet-ca", "ca.pem"), missing: field + ".secret: there is no Secret kubelet-ca in the"},
		"a missing key":       {ca: configMap("bundle", "tls.crt"), missing: field + ".configMap: ConfigMap metrics/bundle has no key tls.crt"},
		"no certificate":      {ca: configMap("bundle", "readme"), missing: field + ".configMap: key readme of bundle has no certificate in PEM"},
		"the operator's own":  {ca: secret("own", "ca.pem"), missing: field + ".secret: Secret metrics/own is the operator's own"},
	} {
		t.Run(name, func(t *testing.T) {
			source.Authorities = func(v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority {
				return map[string]*v1alpha1.CertificateAuthority{"lamp.tls.ca": tc.ca}
			}
			all, err := source.authorities(t.Context(), v1alpha1.MetricsPipelineSpec{})
			if err != nil {
				t.Fatal(err)
			}
			got := all["lamp.tls.ca"]
			if string(got.Content) != tc.want || !strings.HasPrefix(got.Missing, tc.missing) || (got.Missing == "") != (tc.missing == "") {
				t.Errorf("%+v, want %q missing", got, tc.missing)
			}
		})
	}

	names, err := source.nodes(t.Context())
	if diff := cmp.Diff([]string{"a", "b"}, names); err != nil || diff != "" {
		t.Errorf("error %v, nodes (-want +got):\n%s", err, diff)
	}
}
