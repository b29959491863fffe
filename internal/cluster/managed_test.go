// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestAuthoritiesOfComponents: they are those of the operator's own Secrets, and none is read without the token to scrape with.
func TestAuthoritiesOfComponents(t *testing.T) {
	secret := func(name, key string, ours bool) *corev1.Secret {
		made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: name}, Data: map[string][]byte{key: []byte("of " + name)}}
		if ours {
			made.Labels = map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
		}
		return made
	}
	all := fake.NewClientBuilder().WithObjects(secret("metrics-server-tls", "ca.crt", true), secret("other-tls", "ca.crt", false),
		secret("managed-prometheus-access", "password", true)).Build()
	s := &Source{Client: all, Namespace: "metrics"}
	if found, err := s.componentAuthorities(t.Context()); err != nil || found != nil {
		t.Errorf("without a token: %v, %v", found, err)
	}
	if err := all.Create(t.Context(), secret(MetricsSecret, MetricsTokenKey, false)); err != nil {
		t.Fatal(err)
	}
	found, err := s.componentAuthorities(t.Context())
	if diff := gocmp.Diff(map[string]string{"metrics-server-tls": "of metrics-server-tls"}, found); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// stored is the Secret as the operator writes it.
func stored(token Token) map[string][]byte {
	return map[string][]byte{TokenKey: []byte(token.Value), TokenHashKey: []byte(token.Hash)}
}

// TestToken: it is made once, and anew where its Secret is deleted or its hash is that of another.
func TestToken(t *testing.T) {
	s := &Source{}
	next := func(data map[string][]byte) Token {
		t.Helper()
		token, err := s.tokenOf(data)
		if err != nil {
			t.Fatal(err)
		}
		if bcrypt.CompareHashAndPassword([]byte(token.Hash), []byte(token.Value)) != nil {
			t.Errorf("the hash is not that of the token")
		}
		return token
	}
	first := next(nil)
	if again := next(nil); again != first {
		t.Error("another one is made before the cache shows the first")
	}
	if again := next(stored(first)); again != first {
		t.Error("the stored one is not used")
	}
	second := next(nil)
	if second == first {
		t.Error("the Secret is deleted, and the token stays")
	}
	if again := next(stored(second)); again != second {
		t.Error("the second is not used")
	}
	if edited := next(stored(Token{Value: "mine", Hash: second.Hash})); edited == second || edited.Value == "mine" {
		t.Errorf("an edited Secret gives %q", edited.Value)
	}
	// A restart reads what is stored.
	s = &Source{}
	if again := next(stored(second)); again != second {
		t.Error("a restart makes another")
	}
}
