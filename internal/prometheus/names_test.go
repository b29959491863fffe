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

// TestNames: the names of series come in one query, and a selector without any has an empty answer.
func TestNames(t *testing.T) {
	sample := func(value string, labels map[string]string) any {
		return map[string]any{"metric": labels, "value": []any{1.0, value}}
	}
	result := []any{
		sample("1", map[string]string{"selector": "answered"}),
		sample("3", map[string]string{"selector": "0", "__name__": "a"}),
		sample("2", map[string]string{"selector": "0", "__name__": "a", "quantile": "0.9"}),
		sample("1", map[string]string{"selector": "0", "__name__": "b"}),
	}
	var query string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.FormValue("query")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
	}))
	defer server.Close()
	one, other := `{__name__=~"a|b"}`, `{__name__="c"}`
	got, err := NamerOf(server.URL, Access{})(t.Context(), []string{one, other})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Names{one: {"a": {Series: 5, Quantiles: true}, "b": {Series: 1}}, other: {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if _, err := parser.NewParser(parser.Options{}).ParseExpr(query); err != nil {
		t.Errorf("%s: %v", query, err)
	}

	result = nil
	if _, err := NamerOf(server.URL, Access{})(t.Context(), []string{one}); err == nil {
		t.Error("an empty answer is none, and was taken for one")
	}
}
