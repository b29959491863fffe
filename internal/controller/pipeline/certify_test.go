// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/certs/provider"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// TestBundle trusts an earlier authority until every endpoint serves by the new one and the stored certificate is the new one,
// too: what the cache shows may be older than that.
func TestBundle(t *testing.T) {
	earlier, _, err := certs.EnsureAuthority(certs.Pair{}, nil, moment)
	if err != nil {
		t.Fatal(err)
	}
	const present, before = "lamp-tls", "earlier-tls"
	for name, tc := range map[string]struct {
		// trusted are the certificates in the APIService, with that of the present authority or without.
		alone, present bool
		// endpoints present the certificates of these Secrets; replaced is true where the stored one was replaced meanwhile.
		endpoints []string
		replaced  bool
		// both is true when the earlier authority is still trusted afterwards.
		both, rotates bool
	}{
		"rotated":                         {present: true, endpoints: []string{present, present}},
		"one endpoint serves the earlier": {present: true, endpoints: []string{present, before}, both: true, rotates: true},
		"nothing serves":                  {present: true, both: true, rotates: true},
		"the earlier was stored meanwhile": {
			present: true, endpoints: []string{present, present}, replaced: true, both: true, rotates: true},
		"it is not trusted yet": {endpoints: []string{before}, both: true, rotates: true},
		"nothing to rotate":     {alone: true, endpoints: []string{before}},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy(t, lamp())
			authority := w.secret(provider.AuthoritySecret).Data[corev1.TLSCertKey]
			earlierSecret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: before},
				Data: map[string][]byte{corev1.TLSCertKey: earlier.Cert, corev1.TLSPrivateKeyKey: earlier.Key}}
			w.create(earlierSecret)
			if tc.replaced {
				w.live = earlierSecret.DeepCopy()
				w.live.Name = present
			}
			var trusted []byte
			if !tc.alone {
				trusted = slices.Clone(earlier.Cert)
			}
			if tc.present || tc.alone {
				trusted = slices.Concat(authority, trusted)
			}
			w.trust(trusted)
			w.removeEndpoints()
			for i, secret := range tc.endpoints {
				w.endpoint("endpoint-"+string(rune('a'+i)), "lamp", secret)
			}
			w.restart()
			_, _ = w.reconcile()
			w.answers(len(tc.endpoints))
			_, _ = w.reconcile()

			want := authority
			if tc.both {
				want = slices.Concat(authority, earlier.Cert)
			}
			apiService := &apiregv1.APIService{}
			w.exists(apiService, metricsapi.Resource.Name())
			got := apiService.Spec.CABundle
			if certs.Predecessors(want, got, moment) != 0 || certs.Predecessors(got, want, moment) != 0 {
				t.Errorf("bundle:\n%s\nwant:\n%s", got, want)
			}
			if rotates := strings.HasPrefix(w.condition(v1alpha1.ConditionCertificatesReady), "True Rotating: "); rotates != tc.rotates {
				t.Errorf("rotates: %v, want %v: %s", rotates, tc.rotates, w.condition(v1alpha1.ConditionCertificatesReady))
			}
		})
	}
}

// TestLimitsTheAuthority: one of an earlier release could sign for any name. It is replaced as by a renewal: both are trusted until
// every endpoint serves by the new one.
func TestLimitsTheAuthority(t *testing.T) {
	w := healthy(t, lamp())
	earlier, _, err := certs.EnsureAuthority(certs.Pair{}, nil, moment)
	if err != nil {
		t.Fatal(err)
	}
	component := operand.Component{Name: "lamp", Namespace: namespace}
	serving, _, err := certs.EnsureServing(certs.Pair{}, earlier, component.DNSNames(), certs.LifetimeFor(v1alpha1.CertificatesSpec{}), moment)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]certs.Pair{provider.AuthoritySecret: earlier, "lamp-tls": serving} {
		secret := w.secret(name)
		secret.Data = map[string][]byte{corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key, "ca.crt": earlier.Cert}
		if err := w.client.Update(t.Context(), secret, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
			t.Fatal(err)
		}
	}
	w.trust(earlier.Cert)
	w.restart()
	_, _ = w.reconcile()

	pair, err := tls.X509KeyPair(w.secret(provider.AuthoritySecret).Data[corev1.TLSCertKey],
		w.secret(provider.AuthoritySecret).Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		t.Fatal(err)
	}
	if got := pair.Leaf.PermittedDNSDomains; !slices.Equal(got, component.DNSNames()) || !pair.Leaf.PermittedDNSDomainsCritical {
		t.Errorf("the authority can sign for %q", got)
	}
	apiService := &apiregv1.APIService{}
	w.exists(apiService, metricsapi.Resource.Name())
	if certs.Predecessors(earlier.Cert, apiService.Spec.CABundle, moment) != 1 {
		t.Errorf("the API server does not trust both authorities:\n%s", apiService.Spec.CABundle)
	}
	if got := w.condition(v1alpha1.ConditionCertificatesReady); !strings.HasPrefix(got, "True Rotating: ") {
		t.Errorf("CertificatesReady: %s", got)
	}
}

// fight has a rival change an object of ours so often that it is contested.
func (w *world) fight(object client.Object, name string, spoil func()) {
	w.t.Helper()
	for range 4 {
		if !w.exists(object, name) {
			w.t.Fatalf("there is no %T %s to fight for", object, name)
		}
		spoil()
		if err := w.client.Update(w.t.Context(), object, client.FieldOwner("rival")); err != nil {
			w.t.Fatal(err)
		}
		_, _ = w.reconcile()
	}
}

// TestContestedIsNoted, and is no error: the other objects are written all the same.
func TestContestedIsNoted(t *testing.T) {
	w := healthy(t, lamp())
	service := &corev1.Service{}
	w.fight(service, "lamp", func() { service.Spec.Selector = map[string]string{"app": "rival"} })
	w.remove(&appsv1.Deployment{}, "lamp")
	result, err := w.reconcile()
	if err != nil || result.RequeueAfter != time.Hour {
		t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
	}
	if got := w.condition(v1alpha1.ConditionReady); !strings.Contains(got, "Service metrics/lamp: ") {
		t.Errorf("Ready: %s", got)
	}
	if w.exists(service, "lamp"); service.Spec.Selector["app"] != "rival" {
		t.Error("repaired once more")
	}
	if !w.exists(&appsv1.Deployment{}, "lamp") {
		t.Error("the Deployment was not put back")
	}
}

// TestContestedCertificate: nothing comes to trust or to sign by what cannot be stored. Of one component's certificate, the others
// take no notice.
func TestContestedCertificate(t *testing.T) {
	for name, tc := range map[string]struct {
		secret string
		others bool
	}{
		"that a component serves": {"lamp-tls", true},
		"of our authority":        {provider.AuthoritySecret, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy(t, lamp(), radio())
			trusted, served := w.caBundles(), w.secret("radio-tls").Data[corev1.TLSCertKey]
			secret := &corev1.Secret{}
			w.fight(secret, tc.secret, func() { secret.Data[corev1.TLSCertKey] = []byte("spoiled") })
			// Every reconcile would issue another one now.
			trustedThen := w.caBundles()
			w.drain()
			w.clock.SetTime(moment.Add(time.Minute))
			for range 2 {
				_, _ = w.reconcile()
			}
			if got := w.secret(tc.secret).Data[corev1.TLSCertKey]; string(got) != "spoiled" {
				t.Error("the Secret was stored once more")
			}
			if got := w.caBundles(); !slices.Equal(got, trustedThen) {
				t.Error("what cannot be stored has come to be trusted")
			}
			if got := w.condition(v1alpha1.ConditionReady); !strings.Contains(got, "Secret metrics/"+tc.secret) {
				t.Errorf("Ready: %s", got)
			}
			for _, event := range w.drain() {
				if strings.Contains(event, "CertificateIssued") {
					t.Errorf("Event %s", event)
				}
			}
			if tc.others && (!slices.Equal(w.secret("radio-tls").Data[corev1.TLSCertKey], served) || w.caBundles()[1] != trusted[1]) {
				t.Error("the certificate of the other component has changed")
			}
			w.remove(&appsv1.Deployment{}, "radio")
			if _, _ = w.reconcile(); !w.exists(&appsv1.Deployment{}, "radio") {
				t.Error("the other component was not put back")
			}
		})
	}
}

// caBundles returns those of lamp and radio.
func (w *world) caBundles() []string {
	w.t.Helper()
	var bundles []string
	for _, api := range []metricsapi.API{metricsapi.Resource, metricsapi.External} {
		apiService := &apiregv1.APIService{}
		w.exists(apiService, api.Name())
		bundles = append(bundles, string(apiService.Spec.CABundle))
	}
	return bundles
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{}
	if !w.exists(secret, name) {
		w.t.Fatalf("there is no Secret %s", name)
	}
	return secret
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

// trust sets the caBundle of the resource metrics API.
func (w *world) trust(bundle []byte) {
	w.t.Helper()
	apiService := &apiregv1.APIService{}
	w.exists(apiService, metricsapi.Resource.Name())
	apiService.Spec.CABundle = bundle
	if err := w.client.Update(w.t.Context(), apiService, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		w.t.Fatal(err)
	}
}
