// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// queried finds the series and the window in what is queried for a rule.
var queried = regexp.MustCompile(`^sum\((rate\()?([a-zA-Z_:][a-zA-Z0-9_:]*)\{[^\[]*(?:\[([0-9a-z]+)\])?`)

// Restore returns the rule that an entry of status.rules is about, and the time that it averages over, which is 0 for none; false for
// an entry that is not about a derived rule.
func Restore(status v1alpha1.RuleStatus) (Rule, time.Duration, bool) {
	id, derived := strings.CutPrefix(status.ID, idPrefix)
	match := queried.FindStringSubmatch(status.Query)
	if !derived || status.Origin != v1alpha1.RuleDerived || match == nil {
		return Rule{}, 0, false
	}
	rule := Rule{Key: Key{API: status.API}, Candidate: Candidate{From: match[2], Rate: match[1] != ""}}
	rule.Metric, rule.Resource, _ = strings.Cut(id, "/")
	rule.Namespace, rule.Autoscaler, _ = strings.Cut(status.Autoscaler, "/")
	var window model.Duration
	if rule.Rate {
		var err error
		if window, err = model.ParseDuration(match[3]); err != nil {
			return Rule{}, 0, false
		}
	}
	for _, labels := range labelsOf(rule.Key) {
		// Which labels it goes by is seen from the query.
		if rule.Labels = labels; rule.Query(time.Duration(window)) == status.Query && rule.Valid() {
			return rule, time.Duration(window), true
		}
	}
	return Rule{}, 0, false
}

// labelsOf are those that may lead to what a metric describes.
func labelsOf(key Key) []Labels {
	if key.API == metricsapi.External.Group {
		return everybody.labels
	}
	for _, of := range resources {
		if of.String() == key.Resource {
			return of.labels
		}
	}
	return nil
}
