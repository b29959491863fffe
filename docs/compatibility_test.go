// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"path/filepath"
	"regexp"
	"testing"
)

// tested are the rows of compatibility.md about a part of the test cluster, the folder of its go.mod, and the module that it is built
// from.
var tested = map[string]struct{ folder, module string }{
	"Kubernetes":          {"shared", "k8s.io/kubernetes"},
	"metrics-server":      {"metrics-server", "sigs.k8s.io/metrics-server"},
	"prometheus-adapter":  {"prometheus-adapter", "sigs.k8s.io/prometheus-adapter"},
	"prometheus-operator": {"shared", "github.com/prometheus-operator/prometheus-operator"},
	"cert-manager":        {"cert-manager", "github.com/cert-manager/cert-manager"},
	"KEDA":                {"keda", "github.com/kedacore/keda/v2"},
	"VPA":                 {"next", "k8s.io/autoscaler/vertical-pod-autoscaler"},

	"Control plane of Kubernetes": {"next", "k8s.io/kubernetes"},
}

// TestTestedVersions: what compatibility.md calls tested is what the test cluster runs.
func TestTestedVersions(t *testing.T) {
	page := read(t, "compatibility.md")
	for row, of := range tested {
		file := filepath.Join("..", "test", "cluster", "components", of.folder, "go.mod")
		required := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(of.module) + ` (v\S+)`).FindStringSubmatch(read(t, file))
		if required == nil {
			t.Fatalf("%s does not require %s", file, of.module)
		}
		cells := regexp.MustCompile(`(?m)^\| ` + row + ` \| (\S+) \|`).FindStringSubmatch(page)
		if cells == nil || cells[1] != required[1] {
			t.Errorf("compatibility.md says %q of %s, and the tests run with %s", cells, row, required[1])
		}
	}
}
