// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

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
