// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// discovery is an API server that serves Ones, and Nodes, which no CRD defines.
func discovery(t *testing.T) meta.RESTMapper {
	t.Helper()
	version := metav1.GroupVersionForDiscovery{GroupVersion: one.GroupVersion().String(), Version: one.Version}
	answers := map[string]any{
		"/api":    metav1.APIVersions{Versions: []string{"v1"}},
		"/api/v1": metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node"}}},
		"/apis":   metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: one.Group, Versions: []metav1.GroupVersionForDiscovery{version}}}},
		"/apis/example.com/v1": metav1.APIResourceList{GroupVersion: version.GroupVersion,
			APIResources: []metav1.APIResource{{Name: "ones", SingularName: "one", Kind: "One", Namespaced: true}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(response).Encode(answers[request.URL.Path]); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	mapper, err := apiutil.NewDynamicRESTMapper(&rest.Config{Host: server.URL}, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return mapper
}

// TestMapperFollowsCRDs: a resource is not served once its CRD goes, though the mapper remembers it, nor while it goes. The
// API server itself goes on to serve it for a moment, and no event says when it ends.
func TestMapperFollowsCRDs(t *testing.T) {
	going := crd(oneCRD)
	going.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
	w := newWorld(t, going)
	s := Source{Client: w.client, Kinds: w.watches, Mapper: discovery(t)}
	expect := func(when string, served bool) {
		t.Helper()
		facts := s.Read(t.Context(), v1alpha1.MetricsPipelineSpec{}, nil)
		for _, resource := range []string{"ones", "one"} {
			kind, err := facts.Mapper.KindFor(one.GroupVersion().WithResource(resource).GroupResource().WithVersion(""))
			if served && (err != nil || kind != one) || !served && !meta.IsNoMatchError(err) {
				t.Errorf("%s: %s is %s, %v", when, resource, kind, err)
			}
		}
		if _, err := facts.Mapper.KindFor(schema.GroupVersionResource{Resource: "nodes"}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	expect("at first", true)
	if err := w.client.Delete(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	expect("while it goes", false)
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(going), going); err != nil {
		t.Fatal(err)
	}
	going.Finalizers = nil
	if err := w.client.Update(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	expect("gone", false)
	if err := w.client.Create(t.Context(), crd(oneCRD)); err != nil {
		t.Fatal(err)
	}
	expect("back", true)
}

// TestMapperFindsWhatComesLater: a resource without a group, of a CRD that came after the first look, is found. The manager's mapper looks
// for it among those that it knows, and in the core group.
func TestMapperFindsWhatComesLater(t *testing.T) {
	w := newWorld(t)
	early := meta.NewDefaultRESTMapper(nil)
	early.Add(schema.GroupVersionKind{Version: "v1", Kind: "Node"}, meta.RESTScopeRoot)
	known := &learning{DefaultRESTMapper: early}
	looks := 0
	s := Source{Client: w.client, Kinds: w.watches, Mapper: known, Discover: func() (meta.RESTMapper, error) {
		looks++
		all := discovery(t)
		_, err := all.RESTMapping(one.GroupKind()) // It knows what it has been asked for.
		return all, err
	}}
	mapper := s.Read(t.Context(), v1alpha1.MetricsPipelineSpec{}, nil).Mapper
	for _, resource := range []string{"one", "ones", "one"} {
		if kind, err := mapper.KindFor(schema.GroupVersionResource{Resource: resource}); err != nil || kind != one {
			t.Errorf("%s is %s, %v", resource, kind, err)
		}
	}
	if _, err := mapper.KindFor(schema.GroupVersionResource{Resource: "gadgets"}); !meta.IsNoMatchError(err) {
		t.Errorf("what nobody serves: %v", err)
	}
	if _, err := mapper.KindFor(schema.GroupVersionResource{Group: "other.example.com", Resource: "ones"}); !meta.IsNoMatchError(err) {
		t.Errorf("another group: %v", err)
	}
	if _, err := mapper.KindFor(schema.GroupVersionResource{Resource: "nodes"}); err != nil || looks != 1 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

// learning is a mapper that learns a group when it is asked for a kind of it, as the manager's does.
type learning struct{ *meta.DefaultRESTMapper }

func (l *learning) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if kind == one.GroupKind() {
		l.Add(one, meta.RESTScopeNamespace)
	}
	return l.DefaultRESTMapper.RESTMapping(kind, versions...) //nolint:wrapcheck // a RESTMapper's errors are told apart
}
