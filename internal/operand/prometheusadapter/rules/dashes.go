// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// subtractions counts the series of names that a dash without spaces joins, as in http-requests: perhaps they are one name.
func (s *subject) subtractions() []count {
	var counts []count
	for _, q := range s.queries {
		if q.expr == nil {
			return nil
		}
		parser.Inspect(q.expr, func(node parser.Node, _ []parser.Node) error {
			binary, ok := node.(*parser.BinaryExpr)
			if !ok {
				return nil
			}
			joined := dashed(binary, q.text)
			for _, name := range joined[:max(0, len(joined)-1)] {
				known := slices.ContainsFunc(counts, func(c count) bool { return c.labels[0] == name })
				if matcher, err := labels.NewMatcher(labels.MatchEqual, model.MetricNameLabel, name); err == nil && !known {
					counts = append(counts, count{purpose: subtracted, labels: []string{name, strings.Join(joined, "-")},
						selector: selectorOf([]*labels.Matcher{matcher})})
				}
			}
			return nil
		})
	}
	return counts
}

// dashed returns the names that are joined by dashes in an expression; nil for a subtraction that is written as one.
func dashed(expr parser.Expr, in string) []string {
	if selector, ok := expr.(*parser.VectorSelector); ok && selector.Name != "" {
		return []string{selector.Name}
	}
	binary, ok := expr.(*parser.BinaryExpr)
	if !ok || binary.Op != parser.SUB || binary.VectorMatching == nil {
		return nil
	}
	left, right := dashed(binary.LHS, in), dashed(binary.RHS, in)
	last, ok := lastOf(binary.LHS).(*parser.VectorSelector)
	if len(left) == 0 || len(right) != 1 || !ok || len(last.LabelMatchers) != 1 {
		return nil
	}
	from, to := int(last.PositionRange().End), int(binary.RHS.PositionRange().Start)
	if from > to || to > len(in) || in[from:to] != "-" {
		return nil
	}
	return append(left, right...)
}

// lastOf is what stands before the last operator.
func lastOf(expr parser.Expr) parser.Expr {
	if binary, ok := expr.(*parser.BinaryExpr); ok {
		return lastOf(binary.RHS)
	}
	return expr
}
