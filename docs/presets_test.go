// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/internal/presets"
)

// TestPresets: the page of ready-made rules has each of them, with its object and its metric.
func TestPresets(t *testing.T) {
	page := read(t, "ingress.md")
	for _, preset := range presets.All {
		var row string
		for line := range strings.SplitSeq(page, "\n") {
			if strings.HasPrefix(line, "| `"+preset.Name+"` |") && strings.Contains(line, preset.Metric) {
				row = line
			}
		}
		if !strings.Contains(row, fmt.Sprintf("| %s | `%s` |", preset.Object.Kind, preset.Metric)) {
			t.Errorf("docs/ingress.md has %q for the preset %s of %s", row, preset.Name, preset.Object.Kind)
		}
	}
	if got := strings.Count(page, "_per_second` |"); got != len(presets.All) {
		t.Errorf("docs/ingress.md has %d presets, and there are %d", got, len(presets.All))
	}
}
