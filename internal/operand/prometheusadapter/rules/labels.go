// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// labelSet are the labels that the series of a result may have: those that are listed or, of a selector, all but those.
type labelSet struct {
	allBut bool
	listed map[string]bool
}

func onlyLabels(names ...string) labelSet   { return labelSet{listed: setOf(names)} }
func allButLabels(names ...string) labelSet { return labelSet{allBut: true, listed: setOf(names)} }

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func (s labelSet) has(name string) bool { return s.listed[name] != s.allBut }

// known returns the labels in order, and false where they are not all known.
func (s labelSet) known() ([]string, bool) { return slices.Sorted(maps.Keys(s.listed)), !s.allBut }

// combine returns the set of what is in the result of keep, which depends on nothing but whether a label is in either set.
func (s labelSet) combine(other labelSet, keep func(inOne, inOther bool) bool) labelSet {
	combined := labelSet{allBut: keep(s.allBut, other.allBut), listed: map[string]bool{}}
	for _, listed := range []map[string]bool{s.listed, other.listed} {
		for name := range listed {
			if keep(s.has(name), other.has(name)) != combined.allBut {
				combined.listed[name] = true
			}
		}
	}
	return combined
}

func (s labelSet) and(other labelSet) labelSet {
	return s.combine(other, func(one, other bool) bool { return one && other })
}

func (s labelSet) or(other labelSet) labelSet {
	return s.combine(other, func(one, other bool) bool { return one || other })
}

func (s labelSet) without(names []string) labelSet { return s.and(allButLabels(names...)) }

// labelsOf returns the labels that the series of a query's result may have. A label that is not among them is on none.
func labelsOf(expr parser.Expr) labelSet {
	switch n := expr.(type) {
	case *parser.ParenExpr:
		return labelsOf(n.Expr)
	case *parser.StepInvariantExpr:
		return labelsOf(n.Expr)
	case *parser.UnaryExpr:
		return labelsOf(n.Expr)
	case *parser.SubqueryExpr:
		return labelsOf(n.Expr)
	case *parser.MatrixSelector:
		return labelsOf(n.VectorSelector)
	case *parser.VectorSelector:
		return allButLabels(equalTo(n, func(value string) bool { return value == "" })...)
	case *parser.AggregateExpr:
		return labelsOfAggregate(n)
	case *parser.BinaryExpr:
		return labelsOfBinary(n)
	case *parser.Call:
		return labelsOfCall(n)
	}
	return onlyLabels()
}

// equalTo returns the labels that a selector compares for equality with a value such as this.
func equalTo(selector *parser.VectorSelector, such func(value string) bool) []string {
	var names []string
	for _, matcher := range selector.LabelMatchers {
		if matcher.Type == labels.MatchEqual && matcher.Name != model.MetricNameLabel && such(matcher.Value) {
			names = append(names, matcher.Name)
		}
	}
	return names
}

func labelsOfAggregate(n *parser.AggregateExpr) labelSet {
	of := labelsOf(n.Expr)
	switch n.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO: // They choose series, and leave them as they are.
		return of
	case parser.COUNT_VALUES:
		if label, ok := n.Param.(*parser.StringLiteral); ok {
			of = of.or(onlyLabels(label.Val))
			if !n.Without {
				return of.and(onlyLabels(append([]string{label.Val}, n.Grouping...)...))
			}
		}
	}
	if n.Without {
		return of.without(n.Grouping)
	}
	return of.and(onlyLabels(n.Grouping...))
}

func labelsOfBinary(n *parser.BinaryExpr) labelSet {
	left, right := labelsOf(n.LHS), labelsOf(n.RHS)
	if n.VectorMatching == nil {
		if n.LHS.Type() == parser.ValueTypeVector {
			return left
		}
		return right
	}
	include := onlyLabels(n.VectorMatching.Include...)
	fill := n.VectorMatching.FillValues
	switch {
	case fill.LHS != nil || fill.RHS != nil: // Either side may be alone.
		return left.or(right).or(include)
	case n.Op == parser.LOR:
		return left.or(right)
	case n.Op == parser.LAND, n.Op == parser.LUNLESS:
		return left
	case n.VectorMatching.Card == parser.CardManyToOne:
		return left.or(include)
	case n.VectorMatching.Card == parser.CardOneToMany:
		return right.or(include)
	case n.VectorMatching.On:
		return left.and(right).and(onlyLabels(n.VectorMatching.MatchingLabels...))
	}
	return left.and(right).without(n.VectorMatching.MatchingLabels)
}

func labelsOfCall(n *parser.Call) labelSet {
	var of *labelSet
	for _, arg := range n.Args {
		if t := arg.Type(); of == nil && (t == parser.ValueTypeVector || t == parser.ValueTypeMatrix) {
			found := labelsOf(arg)
			of = &found
		}
	}
	if of == nil {
		return onlyLabels() // It makes a series of its own.
	}
	switch n.Func.Name {
	case "label_replace", "label_join":
		if label, ok := n.Args[1].(*parser.StringLiteral); ok {
			return of.or(onlyLabels(label.Val))
		}
		return allButLabels()
	case "absent", "absent_over_time":
		var equal []string
		parser.Inspect(n, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				equal = append(equal, equalTo(selector, func(value string) bool { return value != "" })...)
			}
			return nil
		})
		return onlyLabels(equal...)
	case "info": // It adds labels of other series.
		return allButLabels()
	case "scalar":
		return onlyLabels()
	case "histogram_quantile", "histogram_fraction":
		return of.without([]string{labels.BucketLabel})
	}
	return *of
}

// selectorsOf returns the selectors of a query.
func selectorsOf(expr parser.Expr) []*parser.VectorSelector {
	var selectors []*parser.VectorSelector
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			selectors = append(selectors, selector)
		}
		return nil
	})
	return selectors
}

// namesOf returns the names that the series of a selector can have; nil where they are not known.
func namesOf(selector *parser.VectorSelector) []string {
	if selector == nil {
		return nil
	}
	var names []string
	for _, matcher := range selector.LabelMatchers {
		if matcher.Name != model.MetricNameLabel || len(names) > 0 {
			continue
		}
		switch matcher.Type {
		case labels.MatchEqual:
			names = []string{matcher.Value}
		case labels.MatchRegexp:
			names = slices.Clone(matcher.SetMatches())
		case labels.MatchNotEqual, labels.MatchNotRegexp:
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == model.MetricNameLabel && !m.Matches(name)
		})
	})
}

// selectorOf writes matchers as a selector.
func selectorOf(matchers []*labels.Matcher) string {
	text := "{"
	for i, matcher := range matchers {
		if i > 0 {
			text += ","
		}
		text += matcher.String()
	}
	return text + "}"
}

// filled is true for a matcher that no series without the label passes, and every other one does.
func filled(m *labels.Matcher) bool {
	return m.Type == labels.MatchNotEqual && m.Value == "" || m.Type == labels.MatchRegexp && m.Value == ".+"
}
