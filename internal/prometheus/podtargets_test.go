// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPodTargets(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + "?" + r.URL.RawQuery
		_, _ = w.Write([]byte(`{"status":"success","data":{"activeTargets":[
			{"scrapePool":"podMonitor/shop/web/0","labels":{"namespace":"shop","pod":"web-0"},"scrapeUrl":"http://10.0.0.1:8080/metrics","health":"up","lastError":""},
			{"scrapePool":"podMonitor/other/web/0","labels":{"namespace":"other","pod":"web-0"},"scrapeUrl":"http://10.0.0.9:8080/metrics","health":"down","lastError":"of others"},
			{"scrapePool":"podMonitor/shop/web/0","labels":{"namespace":"shop","pod":"web-1"},"scrapeUrl":"http://10.0.0.2:8080/metrics","health":"down",
			 "lastError":"` + strings.Repeat("x", 400) + `"}]}}`))
	}))
	defer server.Close()
	found, err := PodTargets(t.Context(), Target{TargetsURL: server.URL, Object: "Prometheus monitoring/k8s"}, Access{}, "podMonitor/shop/web/0")
	if err != nil {
		t.Fatal(err)
	}
	want := []PodTarget{{Pod: "web-0", URL: "http://10.0.0.1:8080/metrics"},
		{Pod: "web-1", URL: "http://10.0.0.2:8080/metrics", Down: true, Error: strings.Repeat("x", 297) + "..."}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if asked != "/api/v1/targets?scrapePool=podMonitor%2Fshop%2Fweb%2F0&state=active" {
		t.Error(asked)
	}
	if _, err := PodTargets(t.Context(), Target{Object: "PrometheusAgent monitoring/node"}, Access{}, "x"); err == nil {
		t.Error("an agent with shards was asked")
	}
}

func TestPools(t *testing.T) {
	for kind, want := range map[string][]string{
		"ServiceMonitor": {"serviceMonitor/shop/web/0", "serviceMonitor/shop/web/1"},
		"PodMonitor":     {"podMonitor/shop/web/0", "podMonitor/shop/web/1"},
	} {
		if got := Pools(kind, "shop", "web", 2); !slices.Equal(got, want) {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
