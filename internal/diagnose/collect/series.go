// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Labels by which series may name the namespace and a pod, where a rule has another one: honorLabels is off, or Prometheus discovers
// pods by a configuration of its own.
var (
	namespaceLabels = []string{"namespace", "exported_namespace", "kubernetes_namespace", "k8s_namespace_name"}
	podLabels       = []string{"pod", "exported_pod", "kubernetes_pod_name", "pod_name", "k8s_pod_name"}
)

// The objects of others of which there are series, and how many of them are named.
const (
	otherObjects = "others"
	mostOthers   = 5
)

// mostRules is how many rules of one name are counted.
const mostRules = 3

// served is a rule that makes a metric, with what is asked for of it.
type served struct {
	operand.Explained
	rule     diagnose.Rule
	selector selector
	total    float64
}

// serves is false for a rule that is not in use, or not for this request.
func (s served) serves() bool {
	return s.Problem == "" && s.rule.State != string(v1alpha1.RuleRejected)
}

// namespaced selects the rule's series of a namespace; nil where they belong to none.
func (s served) namespaced(namespace string, further ...*labels.Matcher) selector {
	if s.NamespaceLabel == "" || s.selector == nil {
		return nil
	}
	return s.selector.with(equal(s.NamespaceLabel, namespace)).with(further...)
}

// measure asks Prometheus for the series of the rules that make a metric, and puts the rule that serves first, and for the targets of what
// exposes them, which is nil where that is not known.
func (c *collection) measure(
	ctx context.Context, metric *diagnose.Metric, request operand.MetricRequest, rules []served, exposer *apps,
) error {
	t := terms{namespace: request.Namespace}
	for i, rule := range rules[:min(len(rules), mostRules)] {
		if rule.selector != nil && rule.Origin == originSpec {
			t.everywhere("total "+strconv.Itoa(i), rule.selector)
		}
	}
	if len(rules) > 0 {
		rules[0].count(&t, request)
	} else {
		countPresets(&t, request)
	}
	exposer.countTargets(&t)
	numbers, err := c.put(ctx, &metric.Series, &t)
	if err != nil {
		return err
	}
	exposer.readTargets(numbers)
	for i := range rules {
		rules[i].total = or(numbers, "total "+strconv.Itoa(i), unknown)
	}
	if len(rules) == 0 {
		readPresets(numbers, metric)
		return nil
	}
	first := rules[0].ID
	slices.SortStableFunc(rules, func(a, b served) int { return cmp.Compare(a.rank(), b.rank()) })
	if rules[0].ID != first {
		t := terms{namespace: request.Namespace}
		rules[0].count(&t, request)
		if numbers, err = c.put(ctx, &metric.Series, &t); err != nil {
			return err
		}
	}
	rules[0].read(numbers, &metric.Series)
	if err := c.missing(ctx, metric, request, rules[0]); err != nil {
		return err
	}
	return c.evaluate(ctx, metric, request, rules[0])
}

// rank puts rules with series before those without, and those that do not serve last.
func (s served) rank() int {
	switch {
	case !s.serves():
		return 2
	case s.total == 0:
		return 1
	}
	return 0
}

// unknown is the count of what was not asked.
const unknown = -1

// notAsked is what is known of series before they are asked for.
func notAsked() diagnose.Series {
	return diagnose.Series{Total: unknown, InNamespace: unknown, ForPods: unknown, ForSelector: unknown, Samples: unknown, NaN: unknown}
}

func or(numbers map[string]float64, name string, otherwise float64) float64 {
	if number, has := numbers[name]; has {
		return number
	}
	return otherwise
}

// count asks for the rule's series in the namespace: by the rule's label for it and by others, those of the objects, and those that the
// metric's selector selects.
func (s served) count(t *terms, request operand.MetricRequest) {
	inNamespace := s.namespaced(request.Namespace)
	if inNamespace == nil {
		return
	}
	t.inside("namespace", count(inNamespace.String()), s.NamespaceLabel)
	for _, label := range namespaceLabels {
		if label != s.NamespaceLabel {
			t.inside("by "+label, count(s.selector.with(equal(label, request.Namespace)).String()), label)
		}
	}
	wanted := inNamespace
	if s.ObjectLabel != "" && len(request.Objects) > 0 {
		wanted = wanted.with(oneOf(s.ObjectLabel, request.Objects))
		t.inside("objects", count(wanted.String()), s.NamespaceLabel)
	}
	if request.Selector == nil || request.Selector.Empty() {
		return
	}
	if selected, ok := matchersOf(request.Selector); ok {
		t.inside("selected", count(wanted.with(selected...).String()), s.NamespaceLabel)
	}
}

// read takes the numbers of count.
func (s served) read(numbers map[string]float64, into *diagnose.Series) {
	into.Total = int(s.total)
	into.InNamespace = int(or(numbers, "namespace", unknown))
	into.ForPods = int(or(numbers, "objects", unknown))
	into.ForSelector = int(or(numbers, "selected", unknown))
	into.NamespaceLabel, into.ObjectLabel, into.ByQuery = s.NamespaceLabel, s.ObjectLabel, s.ByQuery
	switch {
	case s.NamespaceLabel == "":
		into.InNamespace = into.Total // They belong to all.
	case s.Origin != originSpec:
		into.Total = into.InNamespace // Of a name that a tenant chose no other namespace's are counted.
	}
	for _, label := range namespaceLabels {
		if into.OtherLabel == "" && numbers["by "+label] > 0 {
			into.OtherLabel = label
		}
	}
}

// missing asks what there was, or is instead, where there are no series of the namespace or the objects.
func (c *collection) missing(ctx context.Context, metric *diagnose.Metric, request operand.MetricRequest, rule served) error {
	var gone selector
	t := terms{namespace: request.Namespace}
	switch {
	case !rule.serves(), rule.namespaced(request.Namespace) == nil:
		return nil
	case metric.Series.InNamespace == 0:
		gone = rule.namespaced(request.Namespace)
	case metric.Series.ForPods == 0:
		mine := oneOf(rule.ObjectLabel, request.Objects)
		gone = rule.namespaced(request.Namespace, mine)
		others := rule.namespaced(request.Namespace, labels.MustNewMatcher(labels.MatchNotRegexp, mine.Name, mine.Value+"|"))
		t.inside(otherObjects, fmt.Sprintf("topk(%d, group by (%s) (%s))", mostOthers, rule.ObjectLabel, others), rule.NamespaceLabel)
		for _, label := range podLabels {
			if label != rule.ObjectLabel {
				mine := rule.namespaced(request.Namespace, oneOf(label, request.Objects))
				t.inside("as "+label, count(mine.String()), rule.NamespaceLabel)
			}
		}
	default:
		return nil
	}
	// timestamp gives that of the sample for a selector alone.
	t.inside("seen", fmt.Sprintf("max(max_over_time(timestamp(%s)[1h:1m]))", gone), rule.NamespaceLabel)
	answer, err := c.putAll(ctx, &metric.Series, &t)
	if err != nil {
		return err
	}
	numbers := t.answers(answer)
	for _, sample := range answer {
		if other := string(sample.Metric[model.LabelName(rule.ObjectLabel)]); sample.Metric[termLabel] == otherObjects {
			metric.Series.OtherObjects = append(metric.Series.OtherObjects, other)
		}
	}
	slices.Sort(metric.Series.OtherObjects)
	if seen := numbers["seen"]; seen > 0 {
		metric.Series.LastSeen = time.UnixMilli(int64(seen * 1000)).UTC()
	}
	for _, label := range podLabels {
		if metric.Series.OtherObjectLabel == "" && numbers["as "+label] > 0 {
			metric.Series.OtherObjectLabel = label
		}
	}
	return nil
}

// evaluate asks what the rule itself asks for this HPA. A query that reaches beyond the namespace is not put, unless its rule is stated
// and says that its series belong to none.
func (c *collection) evaluate(ctx context.Context, metric *diagnose.Metric, request operand.MetricRequest, rule served) error {
	ofNone := rule.NamespaceLabel == "" && rule.Origin == originSpec
	if rule.ByQuery && !plain(request.Objects) {
		return nil // What is no name of an object may mean anything in the query.
	}
	without := metric.Series.InNamespace == 0 || metric.Series.ForPods == 0
	if !rule.serves() || rule.Query == "" || without || !ofNone && !confined(rule.Query, c.hpa.Namespace, rule.NamespaceLabel) {
		return nil
	}
	samples, err := c.query(ctx, &metric.Series, rule.Query)
	if err != nil {
		return err
	}
	if samples == nil {
		if ofNone {
			metric.Series.QueryError = "it cannot be evaluated" // What Prometheus says names series of others.
		}
		return nil
	}
	metric.Series.Samples, metric.Series.NaN = len(samples), 0
	for _, sample := range samples {
		if math.IsNaN(float64(sample.Value)) {
			metric.Series.NaN++
		}
		name := string(sample.Metric[model.LabelName(rule.ObjectLabel)])
		if rule.ObjectLabel != "" && name != "" && len(metric.Series.Pods) < diagnose.MostPods {
			metric.Series.Pods = append(metric.Series.Pods, name)
		}
	}
	slices.Sort(metric.Series.Pods)
	return nil
}

// put puts terms, and returns their numbers; none without terms.
func (c *collection) put(ctx context.Context, into *diagnose.Series, t *terms) (map[string]float64, error) {
	answer, err := c.putAll(ctx, into, t)
	if err != nil {
		return nil, err
	}
	return t.answers(answer), nil
}

// putAll returns the whole answer.
func (c *collection) putAll(ctx context.Context, into *diagnose.Series, t *terms) (model.Vector, error) {
	var all model.Vector
	for _, question := range t.questions() {
		answer, err := c.query(ctx, into, question)
		if err != nil {
			return nil, err
		}
		if into.QueryError != "" {
			// Not the rule's own query: a store that does not understand the question.
			into.Unreachable, into.QueryError = into.QueryError, ""
			return nil, errUnanswered
		}
		all = append(all, answer...)
	}
	return all, nil
}

// errUnanswered ends the questions about a metric, whose evidence says why.
var errUnanswered = errors.New("there is no answer")

// query puts a question of a metric. What is wrong with the query is in the evidence, and then there is no answer.
func (c *collection) query(ctx context.Context, into *diagnose.Series, promql string) (model.Vector, error) {
	answer, err := c.questions.ask(ctx, promql)
	var unusable *prometheus.UnusableError
	switch {
	case errors.Is(err, ErrNotNow), errors.Is(err, errNoMore):
		return nil, err
	case errors.As(err, &unusable), err != nil && c.questions.unreachable != nil:
		into.Unreachable = err.Error()
		return nil, errUnanswered
	}
	into.Queries = append(into.Queries, promql)
	if err != nil {
		into.QueryError = err.Error()
		return nil, nil //nolint:nilerr // the evidence has it
	}
	if answer == nil {
		answer = model.Vector{}
	}
	return answer, nil
}
