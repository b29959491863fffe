// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package alerts runs the unit tests of the alerts about the stack itself with Prometheus' own promtool: make test-alerts.
package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/assets"
)

// promtool is the environment variable with the path of the program.
const promtool = "PROMTOOL"

// TestAlerts runs the cases of alerts.yaml on the rules that the operator deploys.
func TestAlerts(t *testing.T) {
	program := os.Getenv(promtool)
	if program == "" {
		t.Fatalf("the environment variable %s is not set: run make test-alerts", promtool)
	}
	dir := t.TempDir()
	cases, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"rules.yaml": rules(t), "alerts.yaml": cases} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"},
		{"test", "rules", "alerts.yaml"},
	} {
		command := exec.CommandContext(t.Context(), program, args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}

// rules returns the groups of the PrometheusRule as Prometheus reads them.
func rules(t *testing.T) []byte {
	t.Helper()
	content, err := assets.Files.ReadFile("self-monitoring/base/prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec any `json:"spec"`
	}
	if err := yaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	groups, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}
