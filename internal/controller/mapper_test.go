// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// TestDiscoveryEnds: an API server that accepts a request of discovery and does not answer it makes no one wait for ever.
func TestDiscoveryEnds(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer server.Close()
	defer close(end)
	config := &rest.Config{Host: server.URL}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapper(config, httpClient, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.KindFor(schema.GroupVersionResource{Group: "example.com", Resource: "ones"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if httpClient.Timeout != 0 {
		t.Error("the manager's client has a timeout: it would end watches")
	}
}

// TestDiscoverKnowsEveryGroup, also with an API server whose discovery is not aggregated.
func TestDiscoverKnowsEveryGroup(t *testing.T) {
	answers := map[string]any{
		"/api":    metav1.APIVersions{Versions: []string{"v1"}},
		"/api/v1": metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node"}}},
		"/apis": metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: "example.com",
			Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: "example.com/v1", Version: "v1"}}}}},
		"/apis/example.com/v1": metav1.APIResourceList{GroupVersion: "example.com/v1",
			APIResources: []metav1.APIResource{{Name: "oxen", SingularName: "ox", Kind: "Ox", Namespaced: true}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(response).Encode(answers[request.URL.Path]); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	m, err := Discover(&rest.Config{Host: server.URL}, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range []string{"ox", "oxen"} {
		if kind, err := m.KindFor(schema.GroupVersionResource{Resource: resource}); err != nil || kind.Kind != "Ox" {
			t.Errorf("%s is %s, %v", resource, kind, err)
		}
	}
}
