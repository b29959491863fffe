// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// reasons are the values of the constants v1alpha1.Autoscaler*, each of which is its name without that prefix.
func reasons(tb testing.TB) []string {
	tb.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/autoscaler_reasons.go", nil, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		constant, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
		if err != nil || strings.TrimPrefix(constant.Names[0].Name, "Autoscaler") != value {
			tb.Errorf("the value of %s is %q (%v)", constant.Names[0].Name, value, err)
		}
		values = append(values, value)
		return true
	})
	if len(values) < 30 {
		tb.Errorf("there are %d reasons, want 30 at least", len(values))
	}
	return values
}
