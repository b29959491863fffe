// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	prometheusNamespace = "monitoring"
	prometheusPod       = "prometheus-k8s-0"
	// prometheusProxy is the cluster's Prometheus behind the API server's proxy, and prometheusAPI its HTTP API.
	prometheusProxy = "/api/v1/namespaces/" + prometheusNamespace + "/services/http:prometheus-k8s:web/proxy"
	prometheusAPI   = prometheusProxy + "/api/v1"
)

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
		return fmt.Errorf("query Prometheus for %s: %w", path, err)
	}
	wrapped := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(answer, &wrapped); err != nil {
		return fmt.Errorf("query Prometheus for %s: %w", path, err)
	}
	return nil
}

// PrometheusMetric returns the value of a metric without labels of Prometheus itself, as it is now.
func (c *Cluster) PrometheusMetric(ctx context.Context, name string) (float64, error) {
	value, found, err := c.PrometheusSum(ctx, func(series string) bool { return series == name })
	if err == nil && !found {
		err = fmt.Errorf("the metrics of Prometheus lack %s", name)
	}
	return value, err
}

// PrometheusSum adds the values of series of Prometheus itself, as they are now; found is false where there are none. A series is
// written as in its text format.
func (c *Cluster) PrometheusSum(ctx context.Context, counts func(series string) bool) (sum float64, found bool, err error) {
	answer, err := c.Get(ctx, prometheusProxy+"/metrics")
	if err != nil {
		return 0, false, fmt.Errorf("query Prometheus for its metrics: %w", err)
	}
	for line := range strings.Lines(string(answer)) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") || !counts(line[:at]) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			return 0, false, fmt.Errorf("read %s: %w", line, err)
		}
		sum, found = sum+value, true
	}
	return sum, found, nil
}

// PrometheusConfig returns the configuration that prometheus-operator has written for Prometheus.
func (c *Cluster) PrometheusConfig(ctx context.Context) ([]byte, error) {
	const key = "prometheus.yaml.gz"
	secret := &corev1.Secret{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: prometheusNamespace, Name: "prometheus-k8s"}, secret); err != nil {
		return nil, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(secret.Data[key]))
	if err != nil {
		return nil, fmt.Errorf("unpack %s of Secret %s: %w", key, secret.Name, err)
	}
	return io.ReadAll(reader)
}

// LoadRules waits until prometheus-operator has written the recording rules of a PrometheusRule for Prometheus, and has the kubelet bring
// them there at once, as it does for a pod that changes. Else it looks once in a minute or so.
func (c *Cluster) LoadRules(ctx context.Context, of client.ObjectKey) error {
	err := Poll(ctx, func(ctx context.Context) (bool, error) {
		files := &corev1.ConfigMapList{}
		err := c.Client.List(ctx, files, client.InNamespace(prometheusNamespace), client.MatchingLabels{"prometheus-name": "k8s"})
		for _, file := range files.Items {
			for name := range file.Data {
				if strings.HasPrefix(name, of.Namespace+"-"+of.Name+"-") {
					return true, err
				}
			}
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("wait for the rules of PrometheusRule %s: %w", of, err)
	}
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = prometheusNamespace, prometheusPod
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {"metricspipeline.io/rules-of": %q}}}`, of.String()+time.Now().String())
	return c.Client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch))
}

// RestartPrometheus replaces the pod of Prometheus and waits until the new one is ready.
func (c *Cluster) RestartPrometheus(ctx context.Context) error {
	key := client.ObjectKey{Namespace: prometheusNamespace, Name: prometheusPod}
	old := &corev1.Pod{}
	if err := c.Client.Get(ctx, key, old); err != nil {
		return err
	}
	uid := old.UID
	if err := c.Client.Delete(ctx, old); err != nil {
		return err
	}
	err := Await(ctx, c, &corev1.PodList{}, key, func(pod *corev1.Pod) bool { return pod.UID != uid && PodReady(pod) })
	if err != nil {
		return fmt.Errorf("wait for the new pod of Prometheus: %w", err)
	}
	return nil
}

// Series is one of the answer to a query: the newest value, or the values of a range, each with its time.
type Series struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
	Values [][2]any          `json:"values"`
}

// QueryAll returns all series of a PromQL expression.
func (c *Cluster) QueryAll(ctx context.Context, expression string) ([]Series, error) {
	var data struct {
		Result []Series `json:"result"`
	}
	return data.Result, c.prometheus(ctx, "/query?query="+url.QueryEscape(expression), &data)
}

// QueryRange returns the series of a PromQL expression over the time that has just passed.
func (c *Cluster) QueryRange(ctx context.Context, expression string, last, step time.Duration) ([]Series, error) {
	var data struct {
		Result []Series `json:"result"`
	}
	now := time.Now()
	path := fmt.Sprintf("/query_range?query=%s&start=%d&end=%d&step=%d", url.QueryEscape(expression), now.Add(-last).Unix(), now.Unix(),
		int(step.Seconds()))
	return data.Result, c.prometheus(ctx, path, &data)
}

// AlertRule is an alert as Prometheus has loaded it.
type AlertRule struct {
	Name  string `json:"name"`
	Query string `json:"query"`
	// State is inactive, pending or firing; Health is ok, err or unknown before the first evaluation.
	State  string `json:"state"`
	Health string `json:"health"`
	Error  string `json:"lastError"`
}

// AlertRules returns the alerts that Prometheus has loaded, by name.
func (c *Cluster) AlertRules(ctx context.Context) (map[string]AlertRule, error) {
	var data struct {
		Groups []struct {
			Rules []AlertRule `json:"rules"`
		} `json:"groups"`
	}
	err := c.prometheus(ctx, "/rules?type=alert", &data)
	loaded := map[string]AlertRule{}
	for _, group := range data.Groups {
		for _, rule := range group.Rules {
			loaded[rule.Name] = rule
		}
	}
	return loaded, err
}
