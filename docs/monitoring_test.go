// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const (
	selfMonitoring = "../internal/assets/self-monitoring/base/"
	// runbooks is the folder of these pages as alerts lead to it.
	runbooks = "https://github.com/metricspipeline/operator/blob/main/docs/"
)

// alertRow is a line of docs/alerts.md: alert, severity, after, and the page.
var alertRow = regexp.MustCompile("(?m)^\\| `(MetricsPipeline[A-Za-z]+)` \\| ([a-z]+) \\| ([0-9a-z]+) \\| [^|]+ \\| \\[[A-Za-z]+\\]\\(([^)]+)\\) \\|$")

// TestAlerts: each alert has what a person on call needs, a page that exists, a line in docs/alerts.md, and unit tests in which it
// fires and stays quiet.
func TestAlerts(t *testing.T) {
	documented, defined := map[string]string{}, map[string]string{}
	for _, row := range alertRow.FindAllStringSubmatch(read(t, "alerts.md"), -1) {
		documented[row[1]] = strings.Join(row[2:], " ")
	}
	fires, quiet := alertTests(t)
	for _, rule := range alertRules(t) {
		page, under := strings.CutPrefix(rule.Annotations["runbook_url"], runbooks)
		file, anchor, _ := strings.Cut(page, "#")
		if content, err := os.ReadFile(file); !under || err != nil || !slices.Contains(anchorsOf(string(content)), anchor) {
			t.Errorf("%s: runbook_url %q leads nowhere: %v", rule.Alert, rule.Annotations["runbook_url"], err)
		}
		if rule.For == nil || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s needs for, summary and description: %+v", rule.Alert, rule)
			continue
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s has the severity %q", rule.Alert, rule.Labels["severity"])
		}
		if !fires[rule.Alert] || !quiet[rule.Alert] {
			t.Errorf("test/alerts/testdata/alerts.yaml: %s fires in a test: %t, stays quiet in one: %t", rule.Alert, fires[rule.Alert], quiet[rule.Alert])
		}
		defined[rule.Alert] = fmt.Sprintf("%s %s %s", rule.Labels["severity"], *rule.For, page)
	}
	if diff := cmp.Diff(documented, defined); diff != "" {
		t.Errorf("docs/alerts.md (-documented +defined):\n%s", diff)
	}
}

// alertRules are those of the PrometheusRule.
func alertRules(t *testing.T) []monitoringv1.Rule {
	t.Helper()
	var object monitoringv1.PrometheusRule
	if err := yaml.UnmarshalStrict([]byte(read(t, selfMonitoring+"prometheusrule.yaml")), &object); err != nil {
		t.Fatal(err)
	}
	var all []monitoringv1.Rule
	for _, group := range object.Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there is no alert")
	}
	return all
}

// alertTests returns which alerts fire in a unit test, and which are expected not to.
func alertTests(t *testing.T) (fires, quiet map[string]bool) {
	t.Helper()
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "../test/alerts/testdata/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet = map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) > 0 {
				fires[alert.Name] = true
			} else {
				quiet[alert.Name] = true
			}
		}
	}
	return fires, quiet
}

// TestMonitoringUsesDocumentedMetrics: alerts and dashboard query nothing but what docs/metrics.md has, and the dashboard shows each of
// the operator's own metrics.
func TestMonitoringUsesDocumentedMetrics(t *testing.T) {
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(read(t, "metrics.md"), -1) {
		for _, name := range regexp.MustCompile("`([A-Za-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			documented[name[1]] = true
		}
	}
	shown := map[string]bool{}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, selfMonitoring+"metricspipeline.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			for _, name := range metricsIn(t, target.Expr) {
				shown[name] = true
				if !documented[name] {
					t.Errorf("panel %q queries %s, which docs/metrics.md does not have", panel.Title, name)
				}
			}
		}
	}
	for _, rule := range alertRules(t) {
		for _, name := range metricsIn(t, rule.Expr.String()) {
			if !documented[name] {
				t.Errorf("%s queries %s, which docs/metrics.md does not have", rule.Alert, name)
			}
		}
	}
	for name := range documented {
		// When the renewal is due is the alert's to compare.
		if strings.HasPrefix(name, "metricspipeline_") && !shown[name] && name != "metricspipeline_certificate_renewal_timestamp_seconds" {
			t.Errorf("no panel of the dashboard shows %s", name)
		}
	}
}

// metricsIn returns the names of the metrics in a PromQL expression; those of a histogram without their suffix.
func metricsIn(t *testing.T, expression string) []string {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	var names []string
	for _, selectors := range parser.ExtractSelectors(parsed) {
		for _, matcher := range selectors {
			if matcher.Name == model.MetricNameLabel {
				names = append(names, strings.TrimSuffix(matcher.Value, "_bucket"))
			}
		}
	}
	if len(names) == 0 {
		t.Errorf("%s has no metric", expression)
	}
	return names
}

// TestPicture: the picture of the dashboard is there, and of this dashboard: it has the title of each panel.
func TestPicture(t *testing.T) {
	picture := read(t, filepath.Join("images", "dashboard.svg"))
	var dashboard struct{ Panels []struct{ Title string } }
	if err := json.Unmarshal([]byte(read(t, selfMonitoring+"metricspipeline.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 10 {
		t.Fatalf("the dashboard has %d panels", len(dashboard.Panels))
	}
	for _, panel := range dashboard.Panels {
		if !strings.Contains(picture, ">"+panel.Title+"<") {
			t.Errorf("docs/images/dashboard.svg does not show %q: run make dashboard-picture", panel.Title)
		}
	}
}
