// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// counted joins numbers with what they count, without those that are 0.
func counted(parts ...any) string {
	var words []string
	for i := 0; i+1 < len(parts); i += 2 {
		if n, ok := parts[i].(int32); ok && n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, parts[i+1]))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func rulesNode(status v1alpha1.MetricsPipelineStatus) *node {
	total := status.RulesTotal
	all := total.InUse + total.Warned + total.LastGood + total.Rejected + total.Derived
	if all == 0 {
		return nil
	}
	part := &node{mark: works, title: "rules",
		text: counted(total.InUse, "in use", total.Warned, "warned", total.LastGood, "in their last good form", total.Rejected, "rejected",
			total.Derived, "derived")}
	for _, rule := range status.Rules {
		part.add(ruleMark(rule), strings.TrimSuffix(rule.API, ".metrics.k8s.io")+" "+rule.ID, ruleText(rule))
	}
	if worst := part.worst(); worst != plain {
		part.mark = worst
	}
	remaining(part, int(all)-len(status.Rules))
	return part
}

func ruleMark(rule v1alpha1.RuleStatus) mark {
	switch rule.State {
	case v1alpha1.RuleInUse:
		if rule.Series != nil && *rule.Series == 0 {
			return limits
		}
		return works
	case v1alpha1.RuleWarned, v1alpha1.RuleLastGood:
		return limits
	default:
		return broken
	}
}

func ruleText(rule v1alpha1.RuleStatus) string {
	text := string(rule.State)
	if rule.Series != nil {
		text += fmt.Sprintf(", about %d series", *rule.Series)
	}
	if rule.Autoscaler != "" {
		text += ", for HorizontalPodAutoscaler " + rule.Autoscaler
		if rule.Autoscalers > 1 {
			text += fmt.Sprintf(" and %d more", rule.Autoscalers-1)
		}
	}
	if rule.Message != "" {
		text += ": " + rule.Message
	}
	return text
}

// remaining says how many more there are than a list of the status has room for.
func remaining(part *node, more int) {
	if more > 0 {
		part.add(plain, fmt.Sprintf("and %d more", more), "")
	}
}

func scrapeNode(status v1alpha1.MetricsPipelineStatus) *node {
	scrape := status.Scrape
	if scrape == nil {
		return nil
	}
	part := &node{mark: works, title: "scrape",
		text: counted(scrape.Services, "Services", scrape.Pods, "Pods", scrape.Monitors, "monitors")}
	if targets := scrape.Targets; targets != nil {
		part.text += fmt.Sprintf("; targets: %d up, %d down", targets.Up, targets.Down)
		if targets.Message != "" {
			part.text += "; " + targets.Message
		}
	}
	for _, app := range scrape.Down {
		part.add(broken, appName(app.Kind, app.Namespace, app.Name), "down: "+app.Error)
	}
	remaining(part, int(scrape.DownTotal)-len(scrape.Down))
	for _, namespace := range scrape.NotScraped {
		part.add(broken, "namespace "+namespace.Namespace, namespace.Reason+": "+namespace.Message)
	}
	remaining(part, int(scrape.NotScrapedTotal)-len(scrape.NotScraped))
	for _, app := range scrape.Rejected {
		part.add(broken, appName(app.Kind, app.Namespace, app.Name), "rejected: "+app.Reason)
	}
	remaining(part, int(scrape.RejectedTotal)-len(scrape.Rejected))
	for _, app := range scrape.NearMisses {
		part.add(limits, appName(app.Kind, app.Namespace, app.Name), "near miss: "+app.Reason)
	}
	remaining(part, int(scrape.NearMissesTotal)-len(scrape.NearMisses))
	if len(part.children) > 0 { // What a tenant causes is no fault of the pipeline.
		part.mark = limits
	}
	return part
}

func appName(kind, namespace, name string) string { return kind + " " + namespace + "/" + name }

func autoscalersNode(status v1alpha1.MetricsPipelineStatus) *node {
	autoscalers := status.Autoscalers
	if autoscalers == nil {
		return nil
	}
	part := &node{mark: works, title: "autoscalers", text: fmt.Sprintf("%d of %d work", autoscalers.Working, autoscalers.Total)}
	for _, failing := range autoscalers.Failing {
		title := failing.Namespace + "/" + failing.Name
		if failing.Metric != "" {
			title += " " + failing.Metric
		}
		part.add(broken, title, failing.Reason+": "+failing.Message)
		part.mark = limits // Most faults are the HPA's, not the pipeline's: the condition AutoscalersServed tells them apart.
	}
	return part
}
