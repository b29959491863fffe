// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestReferencesHaveAnOrder: of two missing keys the same one is always reported, so that the status does not change at each look.
func TestReferencesHaveAnOrder(t *testing.T) {
	spec := v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "client"}}}
	for range 20 {
		all := references(spec, &prometheus.Access{})
		if len(all) != 2 || all[0].key.Key != corev1.TLSCertKey {
			t.Fatalf("%+v", all)
		}
	}
}

// TestCredentialsOverHTTP: whether the URL that follows from a Prometheus object is https is not known to the schema. Credentials that
// must not be sent are not even read.
func TestCredentialsOverHTTP(t *testing.T) {
	ref := &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}
	auth := &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "token", Key: "token"}}
	ca := &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{Secret: &v1alpha1.KeyReference{Name: "token", Key: "token"}}}
	overTLS := &monitoringv1.PrometheusWebSpec{WebConfigFileFields: monitoringv1.WebConfigFileFields{TLSConfig: &monitoringv1.WebTLSConfig{}}}
	const withheld = "spec.prometheus.auth is not sent to "
	for name, tc := range map[string]struct {
		spec  v1alpha1.PrometheusSpec
		web   *monitoringv1.PrometheusWebSpec
		says  []string
		token string
	}{
		"an object over http": {spec: v1alpha1.PrometheusSpec{Ref: ref, Auth: auth}, says: []string{
			withheld + "Prometheus monitoring/k8s at http://prometheus-operated.monitoring.svc:9090", "web.tlsConfig", "https URL",
			"spec.prometheus.allowHTTP: true"}},
		"an object over http that may be":         {spec: v1alpha1.PrometheusSpec{Ref: ref, Auth: auth, AllowHTTP: true}, token: "secret"},
		"an object over https":                    {spec: v1alpha1.PrometheusSpec{Ref: ref, Auth: auth}, web: overTLS, token: "secret"},
		"an object over http without credentials": {spec: v1alpha1.PrometheusSpec{Ref: ref, TLS: ca}},
		"an https URL":                            {spec: v1alpha1.PrometheusSpec{URL: "https://thanos.example.com", Auth: auth}, token: "secret"},
		// One of before the schema refused it.
		"an http URL": {spec: v1alpha1.PrometheusSpec{URL: "http://thanos.example.com", Auth: auth}, says: []string{
			withheld + "spec.prometheus.url at http://thanos.example.com"}},
		"an http URL that may be": {spec: v1alpha1.PrometheusSpec{URL: "http://thanos.example.com", Auth: auth, AllowHTTP: true}, token: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			object := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
			object.Spec.Web = tc.web
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: "token"},
				Data: map[string][]byte{"token": []byte("secret")}}
			reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(object, secret).Build()
			source := &Source{Client: reader, Prometheuses: reader, Namespace: "metrics"}
			p, err := source.prometheus(t.Context(), v1alpha1.MetricsPipelineSpec{Prometheus: tc.spec}, Serving(kinds.PrometheusCRD), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.Access.Token); got != tc.token {
				t.Errorf("the token is %q, want %q", got, tc.token)
			}
			if p.Usable() != (tc.says == nil) || (p.CredentialsWithheld == "") != (tc.says == nil) {
				t.Errorf("usable: %v, withheld: %q", p.Usable(), p.CredentialsWithheld)
			}
			for _, part := range tc.says {
				if !strings.Contains(p.CredentialsWithheld, part) {
					t.Errorf("%q does not say %q", p.CredentialsWithheld, part)
				}
			}
		})
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
			"spec.prometheus.auth.bearerToken: Secret metrics/own is the operator's own and not for this; name another"},
		"a certificate": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "own"}}},
			"spec.prometheus.tls.clientCert: Secret metrics/own is the operator's own"},
		"an authority": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{Secret: &own}}},
			"spec.prometheus.tls.ca.secret: Secret metrics/own is the operator's own"},
		"a ConfigMap": {v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{ConfigMap: &own}}},
			"spec.prometheus.tls.ca.configMap: ConfigMap metrics/own is the operator's own"},
		"a user": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{BasicAuth: &v1alpha1.BasicAuth{Username: own, Password: theirs}}},
			"spec.prometheus.auth.basicAuth.username: Secret metrics/own is the operator's own"},
		"a password": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{BasicAuth: &v1alpha1.BasicAuth{Username: theirs, Password: own}}},
			"spec.prometheus.auth.basicAuth.password: Secret metrics/own is the operator's own"},
		"a header": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{Headers: []v1alpha1.PrometheusHeader{{Name: "X-A", Secret: own}}}},
			"spec.prometheus.auth.headers[X-A]: Secret metrics/own is the operator's own"},
		"the user's": {v1alpha1.PrometheusSpec{Auth: &v1alpha1.PrometheusAuth{BearerToken: &theirs}}, ""},
	} {
		access, missing, err := source.Access(t.Context(), tc.spec)
		if err != nil || !strings.HasPrefix(missing, tc.says) || (tc.says == "") != (missing == "") {
			t.Errorf("%s: %q, error %v, want %q", name, missing, err, tc.says)
		}
		if tc.says != "" && string(access.Token)+string(access.CA)+string(access.ClientKey) != "" {
			t.Errorf("%s: %+v was read", name, access)
		}
	}
}

// TestAccess reads everything that spec.prometheus names or says, and headers in an order of their own.
func TestAccess(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: "mimir"},
		Data: map[string][]byte{"user": []byte("admin"), "password": []byte("s3cret"), "tenant": []byte("team-a"), "zone": []byte("b")}}
	source := &Source{Client: fake.NewClientBuilder().WithObjects(secret).Build(), Namespace: "metrics"}
	key := func(name string) v1alpha1.KeyReference { return v1alpha1.KeyReference{Name: "mimir", Key: name} }
	spec := v1alpha1.PrometheusSpec{QueryMethod: v1alpha1.QueryPOST,
		TLS: &v1alpha1.ClientTLS{Verification: v1alpha1.TLSInsecure, ServerName: "gateway.internal"},
		Auth: &v1alpha1.PrometheusAuth{BasicAuth: &v1alpha1.BasicAuth{Username: key("user"), Password: key("password")},
			Headers: []v1alpha1.PrometheusHeader{{Name: "X-Zone", Secret: key("zone")}, {Name: "X-Scope-OrgID", Secret: key("tenant")}}}}
	want := prometheus.Access{Method: v1alpha1.QueryPOST, Insecure: true, ServerName: "gateway.internal",
		Username: []byte("admin"), Password: []byte("s3cret"),
		Headers: []prometheus.Header{{Name: "X-Scope-OrgID", Value: []byte("team-a")}, {Name: "X-Zone", Value: []byte("b")}}}
	access, missing, err := source.Access(t.Context(), spec)
	if err != nil || missing != "" {
		t.Fatalf("%q, %v", missing, err)
	}
	if diff := cmp.Diff(want, access); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
	spec.Auth.Headers[1].Secret.Key = "org"
	if _, missing, _ = source.Access(t.Context(), spec); !strings.HasPrefix(missing, "spec.prometheus.auth.headers[X-Scope-OrgID]: Secret metrics/mimir has no key org") {
		t.Errorf("missing: %q", missing)
	}
}
