// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/internal/diagnose"
)

// reasonsPage leads to a section for each reason.
const reasonsPage = "https://github.com/metricspipeline/operator/blob/main/docs/autoscalers.md#reasons"

// verdictMarks are the marks of links.
var verdictMarks = map[diagnose.Verdict]mark{
	diagnose.Works: works, diagnose.Broken: broken, diagnose.Limits: limits, diagnose.Unseen: unseen, diagnose.NoData: limits,
	diagnose.NotReached: skipped,
}

// failingConditions are what an HPA says itself.
func failingConditions(hpa *autoscalingv2.HorizontalPodAutoscaler) []string {
	var lines []string
	for _, condition := range hpa.Status.Conditions {
		if condition.Type != autoscalingv2.ScalingLimited && condition.Status != corev1.ConditionTrue {
			lines = append(lines, fmt.Sprintf("%s is %s, %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message))
		}
	}
	return lines
}

// title names what is explained.
func (e explained) title() string {
	switch {
	case e.Name == "":
		return fmt.Sprintf("ScaledObject %s/%s", e.Namespace, e.ScaledObject)
	case e.ScaledObject != "":
		return fmt.Sprintf("HorizontalPodAutoscaler %s/%s of ScaledObject %s", e.Namespace, e.Name, e.ScaledObject)
	default:
		return fmt.Sprintf("HorizontalPodAutoscaler %s/%s", e.Namespace, e.Name)
	}
}

// state is what was found, in one word, with its mark.
func (e explained) state() (mark, string) {
	switch {
	case e.Name == "":
		return broken, "has no HorizontalPodAutoscaler"
	case !e.Complete && e.Failing:
		return unseen, "fails, and not all could be seen"
	case !e.Complete:
		return unseen, "not all could be seen"
	case e.Pending:
		return broken, "the HPA controller has not looked at it yet"
	case e.Failing:
		return broken, "fails"
	case e.first() != nil:
		return broken, "has a fault"
	case e.unready:
		return broken, "works, and its ScaledObject is not Ready"
	default:
		return works, "works"
	}
}

// printExplained prints the chains of an HPA, and below each the finding.
func printExplained(c canvas, found explained, now time.Time) {
	root := &node{title: found.title()}
	root.mark, root.text = found.state()
	root.lines = found.conditions
	for _, chain := range found.Chains {
		root.children = append(root.children, chainNode(chain))
	}
	c.tree(root)
	explained := false
	for _, chain := range found.Chains {
		explained = explained || chain.Finding != nil || len(chain.Limits) > 0
		if chain.Finding != nil {
			printFinding(c, broken, chain.Metric, *chain.Finding)
		}
		for _, limit := range chain.Limits {
			printFinding(c, limits, chain.Metric, limit)
		}
	}
	if explained {
		fmt.Fprintf(c.out, "\nEach reason is explained at %s\n", reasonsPage)
	}
	if found.Said != nil {
		heading := fmt.Sprintf("The operator said %s ago, %s:", since(found.Said.At, now), found.Said.Reason)
		fmt.Fprintf(c.out, "\n%s\n  %s\n", c.paint(unseen, heading), found.Said.Message)
	}
}

func printFinding(c canvas, m mark, metric string, finding diagnose.Finding) {
	fmt.Fprintf(c.out, "\n%s\n  %s\n  %s\n", c.paint(m, metric+": "+finding.Reason), finding.Cause, finding.Remedy)
	if finding.Administrator {
		fmt.Fprintln(c.out, "  This is for an administrator of the cluster.")
	}
}

// longestQuery is what one line has of a query.
const longestQuery = 160

// terms are the parts of a long query that is several in one, joined by or.
func terms(query string) []string {
	if len(query) <= longestQuery {
		return []string{query}
	}
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil { // What a store of another dialect takes.
		return []string{query}
	}
	var parts []string
	for {
		binary, is := parsed.(*parser.BinaryExpr)
		if !is || binary.Op != parser.LOR {
			break
		}
		parts = append(parts, binary.RHS.String())
		parsed = binary.LHS
	}
	parts = append(parts, parsed.String())
	slices.Reverse(parts)
	return parts
}

// chainNode is the chain of one metric.
func chainNode(chain diagnose.Chain) *node {
	part := &node{title: chain.Metric}
	for _, link := range chain.Links {
		text := link.Seen
		for _, query := range link.Queries {
			text += "\nPromQL: " + strings.Join(terms(query), "\n     or ")
		}
		part.add(verdictMarks[link.Verdict], string(link.Name), strings.TrimSpace(text))
	}
	part.mark = part.worst()
	return part
}
