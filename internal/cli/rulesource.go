// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/prometheus-adapter/cmd/config-gen/utils"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"
)

// source are rules of prometheus-adapter, and what is to be said of where they came from.
type source struct {
	custom, external []sourceRule
	warnings         []string
}

// sourceRule is one of them, and the id that it would have by where it stands.
type sourceRule struct {
	adapter.DiscoveryRule
	// where it stands, such as rules[2], and id for one that has no metric's name of its own.
	where, id string
}

// readRules reads the adapter's configuration, a ConfigMap with it, or the values of its chart.
func readRules(content []byte) (source, error) {
	top := map[string]any{}
	if err := yaml.Unmarshal(content, &top); err != nil {
		return source{}, fmt.Errorf("it is not YAML with a mapping at its top: %w; name one file with one document", err)
	}
	kind, _ := top["kind"].(string)
	_, listed := top["rules"].([]any)
	switch {
	case kind == "ConfigMap":
		return fromConfigMap(content)
	case kind != "":
		return source{}, fmt.Errorf("it is a %s: name the ConfigMap with the adapter's configuration, that configuration itself, or the "+
			"values of its Helm chart", kind)
	case listed, has(top, "externalRules"), has(top, "resourceRules"):
		return fromConfig(content, "")
	case has(top, "rules"), has(top, "prometheus"):
		return fromValues(content)
	default:
		return source{}, fmt.Errorf("it has %s, and neither rules, externalRules nor resourceRules of the adapter's configuration, nor "+
			"rules or prometheus of its Helm chart: name another file", quotedKeys(top))
	}
}

func has(top map[string]any, key string) bool { _, found := top[key]; return found }

func quotedKeys(top map[string]any) string {
	if len(top) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(maps.Keys(top)), ", ")
}

// fromConfig reads the adapter's own configuration. Unknown fields are reported: the adapter ignores them.
func fromConfig(content []byte, before string) (source, error) {
	var config adapter.MetricsDiscoveryConfig
	if err := yaml.Unmarshal(content, &config); err != nil {
		return source{}, fmt.Errorf("%sit is not the adapter's configuration: %w", before, err)
	}
	var found source
	if err := yaml.UnmarshalStrict(content, &adapter.MetricsDiscoveryConfig{}); err != nil {
		_, what, _ := strings.Cut(strings.ReplaceAll(err.Error(), "\n", " "), "json: ")
		found.warnings = append(found.warnings, fmt.Sprintf("%sthe adapter does not know a field, which is left out: %s", before, what))
	}
	found.custom = listed(before+"rules", config.Rules)
	found.external = listed(before+"externalRules", config.ExternalRules)
	if config.ResourceRules != nil {
		found.warnings = append(found.warnings, before+"resourceRules make metrics.k8s.io, which has no rules in a MetricsPipeline: "+
			"metrics-server serves it, or prometheus-adapter where spec.resourceMetrics.backend is PrometheusAdapter")
	}
	return found, nil
}

func listed(field string, all []adapter.DiscoveryRule) []sourceRule {
	var found []sourceRule
	for i, rule := range all {
		found = append(found, sourceRule{DiscoveryRule: rule, where: fmt.Sprintf("%s[%d]", field, i)})
	}
	return found
}

// fromConfigMap reads the configuration out of the only key that has one.
func fromConfigMap(content []byte) (source, error) {
	var object corev1.ConfigMap
	if err := yaml.Unmarshal(content, &object); err != nil {
		return source{}, fmt.Errorf("it is not a ConfigMap: %w", err)
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(object.Data)) {
		top := map[string]any{}
		if yaml.Unmarshal([]byte(object.Data[key]), &top) == nil &&
			(has(top, "rules") || has(top, "externalRules") || has(top, "resourceRules")) {
			keys = append(keys, key)
		}
	}
	switch len(keys) {
	case 0:
		return source{}, fmt.Errorf("ConfigMap %s has no key with rules, externalRules or resourceRules: name that of prometheus-adapter, "+
			"which its flag --config leads to", object.Name)
	case 1:
		return fromConfig([]byte(object.Data[keys[0]]), fmt.Sprintf("ConfigMap %s, data[%s]: ", object.Name, keys[0]))
	default:
		return source{}, fmt.Errorf("ConfigMap %s has the keys %s with rules: name a file with one of them", object.Name,
			strings.Join(keys, " and "))
	}
}

// chartValues are the values of the chart prometheus-adapter that are about rules or say where their series are.
type chartValues struct {
	Prometheus struct {
		URL  string `json:"url"`
		Port any    `json:"port"`
		Path string `json:"path"`
	} `json:"prometheus"`
	Rules struct {
		// Default is true in the chart.
		Default  *bool                   `json:"default"`
		Custom   []adapter.DiscoveryRule `json:"custom"`
		External []adapter.DiscoveryRule `json:"external"`
		Existing string                  `json:"existing"`
		Resource map[string]any          `json:"resource"`
	} `json:"rules"`
}

// The chart's defaults of what it passes to the adapter.
const (
	chartWindow = 5 * time.Minute
	chartPort   = "9090"
)

// defaultIDs are the ids of the rules that rules.default stands for, in their order.
var defaultIDs = []string{
	"container-seconds-total", "container-total", "container", "gauges", "counters", "seconds-counters",
}

func fromValues(content []byte) (source, error) {
	var values chartValues
	if err := yaml.Unmarshal(content, &values); err != nil {
		return source{}, fmt.Errorf("it is not the values of the chart prometheus-adapter: %w", err)
	}
	if values.Rules.Existing != "" {
		return source{}, errors.New("rules.existing is " + values.Rules.Existing + ": the rules are in the ConfigMap of that name; " +
			"import it by kubectl get configmap " + values.Rules.Existing + " -o yaml | kubectl metricspipeline rules import -f -")
	}
	var found source
	if values.Rules.Default == nil || *values.Rules.Default {
		for i, rule := range utils.DefaultConfig(chartWindow, "").Rules {
			id := fmt.Sprintf("default-%d", i)
			if i < len(defaultIDs) {
				id = "default-" + defaultIDs[i]
			}
			found.custom = append(found.custom, sourceRule{DiscoveryRule: rule, where: fmt.Sprintf("rules.default, rule %d", i), id: id})
		}
		found.warnings = append(found.warnings, fmt.Sprintf("rules.default is true: it stands for %d rules that make a metric of every "+
			"series. Keep those that a HorizontalPodAutoscaler needs: the operator derives most of them from HorizontalPodAutoscalers, "+
			"without a rule", len(found.custom)))
	}
	found.custom = append(found.custom, listed("rules.custom", values.Rules.Custom)...)
	found.external = listed("rules.external", values.Rules.External)
	if len(values.Rules.Resource) > 0 {
		found.warnings = append(found.warnings, "rules.resource makes metrics.k8s.io, which has no rules in a MetricsPipeline: "+
			"metrics-server serves it, or prometheus-adapter where spec.resourceMetrics.backend is PrometheusAdapter")
	}
	if values.Prometheus.URL != "" {
		port := chartPort
		if values.Prometheus.Port != nil {
			port = fmt.Sprint(values.Prometheus.Port)
		}
		url := strings.TrimSuffix(values.Prometheus.URL, "/")
		if port != "0" && port != "" { // The chart writes no port then.
			url += ":" + port
		}
		found.warnings = append(found.warnings, fmt.Sprintf("prometheus.url leads to %s: set spec.prometheus.url to that, unless the only "+
			"Prometheus object of the cluster is meant", url+values.Prometheus.Path))
	}
	return found, nil
}
