// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selection is what a Prometheus object demands of one kind of monitors before it uses them.
type Selection struct {
	// Field is the selector's name in the object, for messages.
	Field string
	// Selector on the labels of monitors; nil selects none.
	Selector *metav1.LabelSelector
	// NamespaceField and Namespaces select the monitors' namespaces; nil selects HomeNamespace alone.
	NamespaceField string
	Namespaces     *metav1.LabelSelector
	HomeNamespace  string
}

// Labels returns the labels that a monitor with the given ones needs besides to be selected. The error says which selector
// cannot be met and why.
func (s Selection) Labels(own map[string]string) (map[string]string, error) {
	if s.Selector == nil {
		return nil, fmt.Errorf("its %s is not set, which selects nothing; set it to {} or to labels", s.Field)
	}
	needed := map[string]string{}
	maps.Copy(needed, s.Selector.MatchLabels)
	for _, expression := range s.Selector.MatchExpressions {
		_, has := needed[expression.Key]
		_, given := own[expression.Key]
		switch {
		case has || given:
		case expression.Operator == metav1.LabelSelectorOpIn && len(expression.Values) > 0:
			needed[expression.Key] = expression.Values[0]
		case expression.Operator == metav1.LabelSelectorOpExists:
			needed[expression.Key] = "true"
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return nil, fmt.Errorf("its %s cannot be read: %w", s.Field, err)
	}
	// Where the two differ, the own ones stand: they were asked for, or are what we find the monitors by.
	all := labels.Set{}
	maps.Copy(all, needed)
	maps.Copy(all, own)
	maps.DeleteFunc(needed, func(key, _ string) bool { _, given := own[key]; return given })
	if !selector.Matches(all) {
		return nil, fmt.Errorf("its %s is %q, which excludes monitors with the labels %s; change the selector, or spec.scrape.labels",
			s.Field, metav1.FormatLabelSelector(s.Selector), all)
	}
	return needed, nil
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
