// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/internal/operand"
)

// TestNothingElseNamesAnOperand: an operand is known to its folder, its assets and this registry alone, so that a new one
// touches nothing else under internal. Comments count: what explains itself by an operand knows it. The commands that read
// and write rules are an exception: they turn an operand's own configuration into a pipeline. So is what describes the Prometheus that
// the operator runs as a source like any other: who scrapes, who queries and who writes its scrape configurations must find it.
func TestNothingElseNamesAnOperand(t *testing.T) {
	var names, folders []string
	for _, c := range operand.Catalog(Operands()) {
		short := strings.ReplaceAll(c.Name, "-", "")
		names = append(names, c.Name, short)
		folders = append(folders, path.Join("operand", short), path.Join("assets", c.Name))
	}
	folders = append(folders, "operand/registry")

	internal, searched := os.DirFS("../.."), 0
	err := fs.WalkDir(internal, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(folders, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "cli/rules") ||
			name == "prometheus/managed.go" {
			return nil
		}
		content, err := fs.ReadFile(internal, name)
		if err != nil {
			return err
		}
		searched++
		for number, line := range strings.Split(string(content), "\n") {
			for _, operand := range names {
				if strings.Contains(strings.ToLower(line), operand) {
					t.Errorf("internal/%s:%d names %s: %s", name, number+1, operand, strings.TrimSpace(line))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if searched < 50 {
		t.Errorf("only %d files were searched", searched)
	}
}
