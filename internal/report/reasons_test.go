// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestEveryReasonHasACase reads the constants of the API from their source, so that a new one cannot be forgotten here.
func TestEveryReasonHasACase(t *testing.T) {
	seen := map[string]bool{v1alpha1.ReasonPending: true} // The default of the schema.
	for _, tc := range conditionCases() {
		_, got := statusOf(tc.change)
		for _, condition := range got.Conditions {
			seen[condition.Type], seen[condition.Reason] = true, true
		}
		for _, api := range got.APIServices {
			seen[api.Reason] = true
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") && !strings.HasPrefix(spec.Names[0].Name, "Condition") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if constants++; !seen[value] {
			t.Errorf("no case shows %s", spec.Names[0].Name)
		}
		return true
	})
	if constants < 60 {
		t.Errorf("%d constants found, has the file moved?", constants)
	}
}

// TestConditionsKeepTheirOrder, so that kubectl describe reads the same every time.
func TestConditionsKeepTheirOrder(t *testing.T) {
	types := func(s v1alpha1.MetricsPipelineStatus) (names []string) {
		for _, condition := range s.Conditions {
			names = append(names, condition.Type)
		}
		return names
	}
	_, first := statusOf()
	for name, tc := range conditionCases() {
		o, _ := statusOf(tc.change)
		if got := Status(o, first); !slices.Equal(types(got), types(first)) {
			t.Errorf("%s: conditions %q, before %q", name, types(got), types(first))
		}
	}
}
