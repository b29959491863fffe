// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// Prometheus answers every query of the Prometheus HTTP API with one sample.
type Prometheus struct {
	// URL for spec.prometheus.url.
	URL string

	server *httptest.Server
	down   atomic.Bool
}

// StartPrometheus starts one on a loopback address: the operator runs in this process and may use it.
func StartPrometheus() *Prometheus {
	p := &Prometheus{}
	p.server = httptest.NewServer(p)
	p.URL = p.server.URL
	return p
}

// ServeHTTP implements http.Handler, for what stands in front of it.
func (p *Prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		http.Error(w, "starting up", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/api/v1/query" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success",
		"data": map[string]any{
			"resultType": "vector",
			"result":     []any{map[string]any{"metric": map[string]any{}, "value": []any{1.0, "1"}}},
		},
	})
}

// SetDown makes it answer that it is not available, or answer queries again.
func (p *Prometheus) SetDown(down bool) { p.down.Store(down) }

// Stop ends it.
func (p *Prometheus) Stop() { p.server.Close() }
