// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
)

// Prometheus answers every query of the Prometheus HTTP API with one sample, and one that is for samples of several kinds with one of
// each.
type Prometheus struct {
	// URL for spec.prometheus.url.
	URL string

	server       *httptest.Server
	down, sparse atomic.Bool
}

// demanded kinds are named so in a query that demands them.
var demanded = regexp.MustCompile(`"kind", "([^"]+)"`)

// StartPrometheus starts one on a loopback address: the operator runs in this process and may use it.
func StartPrometheus() *Prometheus {
	p := &Prometheus{}
	p.server = httptest.NewServer(http.HandlerFunc(p.query))
	p.URL = p.server.URL
	return p
}

func (p *Prometheus) query(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		http.Error(w, "starting up", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/api/v1/query" {
		http.NotFound(w, r)
		return
	}
	samples := []any{}
	for _, kind := range demanded.FindAllStringSubmatch(r.FormValue("query"), -1) {
		if !p.sparse.Load() {
			samples = append(samples, sample(map[string]any{"kind": kind[1]}))
		}
	}
	if !demanded.MatchString(r.FormValue("query")) {
		samples = append(samples, sample(map[string]any{}))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success",
		"data": map[string]any{
			"resultType": "vector",
			"result":     samples,
		},
	})
}

func sample(labels map[string]any) any {
	return map[string]any{"metric": labels, "value": []any{1.0, "1"}}
}

// SetSparse makes it have no series of the kinds that a query demands, or have them again.
func (p *Prometheus) SetSparse(sparse bool) { p.sparse.Store(sparse) }

// SetDown makes it answer that it is not available, or answer queries again.
func (p *Prometheus) SetDown(down bool) { p.down.Store(down) }

// Stop ends it.
func (p *Prometheus) Stop() { p.server.Close() }
