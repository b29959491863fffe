// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selection is what a Prometheus object demands of one kind of monitors, or of rules, before it uses them.
type Selection struct {
	// Objects are what is selected, for messages; empty for monitors.
	Objects string
	// LabelsField is the field of the spec whose labels the objects carry, for messages; empty for spec.scrape.labels.
	LabelsField string
	// Field is the selector's name in the object, for messages.
	Field string
	// Selector on the labels of the objects; nil selects none.
	Selector *metav1.LabelSelector
	// NamespaceField and Namespaces select the objects' namespaces; nil selects HomeNamespace alone.
	NamespaceField string
	Namespaces     *metav1.LabelSelector
	HomeNamespace  string
	// Never says why it uses none, whatever their labels, and the remedy; empty where it may.
	Never string
}

// Labels returns the labels that a monitor needs beside its own ones to be selected. What the selector demands replaces an own
// label, except those with the fixed keys: the labels by which the operator finds its objects, and those that the user set.
// Where no labels meet the selector, the error names it and the labels.
//
// Of the values that an expression accepts, the monitor's own comes first, then those of matchLabels, then those of In in
// their order, then "true" where any will do.
func (s Selection) Labels(own map[string]string, fixed ...string) (map[string]string, error) {
	if s.Never != "" {
		return nil, errors.New(s.Never)
	}
	if s.Selector == nil {
		return nil, fmt.Errorf("its %s is not set, which selects nothing; set it to {} or to labels", s.Field)
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return nil, fmt.Errorf("its %s cannot be read: %w", s.Field, err)
	}
	requirements, _ := selector.Requirements()
	needed := map[string]string{}
	for key, candidates := range s.candidates() {
		if value, has := own[key]; has {
			if slices.Contains(fixed, key) || meets(requirements, key, value) {
				continue
			}
		}
		// Where no value meets all demands on the key, the error shows the first.
		needed[key] = candidates[0]
		if index := slices.IndexFunc(candidates, func(value string) bool { return meets(requirements, key, value) }); index >= 0 {
			needed[key] = candidates[index]
		}
	}
	all := labels.Set{}
	maps.Copy(all, own)
	maps.Copy(all, needed)
	if !selector.Matches(all) {
		return nil, fmt.Errorf("its %s is %q, which excludes %s with the labels %s; change the selector, or %s",
			s.Field, metav1.FormatLabelSelector(s.Selector), cmp.Or(s.Objects, "monitors"), all,
			cmp.Or(s.LabelsField, "spec.scrape.labels"))
	}
	return needed, nil
}

// candidates returns, for each key that the selector demands, values that a label may take, the preferred first.
func (s Selection) candidates() map[string][]string {
	values, anyValue := map[string][]string{}, map[string]bool{}
	for key, value := range s.Selector.MatchLabels {
		values[key] = []string{value}
	}
	for _, expression := range s.Selector.MatchExpressions {
		switch expression.Operator {
		case metav1.LabelSelectorOpIn:
			values[expression.Key] = append(values[expression.Key], expression.Values...)
		case metav1.LabelSelectorOpExists:
			anyValue[expression.Key] = true
		}
	}
	for key := range anyValue {
		values[key] = append(values[key], "true")
	}
	return values
}

// meets is true when a value of one label is all that the requirements demand of that label.
func meets(requirements labels.Requirements, key, value string) bool {
	set := labels.Set{key: value}
	return !slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return r.Key() == key && !r.Matches(set) })
}

// Where says into which namespaces the Prometheus looks for monitors; empty for all.
func (s Selection) Where() string {
	switch {
	case s.Namespaces == nil:
		return "unset, which selects its own namespace alone"
	case len(s.Namespaces.MatchLabels) == 0 && len(s.Namespaces.MatchExpressions) == 0:
		return ""
	default:
		return fmt.Sprintf("%q", metav1.FormatLabelSelector(s.Namespaces))
	}
}

// SelectsNamespace is true when monitors in a namespace are used.
func (s Selection) SelectsNamespace(name string, set map[string]string) (bool, error) {
	if s.Namespaces == nil {
		return name == s.HomeNamespace, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Namespaces)
	if err != nil {
		return false, fmt.Errorf("its %s cannot be read: %w", s.NamespaceField, err)
	}
	return selector.Matches(labels.Set(set)), nil
}
