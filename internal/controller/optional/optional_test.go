// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package optional

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// spy writes down which watches begin and end.
type spy struct {
	did  []string
	fail error
}

type spiedController struct {
	controller.Controller
	*spy
}

func (s spiedController) Watch(source.Source) error {
	s.did = append(s.did, "watch")
	return s.fail
}

type spiedCache struct {
	cache.Cache
	*spy
}

func (s spiedCache) RemoveInformer(_ context.Context, object client.Object) error {
	s.did = append(s.did, "stop "+object.GetName())
	return s.fail
}

// mapper knows the kinds that are served, or fails.
type mapper struct {
	meta.RESTMapper
	served map[string]bool
	fail   error
}

func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	switch {
	case m.fail != nil:
		return nil, m.fail
	case m.served[kind.Kind]:
		return &meta.RESTMapping{}, nil
	default:
		return nil, &meta.NoKindMatchError{GroupKind: kind, SearchedVersions: versions}
	}
}

// world is watches on the kinds One and Two over an API server in memory.
type world struct {
	*spy
	client  client.Client
	mapper  *mapper
	watches *Watches
}

func newWorld(t *testing.T) world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiextv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := world{spy: &spy{}, mapper: &mapper{served: map[string]bool{}}}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(w.mapper).Build()
	kind := func(name string) Kind {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		return Kind{CRD: strings.ToLower(name) + "s.example.com", Object: object, Cache: spiedCache{spy: w.spy},
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: name}}
	}
	w.watches = New(w.client, kind("One"), kind("Two"))
	w.watches.Start(spiedController{spy: w.spy})
	return w
}

func (w world) ensure(t *testing.T) (served Served, did []string) {
	t.Helper()
	served, err := w.watches.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	did, w.did = w.did, nil
	return served, did
}

func crd(name string) *apiextv1.CustomResourceDefinition {
	return &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// TestComeAndGo: a CRD is watched from when it is served until it goes, and once more when it comes back.
func TestComeAndGo(t *testing.T) {
	w := newWorld(t)
	for _, step := range []struct {
		name string
		do   func() error
		did  []string
		one  bool
		pend bool
		crds string
	}{
		{name: "no CRD", do: func() error { return nil }},
		{name: "another CRD", do: func() error { return w.client.Create(t.Context(), crd("others.example.com")) }, crds: "others.example.com"},
		{name: "not served yet", do: func() error { return w.client.Create(t.Context(), crd("ones.example.com")) },
			pend: true, crds: "ones.example.com others.example.com"},
		{name: "served", do: func() error { w.mapper.served["One"] = true; return nil },
			did: []string{"watch"}, one: true, crds: "ones.example.com others.example.com"},
		{name: "still there", do: func() error { return nil }, one: true, crds: "ones.example.com others.example.com"},
		// What the API server served is remembered, so that only the CRD tells.
		{name: "gone", do: func() error { return w.client.Delete(t.Context(), crd("ones.example.com")) },
			did: []string{"stop One"}, crds: "others.example.com"},
		{name: "still gone", do: func() error { return nil }, crds: "others.example.com"},
		{name: "back", do: func() error { return w.client.Create(t.Context(), crd("ones.example.com")) },
			did: []string{"watch"}, one: true, crds: "ones.example.com others.example.com"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		served, did := w.ensure(t)
		if diff := cmp.Diff(step.did, did); diff != "" {
			t.Errorf("%s: did (-want +got):\n%s", step.name, diff)
		}
		if served.Has("ones.example.com") != step.one || served.Has("twos.example.com") || served.Has("others.example.com") {
			t.Errorf("%s: served %+v", step.name, served)
		}
		if watching := w.watches.Watching("ones.example.com"); watching != step.one {
			t.Errorf("%s: watching %v", step.name, watching)
		}
		if served.Pending != step.pend || served.CRDs != step.crds {
			t.Errorf("%s: served %+v", step.name, served)
		}
	}
}

// TestTerminatingCRD is as good as gone: its objects are being deleted.
func TestTerminatingCRD(t *testing.T) {
	w := newWorld(t)
	w.mapper.served["One"] = true
	going := crd("ones.example.com")
	going.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
	if err := w.client.Create(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	w.ensure(t)
	if err := w.client.Delete(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	if served, did := w.ensure(t); served.Has("ones.example.com") || served.Pending || len(did) != 1 || did[0] != "stop One" {
		t.Errorf("served %+v, did %q", served, did)
	}
}

// TestErrors are told, and what failed is tried again.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	if err := w.client.Create(t.Context(), crd("ones.example.com")); err != nil {
		t.Fatal(err)
	}
	w.mapper.fail = errors.New("no discovery")
	if _, err := w.watches.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "whether it serves One: no discovery") {
		t.Errorf("error %v", err)
	}
	w.mapper.fail, w.mapper.served["One"] = nil, true
	w.fail = errors.New("stopped")
	if _, err := w.watches.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "watch ones.example.com: stopped") {
		t.Errorf("error %v", err)
	}
	w.fail, w.did = nil, nil
	if _, did := w.ensure(t); len(did) != 1 {
		t.Errorf("did %q", did)
	}
	if err := w.client.Delete(t.Context(), crd("ones.example.com")); err != nil {
		t.Fatal(err)
	}
	w.fail = errors.New("busy")
	if _, err := w.watches.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "stop watching ones.example.com: busy") {
		t.Errorf("error %v", err)
	}
	w.fail, w.did = nil, nil
	if _, did := w.ensure(t); len(did) != 1 || did[0] != "stop One" {
		t.Errorf("did %q", did)
	}
}

func TestCRDMetadata(t *testing.T) {
	if got := CRDMetadata().GetObjectKind().GroupVersionKind().String(); got != "apiextensions.k8s.io/v1, Kind=CustomResourceDefinition" {
		t.Error(got)
	}
}
