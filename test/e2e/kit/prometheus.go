// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// prometheusAPI is the HTTP API of the cluster's Prometheus, behind the API server's proxy.
const prometheusAPI = "/api/v1/namespaces/monitoring/services/http:prometheus-k8s:web/proxy/api/v1"

// Target is what Prometheus scrapes.
type Target struct {
	// Pool is like serviceMonitor/NAMESPACE/NAME/0.
	Pool   string            `json:"scrapePool"`
	URL    string            `json:"scrapeUrl"`
	Labels map[string]string `json:"labels"`
	// Health is up, down or unknown before the first scrape; Error is why it is down.
	Health string `json:"health"`
	Error  string `json:"lastError"`
}

// Targets returns everything that Prometheus scrapes at the moment.
func (c *Cluster) Targets(ctx context.Context) ([]Target, error) {
	var data struct {
		Active []Target `json:"activeTargets"`
	}
	return data.Active, c.prometheus(ctx, "/targets?state=active", &data)
}

// Query returns the value of a PromQL expression that gives one sample; found is false where it gives none.
func (c *Cluster) Query(ctx context.Context, expression string) (value float64, found bool, err error) {
	var data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	if err := c.prometheus(ctx, "/query?query="+url.QueryEscape(expression), &data); err != nil || len(data.Result) == 0 {
		return 0, false, err
	}
	text, _ := data.Result[0].Value[1].(string)
	value, err = strconv.ParseFloat(text, 64)
	if err != nil || len(data.Result) > 1 {
		return 0, false, fmt.Errorf("query %s gives %d samples, the first %q", expression, len(data.Result), text)
	}
	return value, true, nil
}

// prometheus reads the data of an answer of Prometheus' API.
func (c *Cluster) prometheus(ctx context.Context, path string, data any) error {
	answer, err := c.Get(ctx, prometheusAPI+path)
	if err != nil {
		return fmt.Errorf("ask Prometheus for %s: %w", path, err)
	}
	wrapped := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(answer, &wrapped); err != nil {
		return fmt.Errorf("ask Prometheus for %s: %w", path, err)
	}
	return nil
}
