// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync/atomic"
)

// Prometheus answers every query of the Prometheus HTTP API with one sample, counts the series of rules once it has some, and gives
// one that is for samples of several kinds one of each.
type Prometheus struct {
	// URL for spec.prometheus.url.
	URL string

	server       *httptest.Server
	down, sparse atomic.Bool
	series       atomic.Pointer[map[string]int]
	names        atomic.Pointer[map[string]string]
}

// demanded kinds are named so in a query that demands them.
var demanded = regexp.MustCompile(`"kind", "([^"]+)"`)

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
		"status": "success", "data": map[string]any{"resultType": "vector", "result": p.result(r.FormValue("query"))}})
}

func sample(metric map[string]any, value int) any {
	return map[string]any{"metric": metric, "value": []any{1.0, strconv.Itoa(value)}}
}

// counted is what the operator's query has for each selector: see prometheus.Count.
var counted = regexp.MustCompile(`count\((\{.*?\})\),"selector","(\d+)"`)

// sought is what the operator's query has for each selector whose series' names it looks for: see prometheus.NamesOf.
var sought = regexp.MustCompile(`count by \(__name__,quantile\) \((\{.*?\})\)\),"selector","(\d+)"`)

func (p *Prometheus) result(query string) []any {
	if selectors := sought.FindAllStringSubmatch(query, -1); selectors != nil {
		result := []any{sample(map[string]any{"selector": "answered"}, 1)}
		for _, match := range selectors {
			if names := p.names.Load(); names != nil && (*names)[match[1]] != "" {
				result = append(result, sample(map[string]any{"selector": match[2], "__name__": (*names)[match[1]]}, 1))
			}
		}
		return result
	}
	if kinds := demanded.FindAllStringSubmatch(query, -1); kinds != nil {
		samples := []any{}
		for _, kind := range kinds {
			if !p.sparse.Load() {
				samples = append(samples, sample(map[string]any{"kind": kind[1]}, 1))
			}
		}
		return samples
	}
	series := p.series.Load()
	if series == nil || !counted.MatchString(query) {
		return []any{sample(map[string]any{}, 1)}
	}
	result := []any{sample(map[string]any{"selector": "answered"}, 1)}
	for _, match := range counted.FindAllStringSubmatch(query, -1) {
		if n := (*series)[match[1]]; n > 0 {
			result = append(result, sample(map[string]any{"selector": match[2]}, n))
		}
	}
	return result
}

// SetSeries makes it count so many series of selectors, and none of others.
func (p *Prometheus) SetSeries(series map[string]int) { p.series.Store(&series) }

// SetNames makes it have a series of this name for each of some selectors.
func (p *Prometheus) SetNames(names map[string]string) { p.names.Store(&names) }

// SetSparse makes it have no series of the kinds that a query demands, or have them again.
func (p *Prometheus) SetSparse(sparse bool) { p.sparse.Store(sparse) }

// SetDown makes it answer that it is not available, or answer queries again.
func (p *Prometheus) SetDown(down bool) { p.down.Store(down) }

// Stop ends it.
func (p *Prometheus) Stop() { p.server.Close() }
