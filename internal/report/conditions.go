// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/text"
)

// finding is the content of one condition.
type finding struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	// stalled is true when a person has to act.
	stalled bool
	// undecided is true where nothing new is known: then the condition stays as it was, if there was one. A restart or a
	// conflict changes no condition.
	undecided bool
}

func met(reason, message string) finding {
	return finding{status: metav1.ConditionTrue, reason: reason, message: message}
}

func unmet(reason, message string) finding {
	return finding{status: metav1.ConditionFalse, reason: reason, message: message}
}

func unclear(reason, message string) finding {
	return finding{status: metav1.ConditionUnknown, reason: reason, message: message}
}

func stalled(reason, message string) finding {
	return finding{status: metav1.ConditionFalse, reason: reason, message: message, stalled: true}
}

func undecided(message string) finding {
	return finding{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonProgressing, message: message, undecided: true}
}

// as is the finding of a previous condition. Whether a person must act is only in Stalled, which repeats it.
func as(condition metav1.Condition, all []metav1.Condition) finding {
	blocked := meta.FindStatusCondition(all, v1alpha1.ConditionStalled)
	return finding{status: condition.Status, reason: condition.Reason, message: condition.Message,
		stalled: condition.Status == metav1.ConditionFalse && blocked != nil && blocked.Status == metav1.ConditionTrue &&
			blocked.Reason == condition.Reason}
}

// parts are the conditions that Ready is the conjunction of, in the order of cause and effect: the first that is not met
// is what Ready speaks of.
var parts = []struct {
	condition string
	find      func(Observation) finding
}{
	{v1alpha1.ConditionAggregationLayerReady, aggregationLayer},
	{v1alpha1.ConditionRulesAccepted, rulesAccepted},
	{v1alpha1.ConditionPrometheusReady, prometheusReady},
	{v1alpha1.ConditionScrapeReady, scrapeReady},
	{v1alpha1.ConditionCertificatesReady, certificatesReady},
	{v1alpha1.ConditionComponentsReady, componentsReady},
	{v1alpha1.ConditionAPIServicesAvailable, apiServicesAvailable},
}

// unplanned are the parts that are known without a plan.
var unplanned = []string{
	v1alpha1.ConditionAggregationLayerReady, v1alpha1.ConditionScrapeReady, v1alpha1.ConditionComponentsReady,
	v1alpha1.ConditionAutoscalersServed}

// setConditions sets every condition, and removes those of another version of the operator, which nobody would write any more.
func setConditions(status *v1alpha1.MetricsPipelineStatus, o Observation) {
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool {
		return c.Reason == v1alpha1.ReasonPending // The default of the schema, which would keep its place and its time.
	})
	known := map[string]bool{}
	set := func(condition string, f finding) {
		known[condition] = true
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: condition, Status: f.status, Reason: f.reason, Message: text.Shorten(f.message, longestMessage),
			ObservedGeneration: o.Generation})
	}
	var first, firstStalled *finding
	unscraped := ""
	for _, part := range parts {
		f := find(o, part.condition, part.find)
		set(part.condition, f)
		if part.condition == v1alpha1.ConditionScrapeReady && o.aside(f.reason) {
			if f.reason != v1alpha1.ReasonCRDsMissing {
				unscraped = " It is not known which Prometheus scrapes annotated apps: see the condition ScrapeReady."
			}
			continue
		}
		if f.status != metav1.ConditionTrue && first == nil {
			first = &f
		}
		if f.stalled && firstStalled == nil {
			firstStalled = &f
		}
	}

	ready := met(v1alpha1.ReasonReady, readyMessage(o)+unscraped)
	reconciling := unmet(v1alpha1.ReasonSettled, "There is nothing left to do.")
	blocked := unmet(v1alpha1.ReasonNotStalled, "Nothing waits for a person to act.")
	terminating := o.terminating()
	switch {
	case firstStalled != nil && terminating == "":
		ready = unmet(firstStalled.reason, firstStalled.message)
		blocked = met(firstStalled.reason, firstStalled.message)
		reconciling = unmet(v1alpha1.ReasonSettled, "What is left waits for a person to act, see Stalled.")
	case terminating != "":
		ready = unmet(v1alpha1.ReasonTerminating, terminating)
		reconciling = met(v1alpha1.ReasonProgressing, terminating)
	case first != nil:
		ready = unmet(first.reason, first.message)
		reconciling = met(v1alpha1.ReasonProgressing, first.message)
	}
	set(v1alpha1.ConditionMonitoringReady, find(o, v1alpha1.ConditionMonitoringReady, monitoringReady))
	set(v1alpha1.ConditionAutoscalersServed, find(o, v1alpha1.ConditionAutoscalersServed, autoscalersServed))
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionReconciling, reconciling)
	set(v1alpha1.ConditionStalled, blocked)
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return !known[c.Type] })
}

// aside is true for a reason of ScrapeReady on which Ready and Stalled do not depend: the metrics APIs do without monitors, and so does
// a spec that names no Prometheus. Where a rule queries one, PrometheusReady says that it is missing.
func (o Observation) aside(reason string) bool {
	switch reason {
	case v1alpha1.ReasonCRDsMissing:
		return true
	case v1alpha1.ReasonPrometheusNotFound, v1alpha1.ReasonPrometheusAmbiguous:
		return o.Spec.Prometheus.Ref == nil
	}
	return false
}

// find returns the finding of a condition: the failures that surface in it, what its part finds, and what the operands add.
func find(o Observation, condition string, part func(Observation) finding) finding {
	said := undecided("The cluster is being read.")
	if o.Planned || slices.Contains(unplanned, condition) || o.Facts.Terminating && condition == v1alpha1.ConditionAPIServicesAvailable {
		said = part(o)
	}
	failures := o.failures(condition)
	before := meta.FindStatusCondition(o.previous.Conditions, condition)
	if said.undecided && before != nil && len(failures) == 0 {
		said = as(*before, o.previous.Conditions)
		if said.status != metav1.ConditionTrue {
			return said // It has what the operands add.
		}
		return joined(append([]finding{said}, added(o, condition)...))
	}
	var findings []finding
	for _, failure := range failures {
		findings = append(findings, finding{status: metav1.ConditionFalse, reason: failure.Reason, stalled: failure.Stalled,
			message: strings.TrimSuffix(failure.Error(), ".") + "."})
	}
	if len(failures) == 0 || said.reason != v1alpha1.ReasonUnreadable { // Else the failure has said it.
		for _, addition := range o.Plan.Findings {
			if addition.Condition == condition && addition.Reason == "" {
				said.message += " " + addition.Message
			}
		}
		findings = append(findings, said)
	}
	return joined(append(findings, added(o, condition)...))
}

// added are the findings of the operands in a condition.
func added(o Observation, condition string) []finding {
	var findings []finding
	for _, f := range o.Plan.Findings {
		if f.Condition == condition && f.Reason != "" {
			findings = append(findings, finding{status: metav1.ConditionFalse, reason: f.Reason, message: f.Message, stalled: f.Stalled})
		}
	}
	return findings
}

// joined makes one finding of several in one condition. Those that are False count, and all their messages; the first that a
// person has to act on gives the reason, else the first. Where none is False, the first of all counts.
func joined(findings []finding) finding {
	var all *finding
	var messages []string
	for _, f := range findings {
		if f.status != metav1.ConditionFalse {
			continue
		}
		if !slices.Contains(messages, f.message) {
			messages = append(messages, f.message)
		}
		if all == nil || f.stalled && !all.stalled {
			all = &f
		}
	}
	if all == nil {
		return findings[0]
	}
	all.message = strings.Join(messages, " ")
	return *all
}

// longestMessage bounds a condition's message, in bytes: far more than a person reads, and well below the 32768 characters
// above which the API server refuses the whole status. An error about a patch may repeat the patch, of up to 64 KiB.
const longestMessage = 4096

// readyMessage says which metrics APIs work, and what a person should know all the same.
func readyMessage(o Observation) string {
	var groups []string
	for _, api := range metricsapi.All() {
		if apiStatus(o, api).Available == metav1.ConditionTrue && !slices.Contains(groups, api.Group) {
			groups = append(groups, api.Group)
		}
	}
	message := "No metrics API is wanted."
	if len(groups) > 0 {
		message = "Available: " + strings.Join(groups, ", ") + "."
	}
	for _, added := range o.Plan.Findings {
		if added.Condition == v1alpha1.ConditionReady {
			message += " " + added.Message
		}
	}
	return message + withoutMetrics(o)
}
