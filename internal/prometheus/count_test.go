// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

// TestCount: series are counted in one query, and an answer without that of each selector is that of a Prometheus with none.
func TestCount(t *testing.T) {
	sample := func(selector, value string) any {
		return map[string]any{"metric": map[string]string{"selector": selector}, "value": []any{1.0, value}}
	}
	for name, tc := range map[string]struct {
		result []any
		want   map[string]int64 // nil for an error.
	}{
		"some":                    {[]any{sample("answered", "1"), sample("1", "3")}, map[string]int64{"{b=\"}\"}": 3}},
		"none":                    {[]any{sample("answered", "1")}, map[string]int64{}},
		"no answer to this query": {[]any{map[string]any{"metric": map[string]string{}, "value": []any{1.0, "1"}}}, nil},
		"an empty answer":         {[]any{}, nil},
		"more than was asked for": {[]any{sample("answered", "1"), sample("7", "3"), sample("x", "3")}, map[string]int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			var queries []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				queries = append(queries, r.FormValue("query"))
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(map[string]any{"status": "success",
					"data": map[string]any{"resultType": "vector", "result": tc.result}})
			}))
			defer server.Close()
			got, err := CounterOf(server.URL, Access{})(t.Context(), []string{`{__name__="a"}`, `{b="}"}`})
			if (err != nil) != (tc.want == nil) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
			if len(queries) != 1 {
				t.Fatalf("queries %q", queries)
			}
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(queries[0]); err != nil {
				t.Errorf("%s: %v", queries[0], err)
			}
		})
	}
}

// TestCountAtNoPrometheus is an error, and no panic.
func TestCountAtNoPrometheus(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for _, url := range []string{server.URL, "://"} {
		if _, err := CounterOf(url, Access{})(t.Context(), []string{`{a="1"}`}); err == nil {
			t.Errorf("%s: no error", url)
		}
	}
}
