// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// Question is which series there are that a metric of one HPA can be made from.
type Question struct {
	// Selector of the series, all of which are in the HPA's namespace.
	Selector string
	// Labels that it finds the HPA's pods or object by.
	Labels Labels
}

// Answer is how many series Prometheus has of a selector, by their names.
type Answer map[string]Count

// Count is a number of series, and whether one of them has a label quantile.
type Count struct {
	Series    int64
	Quantiles bool
}

// Questions returns what Prometheus is to answer about a metric of an HPA; a Problem where the answer would change nothing.
func Questions(asked Ask) ([]Question, *Problem) {
	field := fieldOf(asked)
	if p := refused(asked.Name, field); p != nil {
		return nil, p
	}
	of, known := resourceOf(asked)
	if !known {
		return nil, unsupported(asked, field)
	}
	own, p := object(asked)
	if p != nil {
		return nil, p
	}
	selected, p := selectorOf(asked.Selector, field)
	if p != nil {
		return nil, p
	}
	g := grammarOf(asked.Name, asked.external())
	var questions []Question
	for _, l := range of.labels {
		matchers := []*labels.Matcher{matcher(labels.MatchRegexp, "__name__", g.pattern()),
			matcher(labels.MatchEqual, l.Namespace, asked.Namespace)}
		if l.lookalike() {
			matchers = append(matchers, matcher(labels.MatchEqual, namespaceLabel, ""))
		}
		if l.Object != "" {
			matchers = append(matchers, matcher(own.kind, l.Object, own.value))
		}
		questions = append(questions, Question{Selector: written(append(matchers, selected...)), Labels: l})
	}
	return questions, nil
}

func fieldOf(asked Ask) string {
	if asked.external() {
		return metricsapi.Field(metricsapi.External.Group)
	}
	return metricsapi.Field(metricsapi.CustomV1Beta1.Group)
}

func unsupported(asked Ask, field string) *Problem {
	if asked.Kind == "Job" {
		return problem(v1alpha1.AutoscalerDeriveJob,
			"The metric %s describes Job %s, and the label job names what Prometheus scrapes, not a Job; state a rule "+
				"in %s.rules that maps a label such as job_name to {group: batch, resource: jobs}.", asked.Name, brief(asked.Object), field)
	}
	return problem(v1alpha1.AutoscalerDeriveRefused,
		"The metric %s describes %s %s of API version %q, and no label is known to name objects of that kind; "+
			"state a rule in %s.rules with resources.overrides.", asked.Name, brief(asked.Kind), brief(asked.Object),
		brief(asked.APIVersion), field)
}

// value is how a label names an HPA's own pods or object.
type value struct {
	kind  labels.MatchType
	value string
}

// object returns how a label names the pods or the object of an HPA.
func object(asked Ask) (value, *Problem) {
	if len(validation.IsDNS1123Label(asked.Namespace)) > 0 {
		return value{}, problem(v1alpha1.AutoscalerDeriveRefused, "%q is not the name of a namespace.", brief(asked.Namespace))
	}
	name, where := asked.Object, "describedObject"
	switch asked.Type {
	case autoscalingv2.ExternalMetricSourceType:
		return value{}, nil
	case autoscalingv2.PodsMetricSourceType:
		name, where = asked.Target.Name, "scaleTargetRef"
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return value{}, problem(v1alpha1.AutoscalerDeriveRefused,
			"%s.name is %q, which is not the name of an object; correct it.", where, brief(name))
	}
	if asked.Type == autoscalingv2.PodsMetricSourceType {
		return value{labels.MatchRegexp, podNames(asked.Target)}, nil
	}
	return value{labels.MatchEqual, name}, nil
}

// longestStem is how much of a target's name is sure to be in the names of its pods: those that are generated are cut to 63 characters,
// with two random parts of up to 10 and of 5.
const longestStem = 46

// podNames is a regular expression of the names that controllers give to pods of a workload. They change with each pod, and the
// question does not. A workload of another kind names its pods after itself, as far as is known.
func podNames(target autoscalingv2.CrossVersionObjectReference) string {
	if len(target.Name) > longestStem {
		return regexp.QuoteMeta(target.Name[:longestStem]) + ".+"
	}
	stem := regexp.QuoteMeta(target.Name)
	switch target.Kind {
	case "Deployment":
		return stem + "-[a-z0-9]{1,10}-[a-z0-9]{5}"
	case "ReplicaSet", "ReplicationController":
		return stem + "-[a-z0-9]{5}"
	case "StatefulSet":
		return stem + "-[0-9]+"
	default:
		return stem + "-.+"
	}
}

// longestSelector bounds what a question repeats of a selector.
const longestSelector = 512

// labelName is what Prometheus has always taken for the name of a label, and the backend writes unquoted.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// selectorOf returns the matchers that the backend makes of a metric's selector.
func selectorOf(selector, field string) ([]*labels.Matcher, *Problem) {
	parsed, err := kubelabels.Parse(selector)
	if err != nil {
		return nil, problem(v1alpha1.AutoscalerDeriveRefused, "metric.selector is not a selector: %v.", err)
	}
	if length := len(selector); length > longestSelector {
		return nil, problem(v1alpha1.AutoscalerDeriveRefused,
			"metric.selector has %d characters, and a rule is derived for at most %d; state a rule in %s.rules.",
			length, longestSelector, field)
	}
	requirements, _ := parsed.Requirements()
	var matchers []*labels.Matcher
	for _, r := range requirements {
		if r.Operator() == selection.GreaterThan || r.Operator() == selection.LessThan {
			return nil, problem(v1alpha1.AutoscalerDeriveRefused,
				"metric.selector compares %s by %s, which PromQL has not for labels; list the "+
					"values.", brief(r.Key()), r.Operator())
		}
		if !labelName.MatchString(r.Key()) {
			return nil, problem(v1alpha1.AutoscalerDeriveRefused,
				"metric.selector has the key %q, which is no name of a label in Prometheus; select by a label "+
					"of the series, such as %s.", r.Key(), labelNames.ReplaceAllString(r.Key(), "_"))
		}
		matchers = append(matchers, required(r))
	}
	return matchers, nil
}

// labelNames are the characters that Prometheus' names of labels do not have.
var labelNames = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// required is the matcher that the backend makes of a requirement: of several values a regular expression, and of one with In too.
func required(r kubelabels.Requirement) *labels.Matcher {
	values := strings.Join(r.Values().List(), "|")
	switch r.Operator() {
	case selection.Exists:
		return matcher(labels.MatchNotEqual, r.Key(), "")
	case selection.DoesNotExist:
		return matcher(labels.MatchEqual, r.Key(), "")
	case selection.NotIn, selection.NotEquals:
		return matcher(labels.MatchNotRegexp, r.Key(), values)
	case selection.Equals, selection.DoubleEquals:
		return matcher(labels.MatchEqual, r.Key(), values)
	default:
		return matcher(labels.MatchRegexp, r.Key(), values)
	}
}

func matcher(kind labels.MatchType, name, value string) *labels.Matcher {
	return &labels.Matcher{Type: kind, Name: name, Value: value}
}

// written is a selector, with each value quoted.
func written(matchers []*labels.Matcher) string {
	var parts []string
	for _, m := range matchers {
		parts = append(parts, m.String())
	}
	return "{" + strings.Join(parts, ",") + "}"
}
