// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// promQL admits what a rule may have.
var promQL = parser.NewParser(parser.Options{EnableExperimentalFunctions: true, ExperimentalDurationExpr: true,
	EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})

// selector is a series selector: nothing is put together from texts of users. They are values of matchers, which quote them.
type selector []*labels.Matcher

// parseSelector reads the selector of a rule; nil where it is none.
func parseSelector(text string) selector {
	expr, err := promQL.ParseExpr(text)
	if err != nil {
		return nil
	}
	vector, ok := expr.(*parser.VectorSelector)
	if !ok {
		return nil
	}
	return vector.LabelMatchers
}

func series(name string) selector { return selector{equal(model.MetricNameLabel, name)} }

// with returns the selector with further matchers.
func (s selector) with(further ...*labels.Matcher) selector { return slices.Concat(s, further) }

// String writes the name in front of the braces where it can stand there, as people do.
func (s selector) String() string {
	name, all := "", []string{}
	for _, matcher := range s {
		if name == "" && matcher.Name == model.MetricNameLabel && matcher.Type == labels.MatchEqual &&
			model.LegacyValidation.IsValidMetricName(matcher.Value) {
			name = matcher.Value
		} else {
			all = append(all, matcher.String())
		}
	}
	if name != "" && len(all) == 0 {
		return name
	}
	return name + "{" + strings.Join(all, ",") + "}"
}

func equal(label, value string) *labels.Matcher {
	return &labels.Matcher{Type: labels.MatchEqual, Name: label, Value: value}
}

// Bounds of a question, in bytes: sent by GET it is a URL, of which many proxies take 8 KiB at most, and a quote takes three bytes there.
const (
	longestQuestion     = 5 << 10
	longestAlternatives = 400
)

// fitting are the first names of a list that a question has room for.
func fitting(names []string) []string {
	length := 0
	for i, name := range names {
		if length += len(regexp.QuoteMeta(name)) + 1; length > longestAlternatives {
			return names[:i]
		}
	}
	return names
}

// oneOf matches exactly the names. There has to be one: an empty expression matches what has no such label.
func oneOf(label string, names []string) *labels.Matcher {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

// matchersOf returns the selector of a metric as matchers; false where no label of Prometheus is called as one of its keys, or where it
// has too many values.
func matchersOf(wanted kubelabels.Selector) ([]*labels.Matcher, bool) {
	requirements, _ := wanted.Requirements()
	var matchers []*labels.Matcher
	for _, requirement := range requirements {
		values := requirement.Values().List()
		if !model.LegacyValidation.IsValidLabelName(requirement.Key()) || len(fitting(values)) < len(values) {
			return nil, false
		}
		if matcher := matcherOf(requirement, values); matcher != nil {
			matchers = append(matchers, matcher)
		}
	}
	return matchers, true
}

func matcherOf(requirement kubelabels.Requirement, values []string) *labels.Matcher {
	one := oneOf(requirement.Key(), values)
	switch requirement.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		return one
	case selection.NotEquals, selection.NotIn:
		return labels.MustNewMatcher(labels.MatchNotRegexp, one.Name, one.Value)
	case selection.Exists:
		return &labels.Matcher{Type: labels.MatchNotEqual, Name: one.Name}
	case selection.DoesNotExist:
		return &labels.Matcher{Type: labels.MatchEqual, Name: one.Name}
	case selection.GreaterThan, selection.LessThan:
	}
	return nil
}

// confined is true where each selector of a query demands the namespace of one of the labels.
func confined(query, namespace string, namespaceLabels ...string) bool {
	expr, err := promQL.ParseExpr(query)
	if err != nil || namespace == "" {
		return false
	}
	inside := true
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if vector, ok := node.(*parser.VectorSelector); ok {
			inside = inside && slices.ContainsFunc(vector.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Type == labels.MatchEqual && m.Value == namespace && slices.Contains(namespaceLabels, m.Name)
			})
		}
		return nil
	})
	return inside
}

// The label by which an answer names what it is the number of.
const termLabel = "question"

// terms are questions for one number each, which are put as one.
type terms struct {
	namespace string
	exprs     []string
	names     []string
}

// inside adds a question about the namespace, which one of these labels of its series names. One that would reach beyond it is left out.
func (t *terms) inside(name, expr string, namespaceLabels ...string) {
	if confined(expr, t.namespace, namespaceLabels...) {
		t.add(name, expr)
	}
}

// everywhere counts the series of a rule in the whole cluster.
func (t *terms) everywhere(name string, rule selector) { t.add(name, count(rule.String())) }

func (t *terms) add(name, expr string) {
	t.exprs, t.names = append(t.exprs, expr), append(t.names, name)
}

func count(expr string) string { return "count(" + expr + ")" }

// questions puts them as one, or as several where one would be too long. Each gives at most one sample without labels.
func (t *terms) questions() []string {
	var all []string
	for i, expr := range t.exprs {
		named := fmt.Sprintf("label_replace(%s,%q,%q,\"\",\"\")", expr, termLabel, t.names[i])
		if last := len(all) - 1; last >= 0 && len(all[last])+len(named) <= longestQuestion {
			all[last] += " or " + named
		} else {
			all = append(all, named)
		}
	}
	return all
}

// answers are the numbers of an answer by their names. What has no series is 0, and what was not asked is not there.
func (t *terms) answers(vector model.Vector) map[string]float64 {
	numbers := map[string]float64{}
	for _, name := range t.names {
		numbers[name] = 0
	}
	for _, sample := range vector {
		if name := string(sample.Metric[termLabel]); slices.Contains(t.names, name) {
			numbers[name] = float64(sample.Value)
		}
	}
	return numbers
}
