// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package presets

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTable: each entry is whole, and found by its name alone.
func TestTable(t *testing.T) {
	var names []string
	for _, p := range All {
		names = append(names, p.Name)
		if found, ok := Of(p.Name); !ok || found.Title != p.Title {
			t.Errorf("%s is not found by its name", p.Name)
		}
		for field, value := range map[string]string{"Title": p.Title, "Namespace": p.Namespace, "Object": p.Object.Kind, "Metric": p.Metric,
			"Series": p.Series, "NamespaceLabel": p.NamespaceLabel, "ObjectLabel": p.ObjectLabel, "Sources": strings.Join(p.Sources, "")} {
			if value == "" {
				t.Errorf("%s has no %s", p.Name, field)
			}
		}
		for _, note := range p.Notes {
			if !strings.HasSuffix(note, ".") {
				t.Errorf("%s: the note %q is no sentence", p.Name, note)
			}
		}
		if p.composite() != (p.NamespaceLabel == controllerLabel) {
			t.Errorf("%s: Within is %q, and NamespaceLabel %s", p.Name, p.Within, p.NamespaceLabel)
		}
		if p.composite() && strings.Count(p.Within, "NAMESPACE")+strings.Count(p.Within, "NAME") != 3 {
			t.Errorf("%s: %q does not have NAMESPACE and NAME once", p.Name, p.Within)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the names are not in order: %v", names)
	}
	if _, ok := Of("nginx"); ok || !Reads("istio_requests_total", "destination_service_namespace") ||
		Reads("istio_requests_total", "namespace") || Reads("traefik_service_requests_total", "namespace") {
		t.Error("Of or Reads finds what is not in the table")
	}
}

// TestRuleIsBound: each selector of a rule demands the namespace of the controller that was named.
func TestRuleIsBound(t *testing.T) {
	braces := regexp.MustCompile(`\{[^}]*\}`)
	for _, p := range All {
		rule := p.Rule("edge", "requests", 5*time.Minute)
		for _, text := range []string{rule.SeriesQuery, rule.MetricsQuery} {
			for _, selector := range braces.FindAllString(text, -1) {
				if !strings.HasPrefix(selector, `{namespace="edge",`) {
					t.Errorf("%s: %s does not begin with the namespace", p.Name, selector)
				}
			}
		}
		if rule.Name.As != "requests" || !strings.Contains(rule.MetricsQuery, "[5m]") {
			t.Errorf("%s: the metric is %s, by %s", p.Name, rule.Name.As, rule.MetricsQuery)
		}
	}
}
