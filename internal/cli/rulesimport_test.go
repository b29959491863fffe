// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/prometheus-adapter/cmd/config-gen/utils"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestRulesImport compares what comes of each file, on both streams.
func TestRulesImport(t *testing.T) {
	for name, code := range map[string]int{
		"adapter-config": ExitWorks, "configmap": ExitWorks, "helm-values": ExitWorks, "helm-defaults": ExitWorks, "rejected": ExitBroken,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, interceptor.Funcs{})
			w.run(t, code, "rules", "import", "-f", "testdata/rules/"+name+".yaml")
			golden(t, "rules/"+name+".out", w.out.String())
			golden(t, "rules/"+name+".err", w.errOut.String())
			pipeline := v1alpha1.MetricsPipeline{}
			if err := yaml.UnmarshalStrict(w.out.Bytes(), &pipeline); err != nil {
				t.Errorf("the output is no MetricsPipeline: %v", err)
			}
		})
	}
}

// TestDefaultIDs: each rule that rules.default stands for has an id of its own, also after an update of the adapter.
func TestDefaultIDs(t *testing.T) {
	if rules := utils.DefaultConfig(chartWindow, "").Rules; len(rules) != len(defaultIDs) {
		t.Errorf("the adapter has %d default rules, and defaultIDs names %d", len(rules), len(defaultIDs))
	}
}

// TestRulesImportErrors: an error says what the file is and which one to name.
func TestRulesImportErrors(t *testing.T) {
	many := "rules:\n" + strings.Repeat("- seriesQuery: up\n  resources: {overrides: {pod: {resource: pod}, namespace: {resource: namespace}}}\n"+
		"  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)\n", mostRules+1)
	for name, test := range map[string]struct {
		content string
		code    int
		want    string
	}{
		"no YAML":       {"a: b: c", ExitError, "it is not YAML with a mapping at its top"},
		"another kind":  {"kind: Deployment", ExitError, "it is a Deployment: name the ConfigMap"},
		"another file":  {"groups: []", ExitError, "it has groups, and neither rules"},
		"nothing":       {"", ExitError, "it has nothing, and neither rules"},
		"no key":        {"kind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}", ExitError, "ConfigMap c has no key with rules"},
		"two keys":      {"kind: ConfigMap\nmetadata: {name: c}\ndata: {a: 'rules: []', b: 'rules: []'}", ExitError, "the keys a and b with rules"},
		"existing":      {"rules: {existing: other}", ExitError, "rules.existing is other: the rules are in the ConfigMap of that name"},
		"wrong type":    {"rules: [{seriesQuery: {}}]", ExitError, "it is not the adapter's configuration"},
		"too many":      {many, ExitBroken, "has 257 rules, and the schema allows 256"},
		"too long":      {"a: " + strings.Repeat("x", mostInput), ExitError, "which no ConfigMap has"},
		"no file named": {"", ExitUsage, "--filename is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, interceptor.Funcs{})
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			arguments := []string{"rules", "import", "-f", file}
			if test.code == ExitUsage {
				arguments = arguments[:2]
			}
			w.run(t, test.code, arguments...)
			if !strings.Contains(w.errOut.String(), test.want) {
				t.Errorf("standard error has %.300q, want %q", w.errOut, test.want)
			}
		})
	}
	w := newWorld(t, interceptor.Funcs{})
	w.run(t, ExitError, "rules", "import", "-f", filepath.Join(t.TempDir(), "none"))
}

// TestUniqueID: ids are those of the schema, and no two are the same.
func TestUniqueID(t *testing.T) {
	taken := map[string]bool{}
	long := strings.Repeat("a_", 60)
	for i, test := range []struct{ as, series, want string }{
		{"", `http_requests_total{a="b"}`, "http-requests-total"},
		{"", `http_requests_total`, "http-requests-total-2"},
		{"${1}_x", `{__name__=~"^queue_depth$",x="y"}`, "queue-depth"},
		{"Foo_Bar", `up`, "foo-bar"},
		{"", `{job="x"}`, "rule"},
		{"", long, strings.TrimRight(strings.Repeat("a-", 30)[:longestID-4], "-")},
	} {
		rule := sourceRule{where: fmt.Sprint(i)}
		rule.SeriesQuery, rule.Name.As = test.series, test.as
		if got := uniqueID(rule, taken); got != test.want {
			t.Errorf("%q, %q: got %q, want %q", test.as, test.series, got, test.want)
		}
	}
}
