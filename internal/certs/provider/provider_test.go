// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

const (
	builtIn = v1alpha1.CertificatesBuiltIn
	manager = v1alpha1.CertificatesCertManager
	none    = v1alpha1.CertificateProvider("")
)

var (
	company = v1alpha1.CertificatesSpec{IssuerRef: &v1alpha1.IssuerReference{Name: "company"}}
	// issuerObjects are those that cert-manager makes its authority and an issuer of it from.
	issuerObjects = []string{"Certificate metricspipeline-ca", "Issuer metricspipeline-ca", "Issuer metricspipeline-selfsigned"}
)

// TestWhoIssues: whom the spec and the cluster have a component be certified by, and what is to be said of it.
func TestWhoIssues(t *testing.T) {
	const day = 24 * time.Hour
	year := 365 * day
	for name, tc := range map[string]struct {
		spec     v1alpha1.CertificatesSpec
		absent   bool
		issued   time.Duration // how long ago cert-manager issued; 0 for not at all
		lifetime time.Duration // of that, a year unless set
		serving  time.Duration // how long ago what serves now was issued by cert-manager; 0 where nothing serves
		bare     bool          // without ca.crt
		want     v1alpha1.CertificateProvider
		result   Result // the findings
	}{
		"by default, without cert-manager":     {absent: true, want: builtIn},
		"built in":                             {spec: v1alpha1.CertificatesSpec{Provider: builtIn}, issued: day, want: builtIn},
		"by default":                           {issued: day, want: manager},
		"by default, not issued yet":           {want: builtIn, result: Result{Message: "has not looked at the Certificate yet"}},
		"by default, overdue":                  {issued: year - day, want: builtIn, result: Result{Message: "ends on"}},
		"by default, without ca.crt":           {issued: day, bare: true, want: builtIn, result: Result{WithoutCA: true}},
		"by default, not issued, served":       {serving: day, want: builtIn, result: Result{Message: "has not looked at the Certificate yet"}},
		"from an issuer":                       {spec: company, issued: day, want: manager},
		"from an issuer that caps":             {spec: company, issued: day, lifetime: 3 * day, want: manager},
		"from one that caps, due":              {spec: company, issued: 2 * day, lifetime: 3 * day, want: manager},
		"from one that caps, overdue":          {spec: company, issued: 5 * day / 2, lifetime: 3 * day, want: none, result: Result{Waiting: true, Message: "ends on"}},
		"from an issuer, not yet":              {spec: company, want: none, result: Result{Waiting: true, Message: "Certificate metrics/backend: "}},
		"from an issuer, not yet, served":      {spec: company, serving: day, want: manager, result: Result{Waiting: true, Message: "Certificate metrics/backend: "}},
		"from an issuer, not renewed":          {spec: company, serving: year - day, want: manager, result: Result{Waiting: true, Overdue: true, Message: "Certificate metrics/backend: "}},
		"from an issuer, not renewed, ended":   {spec: company, serving: year + day, want: none, result: Result{Waiting: true, Message: "Certificate metrics/backend: "}},
		"from an issuer without ca.crt":        {spec: company, issued: day, bare: true, want: none, result: Result{Waiting: true, WithoutCA: true}},
		"from an issuer, absent":               {spec: company, absent: true, want: none, result: Result{Waiting: true, CertManagerMissing: true}},
		"from an issuer, absent, served":       {spec: company, absent: true, serving: day, want: manager, result: Result{Waiting: true, CertManagerMissing: true}},
		"from cert-manager by name, absent":    {spec: v1alpha1.CertificatesSpec{Provider: manager}, absent: true, want: none, result: Result{Waiting: true, CertManagerMissing: true}},
		"from cert-manager by name, by itself": {spec: v1alpha1.CertificatesSpec{Provider: manager}, issued: day, want: manager},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Spec, w.config.CertManager = tc.spec, !tc.absent
			if tc.lifetime == 0 {
				tc.lifetime = year
			}
			if tc.issued > 0 {
				pair, authority := theirs(t, "backend", start.Add(-tc.issued), tc.lifetime)
				if tc.bare {
					authority = nil
				}
				w.store("backend-issued", "", pair, authority)
			}
			if tc.serving > 0 {
				pair, authority := theirs(t, "backend", start.Add(-tc.serving), tc.lifetime)
				w.store("backend-tls", manager, pair, authority)
			}
			got := w.round().For(t.Context(), request("backend"))
			w.judge(got, tc.want, "")
			if (tc.result.Message == "") != (got.Message == "") || !strings.Contains(got.Message, tc.result.Message) {
				t.Errorf("message %q, want %q", got.Message, tc.result.Message)
			}
			got.Certificate, got.Desired, got.Next, got.Message, tc.result.Message = nil, nil, time.Time{}, "", ""
			if diff := gocmp.Diff(tc.result, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKept: what was issued is kept as long as it was stored, and goes back to the Secret that it was read from and to no other.
func TestKept(t *testing.T) {
	w := newWorld(t)
	w.config.CertManager = false
	first := w.round().For(t.Context(), request("backend"))
	if first.Certificate.Issued != "there is none yet" || first.Certificate.ReadFrom != nil {
		t.Errorf("new: issued %q, read from %v", first.Certificate.Issued, first.Certificate.ReadFrom)
	}
	object := first.Certificate.Object(request("backend"), []byte("bundle"))
	if object.GetUID() != "" || object.GetResourceVersion() != "" {
		t.Errorf("new, and only for the Secret %s", object.GetUID())
	}
	// Not stored: no pod has it.
	if again := w.round().For(t.Context(), request("backend")); again.Certificate.Issued == "" {
		t.Error("kept although it was not stored")
	}

	w.serve("backend", first)
	w.config.Now = start.Add(time.Hour)
	kept := w.round().For(t.Context(), request("backend"))
	if kept.Certificate.Issued != "" || !gocmp.Equal(kept.Certificate.Pair, first.Certificate.Pair) {
		t.Errorf("not kept: %s", kept.Certificate.Issued)
	}
	object = kept.Certificate.Object(request("backend"), []byte("bundle"))
	if object.GetUID() != "stored" || object.GetResourceVersion() != kept.Certificate.ReadFrom.ResourceVersion {
		t.Errorf("would come back to another Secret: UID %q, version %q", object.GetUID(), object.GetResourceVersion())
	}
	if stored, err := w.round().Stored(t.Context(), request("backend"), *kept.Certificate); err != nil || !stored {
		t.Errorf("stored: %v, %v", stored, err)
	}
	other := Certificate{Pair: certs.Pair{Cert: []byte("another")}}
	if stored, err := w.round().Stored(t.Context(), request("backend"), other); err != nil || stored {
		t.Errorf("another is stored: %v, %v", stored, err)
	}
}

// TestObject pins the Secret.
func TestObject(t *testing.T) {
	c := Certificate{Provider: manager, Pair: certs.Pair{Cert: []byte("cert"), Key: []byte("key")}, Authority: []byte("current")}
	got := c.Object(request("backend"), []byte("bundle"))
	want := map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{"name": "backend-tls", "namespace": "metrics", "labels": map[string]any{"component": "backend"},
			"annotations": map[string]any{"metricspipeline.io/certificate-provider": "CertManager"},
			"ownerReferences": []any{map[string]any{"apiVersion": "metricspipeline.io/v1alpha1", "kind": "MetricsPipeline", "name": "default",
				"uid": "pipeline", "controller": true}}},
		"data": map[string]any{"tls.crt": "Y2VydA==", "tls.key": "a2V5", "ca.crt": "YnVuZGxl"}}
	if diff := gocmp.Diff(want, got.Object); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
}

// TestLooksBeforeItIssues: a cache that has not seen the authority yet must not cost what the authority signed.
func TestLooksBeforeItIssues(t *testing.T) {
	w := newWorld(t)
	w.config.CertManager = false
	first := w.round().For(t.Context(), request("backend"))
	w.serve("backend", first)
	w.config.Cluster = newWorld(t).client
	behind := w.round()
	second := behind.For(t.Context(), request("backend"))
	if !gocmp.Equal(first.Certificate.Pair, second.Certificate.Pair) || second.Certificate.Issued != "" || behind.Authorities()[0].Issued != "" {
		t.Errorf("issued anew: %q, the authority %q", second.Certificate.Issued, behind.Authorities()[0].Issued)
	}
	if second.Certificate.ReadFrom == nil {
		t.Error("it is not known which Secret it was read from")
	}
}

// TestSharedOnce: what components share is made by the first that needs it, in the order in which it must exist.
func TestSharedOnce(t *testing.T) {
	w := newWorld(t)
	r := w.round()
	r.For(t.Context(), request("one"))
	r.For(t.Context(), request("two"))
	want := []string{"Issuer metricspipeline-selfsigned", "Certificate metricspipeline-ca", "Issuer metricspipeline-ca",
		"Certificate one", "Secret metricspipeline-ca", "Certificate two"}
	if diff := gocmp.Diff(want, w.writer.applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	if got := r.Authorities(); len(got) != 1 || got[0].Secret != AuthoritySecret || got[0].Issued == "" || !got[0].Expiry.After(got[0].Renewal) {
		t.Errorf("authorities %+v", got)
	}
	for _, name := range want {
		object := w.writer.objects[name]
		if len(object.GetOwnerReferences()) != 1 || len(object.GetLabels()) != 1 {
			t.Errorf("%s: owners %v, labels %v", name, object.GetOwnerReferences(), object.GetLabels())
		}
	}
	if w.round(); len(w.writer.applied) > 0 {
		t.Errorf("applied without a component: %v", w.writer.applied)
	}
}

// TestDesired: what must not be pruned does not depend on how far a round came.
func TestDesired(t *testing.T) {
	own := []string{"Certificate backend", "Secret backend-issued", "Secret backend-tls"}
	shared := append([]string{"Secret metricspipeline-ca-issued"}, issuerObjects...)
	const authority = "Secret metricspipeline-ca"
	for name, tc := range map[string]struct {
		change func(*world)
		want   []string
	}{
		"built in": {func(w *world) { w.config.Spec.Provider = builtIn }, []string{authority, "Secret backend-tls"}},
		"built in, the authority is refused": {func(w *world) { w.config.Spec.Provider = builtIn; w.writer.refused[authority] = true },
			[]string{authority, "Secret backend-tls"}},
		"not issued yet":          {func(*world) {}, slices.Concat(own, shared, []string{authority})},
		"an issuer is refused":    {func(w *world) { w.writer.refused["Issuer metricspipeline-selfsigned"] = true }, slices.Concat(own, shared, []string{authority})},
		"the Secret is contested": {func(w *world) { w.writer.contested["Secret backend-tls"] = true }, slices.Concat(own, shared, []string{authority})},
		"issued":                  {func(w *world) { w.issued("backend") }, slices.Concat(own, shared)},
		"issued, and adoption fails": {func(w *world) { w.issued("backend"); w.unpatchable["backend-issued"] = true },
			slices.Concat(own, shared, []string{authority})},
		"from an issuer":         {func(w *world) { w.config.Spec = company }, own},
		"from an issuer, absent": {func(w *world) { w.config.Spec, w.config.CertManager = company, false }, []string{"Secret backend-tls"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.change(w)
			slices.Sort(tc.want)
			got := w.round().For(t.Context(), request("backend"))
			if diff := gocmp.Diff(tc.want, identities(got.Desired)); diff != "" {
				t.Errorf("desired (-want +got):\n%s", diff)
			}
		})
	}
}

// issued has cert-manager issue for a component, an hour ago.
func (w *world) issued(name string) {
	w.Helper()
	pair, authority := theirs(w.T, name, start.Add(-time.Hour), 365*24*time.Hour)
	w.store(name+"-issued", "", pair, authority)
}

// TestNext: what follows from the time alone brings its own round.
func TestNext(t *testing.T) {
	w := newWorld(t)
	w.config.Spec = company
	pair, authority := theirs(t, "backend", start.Add(time.Hour), 72*time.Hour)
	w.store("backend-issued", "", pair, authority)
	times := certs.TimesOf(pair.Cert, certs.LifetimeFor(company), true)
	begins, renewal, overdue := times.Start, times.Renewal, times.Overdue
	if got := w.round().For(t.Context(), request("backend")); got.Certificate != nil || !got.Next.Equal(begins) {
		t.Errorf("not valid yet: next at %s, want %s", got.Next, begins)
	}
	for at, want := range map[time.Time]time.Time{begins: renewal, renewal: overdue, overdue: {}} {
		w.config.Now = at
		if got := w.round().For(t.Context(), request("backend")); !got.Next.Equal(want) {
			t.Errorf("at %s: next at %s, want %s", at, got.Next, want)
		}
	}

	// The authority is older than what it signed and is renewed first.
	w = newWorld(t)
	w.config.Spec.Provider = builtIn
	old, _, err := certs.EnsureAuthority(certs.Pair{}, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	w.store(AuthoritySecret, builtIn, old, old.Cert)
	first := certs.AuthorityTimes(old.Cert).Renewal
	w.config.Now = first.Add(-time.Hour)
	if got := w.round().For(t.Context(), request("backend")); !got.Next.Equal(first) {
		t.Errorf("next at %s, want the renewal of the authority at %s", got.Next, first)
	}
}

// TestMessage gives cert-manager's words, and what is missing of them.
func TestMessage(t *testing.T) {
	certificate := &certmanagerv1.Certificate{}
	certificate.Namespace, certificate.Name = "metrics", "backend"
	certificate.Status.Conditions = []certmanagerv1.CertificateCondition{
		{Type: certmanagerv1.CertificateConditionReady, Status: "False", Message: "issuer not found"}}
	for name, tc := range map[string]struct {
		unreadable string
		want       string
	}{
		"readable":                    {"", "Certificate metrics/backend: issuer not found"},
		"without CertificateRequests": {"requests", "issuer not found; its CertificateRequests cannot be listed: no permission to list"},
		"without the Certificate":     {"backend", "Certificate metrics/backend cannot be read: backend is unreadable"},
	} {
		w := newWorld(t, certificate.DeepCopy())
		w.config.Spec = company
		w.unreadable[tc.unreadable] = true
		got := w.round().For(t.Context(), request("backend"))
		if got.Err != nil || !got.Waiting || !strings.Contains(got.Message, tc.want) {
			t.Errorf("%s: %q, error %v", name, got.Message, got.Err)
		}
	}
}

// TestAdopts gives owners to the Secrets that cert-manager leaves behind, once.
func TestAdopts(t *testing.T) {
	w := newWorld(t)
	w.issued("backend")
	authority, _, err := certs.EnsureAuthority(certs.Pair{}, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	w.store(certs.AuthoritySecret, "", authority, nil)
	// As with --enable-certificate-owner-ref.
	key, secret := client.ObjectKey{Namespace: "metrics", Name: "backend-issued"}, &corev1.Secret{}
	if err := w.client.Get(t.Context(), key, secret); err != nil {
		t.Fatal(err)
	}
	secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: "backend", UID: "certificate",
		Controller: ptr.To(true)}}
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	r := w.round()
	w.judge(r.For(t.Context(), request("backend")), manager, "")
	if diff := gocmp.Diff([]string{"metricspipeline-ca-issued", "backend-issued"}, w.patched); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	if got := r.Authorities(); len(got) != 1 || got[0].Secret != certs.AuthoritySecret || got[0].Provider != manager || got[0].Issued != "" {
		t.Errorf("authorities %+v", got)
	}
	if err := w.client.Get(t.Context(), key, secret); err != nil {
		t.Fatal(err)
	}
	controllers := map[string]bool{}
	for _, owner := range secret.OwnerReferences {
		controllers[owner.Kind] = *owner.Controller
	}
	if diff := gocmp.Diff(map[string]bool{"Certificate": true, "MetricsPipeline": false}, controllers); diff != "" {
		t.Errorf("owners, and which is a controller (-want +got):\n%s", diff)
	}
	w.judge(w.round().For(t.Context(), request("backend")), manager, "")
	if len(w.patched) > 0 {
		t.Errorf("patched again: %v", w.patched)
	}
}
