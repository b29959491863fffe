// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func expression(key string, operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
}

func TestSelectionLabels(t *testing.T) {
	own := map[string]string{"team": "web"}
	stack := &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
	with := func(set map[string]string, s *metav1.LabelSelector) *metav1.LabelSelector {
		both := s.DeepCopy()
		both.MatchLabels = set
		return both
	}
	for name, tc := range map[string]struct {
		selector *metav1.LabelSelector
		want     map[string]string
		// says is a part of the error; empty for none.
		says string
	}{
		"no selector selects nothing": {says: "is not set, which selects nothing"},
		"an empty one all":            {selector: &metav1.LabelSelector{}, want: map[string]string{}},
		"labels":                      {selector: stack, want: map[string]string{"release": "stack"}},
		"a label that is there":       {selector: metav1.SetAsLabelSelector(own), want: map[string]string{}},
		"a label with another value":  {selector: metav1.SetAsLabelSelector(map[string]string{"team": "ops"}), says: `"team=ops", which excludes`},
		"one of several":              {selector: expression("env", metav1.LabelSelectorOpIn, "prod", "test"), want: map[string]string{"env": "prod"}},
		"one of several, given":       {selector: expression("team", metav1.LabelSelectorOpIn, "ops", "web"), want: map[string]string{}},
		"none of several":             {selector: expression("team", metav1.LabelSelectorOpIn, "ops", "db"), says: "change the selector, or spec.scrape.labels"},
		"any value":                   {selector: expression("scrape", metav1.LabelSelectorOpExists), want: map[string]string{"scrape": "true"}},
		"any value, given":            {selector: expression("team", metav1.LabelSelectorOpExists), want: map[string]string{}},
		"not this value":              {selector: expression("env", metav1.LabelSelectorOpNotIn, "prod"), want: map[string]string{}},
		"not ours":                    {selector: expression("team", metav1.LabelSelectorOpNotIn, "web"), says: "team notin (web)"},
		"absent":                      {selector: expression("env", metav1.LabelSelectorOpDoesNotExist), want: map[string]string{}},
		"ours absent":                 {selector: expression("team", metav1.LabelSelectorOpDoesNotExist), says: "!team"},
		"a label and an expression": {
			selector: with(map[string]string{"env": "test"}, expression("env", metav1.LabelSelectorOpIn, "prod", "test")),
			want:     map[string]string{"env": "test"}},
		"contradictory": {
			selector: with(map[string]string{"env": "test"}, expression("env", metav1.LabelSelectorOpNotIn, "test")),
			says:     "excludes monitors"},
		"unreadable": {selector: expression("env", "Near", "x"), says: "cannot be read"},
		"In nothing": {selector: expression("env", metav1.LabelSelectorOpIn), says: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.selector.DeepCopy()
			got, err := Selection{Field: "podMonitorSelector", Selector: tc.selector}.Labels(own, "team")
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "its podMonitorSelector") {
					t.Errorf("labels %v, error %v, want %q", got, err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tc.selector); diff != "" || len(own) != 1 {
				t.Errorf("an input was changed: %v, %s", own, diff)
			}
		})
	}
}

// TestDemandedLabelsWinOverOwnOnesThatAreNotFixed because the operator's own labels only describe, except for a few.
func TestDemandedLabelsWinOverOwnOnesThatAreNotFixed(t *testing.T) {
	const partOf, managedBy, identity, team = "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "metricspipeline.io/pipeline", "team"
	own := map[string]string{partOf: "metricspipeline", managedBy: "operator", identity: "default", team: "web"}
	both := func(set map[string]string, expressions ...metav1.LabelSelectorRequirement) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: set, MatchExpressions: expressions}
	}
	demand := func(key string, operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values}
	}
	for name, tc := range map[string]struct {
		selector *metav1.LabelSelector
		want     map[string]string
		says     []string
	}{
		"a value of part-of": {selector: both(map[string]string{partOf: "stack"}), want: map[string]string{partOf: "stack"}},
		"values of both": {selector: both(map[string]string{partOf: "stack", managedBy: "Helm"}),
			want: map[string]string{partOf: "stack", managedBy: "Helm"}},
		"one of several values, the own not among them": {selector: both(nil, demand(managedBy, metav1.LabelSelectorOpIn, "Helm", "argo")),
			want: map[string]string{managedBy: "Helm"}},
		"one of several values, the own among them": {selector: both(nil, demand(managedBy, metav1.LabelSelectorOpIn, "Helm", "operator")),
			want: map[string]string{}},
		"any value": {selector: both(nil, demand(managedBy, metav1.LabelSelectorOpExists)), want: map[string]string{}},
		"what two expressions have in common": {
			selector: both(nil, demand("env", metav1.LabelSelectorOpIn, "dev", "test"), demand("env", metav1.LabelSelectorOpIn, "test", "prod")),
			want:     map[string]string{"env": "test"}},
		"what a second expression leaves": {
			selector: both(nil, demand("env", metav1.LabelSelectorOpIn, "dev", "test"), demand("env", metav1.LabelSelectorOpNotIn, "dev")),
			want:     map[string]string{"env": "test"}},
		"the fixed value itself": {selector: both(map[string]string{identity: "default"}), want: map[string]string{}},
		"another value of a fixed one": {selector: both(map[string]string{identity: "other"}),
			says: []string{identity + "=other", identity + "=default"}},
		"another value of one that the user set": {selector: both(nil, demand(team, metav1.LabelSelectorOpIn, "ops")),
			says: []string{"team in (ops)", "team=web", "spec.scrape.labels"}},
		"an own one absent": {selector: both(nil, demand(managedBy, metav1.LabelSelectorOpDoesNotExist)),
			says: []string{"!" + managedBy, managedBy + "=operator"}},
		"nothing in common": {
			selector: both(nil, demand("env", metav1.LabelSelectorOpIn, "dev"), demand("env", metav1.LabelSelectorOpIn, "prod")),
			says:     []string{"env in (dev),env in (prod)", "env=dev"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Selection{Field: "podMonitorSelector", Selector: tc.selector}.Labels(own, identity, team)
			if (err != nil) != (len(tc.says) > 0) {
				t.Fatalf("labels %v, error %v", got, err)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectsNamespace(t *testing.T) {
	set := map[string]string{"team": "web"}
	for name, tc := range map[string]struct {
		namespaces *metav1.LabelSelector
		namespace  string
		want       bool
		says       string
	}{
		"its own":                  {namespace: "monitoring", want: true},
		"another":                  {namespace: "shop"},
		"all":                      {namespaces: &metav1.LabelSelector{}, namespace: "shop", want: true},
		"by a label":               {namespaces: metav1.SetAsLabelSelector(set), namespace: "shop", want: true},
		"by another label":         {namespaces: metav1.SetAsLabelSelector(map[string]string{"team": "ops"}), namespace: "shop"},
		"not even its own":         {namespaces: metav1.SetAsLabelSelector(map[string]string{"team": "ops"}), namespace: "monitoring"},
		"by an expression":         {namespaces: expression("team", metav1.LabelSelectorOpExists), namespace: "shop", want: true},
		"all but":                  {namespaces: expression("team", metav1.LabelSelectorOpNotIn, "web"), namespace: "shop"},
		"a selector of no meaning": {namespaces: expression("team", "Near"), namespace: "shop", says: "its podMonitorNamespaceSelector cannot be read"},
	} {
		selection := Selection{NamespaceField: "podMonitorNamespaceSelector", Namespaces: tc.namespaces, HomeNamespace: "monitoring"}
		got, err := selection.SelectsNamespace(tc.namespace, set)
		if got != tc.want || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
