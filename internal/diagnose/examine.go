// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
)

// check looks at one fault of a link. It returns nil where the fault is not there.
type check func(view) *Finding

// step examines one link.
type step struct {
	name LinkName
	// needed is false where the metric does not need the link; nil where every metric does.
	needed func(view) bool
	// faults are what breaks the link, in this order.
	faults []check
	// starved returns what is to be said where the link works and gets nothing from the links behind it, unless one of these turns out
	// to be broken; nil where the link has something. A finding without a reason says nothing.
	starved check
	// known is true where the link was seen for this metric, whatever Evidence.Unseen says of others; nil for never.
	known func(view) bool
	// unseen is why the evidence for the link is missing, beyond Evidence.Unseen; empty where it is not.
	unseen func(view) string
	// seen is what was observed, in one sentence.
	seen func(view) string
	// queries are the PromQL that was sent for it.
	queries func(view) []string
}

// steps are the links from the HPA to the app and the number.
func steps() []step {
	return []step{
		autoscalerStep, targetStep, podsStep, apiStep, ruleStep, seriesStep, scrapeStep, monitorStep, appStep, valueStep,
	}
}

// Examine turns what was observed of an HPA into the chains of its metrics, and names the first broken link of each.
func Examine(evidence *Evidence) Diagnosis {
	if evidence == nil || evidence.HPA == nil {
		return Diagnosis{}
	}
	diagnosis := Diagnosis{Failing: autoscaler.Failing(evidence.HPA)}
	without := autoscaler.WithoutValue(evidence.HPA)
	found, limited := map[string]bool{}, map[string]bool{}
	for at := range max(1, len(evidence.HPA.Spec.Metrics)) {
		v := viewOf(evidence, at, diagnosis.Failing && (len(evidence.HPA.Spec.Metrics) == 0 || slices.Contains(without, at)))
		diagnosis.Chains = append(diagnosis.Chains, repeatNothing(v.chain(), found, limited))
	}
	return diagnosis
}

// repeatNothing leaves out of a chain what an earlier one says. A finding is not left out because it was a limit of another metric.
func repeatNothing(chain Chain, found, limited map[string]bool) Chain {
	if chain.Finding != nil {
		message := chain.Finding.Message()
		if found[message] {
			chain.Finding = nil
		}
		found[message] = true
	}
	chain.Limits = slices.DeleteFunc(chain.Limits, func(limit Finding) bool {
		before := found[limit.Message()] || limited[limit.Message()]
		limited[limit.Message()] = true
		return before
	})
	return chain
}

// chain examines the links of one metric.
func (v view) chain() Chain {
	chain := Chain{Metric: MetricName(v.spec)}
	if v.failing {
		chain.Links, chain.Finding = v.broken()
		if series := v.metric.Series; chain.Finding != nil && series.NamespaceLabel != "" && series.InNamespace == 0 {
			chain.Finding.Elsewhere = max(0, series.Total)
		}
	} else {
		chain.Links = v.working()
	}
	for _, limit := range limits() {
		finding := limit.check(v)
		if finding == nil || chain.Finding != nil && chain.Finding.Reason == finding.Reason {
			continue
		}
		chain.Limits = append(chain.Limits, *finding)
		for i := range chain.Links {
			if link := &chain.Links[i]; link.Name == limit.link && link.Verdict == Works {
				link.Verdict, link.Seen = Limits, finding.Cause
			}
		}
	}
	return chain
}

// working are the links of a metric that is not known to fail. All that one with a current value needs works, whatever was looked at. Of
// a target without replicas the HPA controller looks at no metric, and of a new HPA at nothing.
func (v view) working() []Link {
	links := make([]Link, 0, len(steps()))
	for _, step := range steps() {
		link := Link{Name: step.name, Verdict: NotReached}
		reached := v.hasValue() || step.name == LinkAutoscaler ||
			!autoscaler.Pending(v.HPA) && (step.name == LinkTarget || step.name == LinkPods)
		if reached && (step.needed == nil || step.needed(v)) {
			link.Verdict, link.Seen = Works, step.seen(v)
		}
		links = append(links, link)
	}
	return links
}

// broken walks along the links of a metric without a value to the first broken one. A link that only gets nothing is not the cause while
// one behind it can be: the last of these is named where none behind it is broken.
func (v view) broken() ([]Link, *Finding) {
	links := make([]Link, 0, len(steps()))
	var finding, starved *Finding
	starvedAt := -1
	for at, step := range steps() {
		link := v.link(step, finding != nil)
		if link.Verdict == Works {
			if finding = first(step.faults, v); finding != nil {
				link.Verdict, link.Seen = Broken, finding.Cause
			} else if nothing := starves(step, v); nothing != nil {
				link.Verdict = NoData
				if nothing.Reason != "" {
					starved, starvedAt = nothing, at
				}
			}
		}
		links = append(links, link)
	}
	switch {
	case finding != nil:
	case starved != nil && slices.ContainsFunc(links[starvedAt:], func(link Link) bool { return link.Verdict == Unseen }):
		finding = starved // The cause lies in what could not be seen: what is known is said, and nothing is called broken.
	case starved != nil:
		finding = starved
		links[starvedAt].Verdict, links[starvedAt].Seen = Broken, starved.Cause
	default:
		finding = v.unexplained()
	}
	return v.orStarting(links, finding)
}

// link is what is to be said of a link before its faults are looked at.
func (v view) link(step step, behind bool) Link {
	link := Link{Name: step.name, Verdict: NotReached}
	if behind || step.needed != nil && !step.needed(v) {
		return link
	}
	why := v.Unseen[step.name]
	if step.known != nil && step.known(v) {
		why = ""
	}
	if why == "" && step.unseen != nil {
		why = step.unseen(v)
	}
	if step.queries != nil {
		link.Queries = step.queries(v)
	}
	if why != "" {
		link.Verdict, link.Seen = Unseen, sentence(why)
		return link
	}
	link.Verdict, link.Seen = Works, step.seen(v)
	return link
}

func first(checks []check, v view) *Finding {
	for _, check := range checks {
		if finding := check(v); finding != nil {
			return finding
		}
	}
	return nil
}

func starves(step step, v view) *Finding {
	if step.starved == nil {
		return nil
	}
	return step.starved(v)
}

// soon are the reasons that pods have while they start.
var soon = []string{
	v1alpha1.AutoscalerPodsNotReady, v1alpha1.AutoscalerUsageMissing, v1alpha1.AutoscalerContainerUsageMissing,
	v1alpha1.AutoscalerRuleMissing, v1alpha1.AutoscalerSeriesMissing, v1alpha1.AutoscalerSeriesNotInNamespace,
	v1alpha1.AutoscalerSeriesOfOthers, v1alpha1.AutoscalerNotScraped, v1alpha1.AutoscalerScrapeDown, v1alpha1.AutoscalerValueMissing,
	v1alpha1.AutoscalerUnexplained,
}

// orStarting says that the pods are starting in place of what time removes.
func (v view) orStarting(links []Link, finding *Finding) ([]Link, *Finding) {
	pods := slices.IndexFunc(links, func(link Link) bool { return link.Name == LinkPods })
	seen := links[pods].Verdict == Works || links[pods].Verdict == Broken
	age := young
	if finding.Reason == v1alpha1.AutoscalerUnexplained {
		age = settling
	}
	if !slices.Contains(soon, finding.Reason) || !seen || !v.ofPods() || !v.starting(age) {
		return links, finding
	}
	finding = v.podsStarting(age)
	links[pods].Verdict, links[pods].Seen = Broken, finding.Cause
	for i := pods + 1; i < len(links); i++ {
		links[i] = Link{Name: links[i].Name, Verdict: NotReached}
	}
	return links, finding
}

// unexplained is the finding of an HPA that fails while no link that could be seen is broken.
func (v view) unexplained() *Finding {
	said := v.saidByController()
	if said == "" {
		return found(v1alpha1.AutoscalerUnexplained,
			"The "+v.measured()+" has no current value, and every link that was seen works.",
			"Read the Events of "+v.hpa()+": the HPA controller writes there what it is answered.")
	}
	return found(v1alpha1.AutoscalerUnexplained,
		"The "+v.measured()+" has no current value, and every link that was seen works; the HPA controller says "+quoted(said)+".",
		"Act on what the HPA controller says; it looks again every 15 seconds.")
}
