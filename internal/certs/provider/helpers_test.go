// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// request is of a component whose name is its own, so that nothing here depends on an operand.
func request(name string) Request {
	return Request{Namespace: "metrics", Component: name, Secret: name + "-tls", DNSNames: []string{name, name + ".metrics.svc"},
		Owners: owners(), Labels: map[string]string{"component": name}}
}

func owners() []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "metricspipeline.io/v1alpha1", Kind: "MetricsPipeline", Name: "default", UID: "pipeline",
		Controller: ptr.To(true)}}
}

// writer stores objects, unless another writer contests them or the API server refuses them, by kind and name.
type writer struct {
	client             client.Client
	contested, refused map[string]bool
	applied            []string
	objects            map[string]client.Object
}

func nameOf(object client.Object) string {
	return object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName()
}

func (w *writer) Apply(ctx context.Context, object client.Object) error {
	name := nameOf(object)
	w.applied = append(w.applied, name)
	switch {
	case w.refused[name]:
		return errors.New(name + " is refused")
	case w.contested[name]:
		return nil
	}
	w.objects[name] = object
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil || name[:6] != "Secret" {
		return err
	}
	secret := &corev1.Secret{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, secret); err != nil {
		return err
	}
	secret.UID, secret.ResourceVersion = "stored", ""
	if err := w.client.Delete(ctx, secret.DeepCopy()); client.IgnoreNotFound(err) != nil {
		return err
	}
	return w.client.Create(ctx, secret)
}

func (w *writer) Contested(_ context.Context, object client.Object) error {
	if w.contested[nameOf(object)] {
		return errors.New(nameOf(object) + " is contested")
	}
	return nil
}

// world is a cluster with a cache that shows everything at once.
type world struct {
	*testing.T
	client client.Client
	writer *writer
	config Config
	// unreadable are the names of objects that cannot be read, and unpatchable of those that cannot be patched.
	unreadable, unpatchable map[string]bool
	patched                 []string
}

// newWorld has cert-manager's CRDs, no certificates, and a spec that says nothing.
func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, certmanagerv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, unreadable: map[string]bool{}, unpatchable: map[string]bool{}}
	inner := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	w.client = interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if w.unreadable[key.Name] {
				return errors.New(key.Name + " is unreadable")
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, ok := list.(*certmanagerv1.CertificateRequestList); ok && w.unreadable["requests"] {
				return errors.New("no permission to list")
			}
			return c.List(ctx, list, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if w.unpatchable[object.GetName()] {
				return errors.New(object.GetName() + " is unpatchable")
			}
			w.patched = append(w.patched, object.GetName())
			return c.Patch(ctx, object, patch, options...)
		},
	})
	w.writer = &writer{client: inner, contested: map[string]bool{}, refused: map[string]bool{}, objects: map[string]client.Object{}}
	w.config = Config{CertManager: true, CertificateRequests: true, Namespace: "metrics", Owners: owners(), Now: start,
		Labels: map[string]string{"shared": "yes"}, Cluster: w.client, Live: w.client, Writer: w.writer}
	return w
}

// round starts a reconcile.
func (w *world) round() *Round {
	w.writer.applied, w.patched = nil, nil
	return New(w.config)
}

// store writes a Secret of another writer.
func (w *world) store(name string, issuer v1alpha1.CertificateProvider, pair certs.Pair, authority []byte) {
	w.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: name, UID: types.UID("uid of " + name)},
		Data: map[string][]byte{corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key, cmmeta.TLSCAKey: authority}}
	if issuer != "" {
		secret.Annotations = map[string]string{providerAnnotation: string(issuer)}
	}
	if err := w.writer.client.Delete(w.Context(), secret.DeepCopy()); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	if err := w.writer.client.Create(w.Context(), secret); err != nil {
		w.Fatal(err)
	}
}

// serve writes a component's Secret as its ladder does.
func (w *world) serve(name string, found Result) {
	w.Helper()
	if err := w.writer.Apply(w.Context(), found.Certificate.Object(request(name), found.Certificate.Authority)); err != nil {
		w.Fatal(err)
	}
}

// theirs is a certificate for a component from an issuer of cert-manager, issued at a time for a lifetime.
func theirs(t *testing.T, name string, at time.Time, lifetime time.Duration) (pair certs.Pair, authority []byte) {
	t.Helper()
	signer, _, err := certs.EnsureAuthority(certs.Pair{}, nil, at)
	if err != nil {
		t.Fatal(err)
	}
	if pair, _, err = certs.EnsureServing(certs.Pair{}, signer, request(name).DNSNames, certs.Lifetime{Duration: lifetime}, at); err != nil {
		t.Fatal(err)
	}
	return pair, signer.Cert
}

// identities of what must not be pruned.
func identities(objects []*metav1.PartialObjectMetadata) []string {
	var names []string
	for _, object := range objects {
		names = append(names, nameOf(object))
	}
	slices.Sort(names)
	return names
}

// judge compares who issued, and what an error says; empty for none.
func (w *world) judge(result Result, issuer v1alpha1.CertificateProvider, says string) {
	w.Helper()
	var by v1alpha1.CertificateProvider
	if result.Certificate != nil {
		by = cmp.Or(result.Certificate.Provider, "unknown")
	}
	if by != issuer {
		w.Errorf("issued by %q, want %q", by, issuer)
	}
	if (says == "") != (result.Err == nil) || result.Err != nil && !strings.Contains(result.Err.Error(), says) {
		w.Errorf("error %v, want %q", result.Err, says)
	}
}

// lateRival contests our authority from the moment at which it is applied.
type lateRival struct{ *writer }

func (l *lateRival) Apply(ctx context.Context, object client.Object) error {
	l.contested["Secret "+AuthoritySecret] = true
	return l.writer.Apply(ctx, object)
}
