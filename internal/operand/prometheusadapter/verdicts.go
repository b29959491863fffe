// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/text"
)

// longestMessage bounds what is said of a rule that is in use, in bytes.
const longestMessage = 1024

// accepted is a rule that serves as it is in the spec.
type accepted struct {
	findings rules.Findings
	// status is the index of its status.
	status int
}

// judged returns the states of the rules by what Prometheus has of their series, the rules about which too little has been counted
// yet, and what is to be counted.
func (c checked) judged(series map[string]int64) ([]v1alpha1.RuleStatus, []operand.RuleName, []prometheus.Selector) {
	statuses := slices.Clone(c.statuses)
	defects, notes := make([][]string, len(c.accepted)), make([]string, len(c.accepted))
	var uncounted []operand.RuleName
	var selectors []prometheus.Selector
	for i, rule := range c.accepted {
		status := &statuses[rule.status]
		defects[i], notes[i] = slices.Clone(rule.findings.Defects), rule.findings.Note
		settled := false
		if counted(series, rule.findings) {
			verdict := rule.findings.Verdict(series)
			status.Series = &verdict.Series
			defects[i] = append(defects[i], verdict.Defects...)
			settled = len(verdict.Defects) == 0 && verdict.Note == ""
			if verdict.Note != "" {
				notes[i] = strings.TrimPrefix(notes[i]+"; "+verdict.Note, "; ")
			}
		} else if len(rule.findings.Selectors()) > 0 {
			uncounted = append(uncounted, operand.RuleName{API: status.API, ID: status.ID})
		}
		for _, selector := range rule.findings.Selectors() {
			selectors = append(selectors, prometheus.Selector{Text: selector, Settled: settled})
		}
	}
	for i := range c.accepted {
		if shadow := c.shadowed(i, statuses, defects); shadow != "" {
			defects[i] = append(defects[i], shadow)
		}
	}
	for i, rule := range c.accepted {
		status := &statuses[rule.status]
		status.Message = text.Shorten(notes[i], longestMessage)
		if len(defects[i]) > 0 {
			status.State, status.Message = v1alpha1.RuleWarned, text.Shorten(strings.Join(defects[i], "; and "), longestMessage)
		}
	}
	return statuses, uncounted, selectors
}

// counted is true where all is known that a verdict on a rule depends on.
func counted(series map[string]int64, findings rules.Findings) bool {
	selectors := findings.Selectors()
	return len(selectors) > 0 && !slices.ContainsFunc(selectors, func(selector string) bool { _, known := series[selector]; return !known })
}

// shadowed names the later rule whose metrics the adapter serves instead of those of a rule; empty for none. A later rule that
// cannot work may have no metric.
func (c checked) shadowed(i int, statuses []v1alpha1.RuleStatus, defects [][]string) string {
	earlier, status := c.accepted[i], statuses[c.accepted[i].status]
	for j := i + 1; j < len(c.accepted); j++ {
		later, other := c.accepted[j], statuses[c.accepted[j].status]
		if other.API != status.API || len(defects[j]) > 0 {
			continue
		}
		served := status.Series != nil && other.Series != nil && *status.Series > 0 && *other.Series > 0
		if later.findings.Shadows(earlier.findings, served) {
			return fmt.Sprintf("rule %s of %s makes the metric %s too, of the same resources, and the adapter serves that of the later "+
				"rule alone; give one of them another name.as, or remove it", other.ID, metricsapi.Field(other.API),
				strings.Join(earlier.findings.Names(), ", "))
		}
	}
	return ""
}
