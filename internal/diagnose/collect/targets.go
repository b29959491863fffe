// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// targetLabels are the labels of targets that name the namespace and the pod: as monitors have them, and as the configuration of
// annotations that many Prometheus servers have.
var targetLabels = []struct{ namespace, pod string }{{"namespace", "pod"}, {"kubernetes_namespace", "kubernetes_pod_name"}}

// countTargets asks for the targets of the pods, once.
func (a *apps) countTargets(t *terms) {
	if a == nil || a.targetsRead {
		return
	}
	names := a.running()
	if len(names) == 0 {
		return
	}
	add := func(name, format string) {
		var either []string
		for _, label := range targetLabels {
			pods := selector{equal(label.namespace, t.namespace), oneOf(label.pod, names)}
			of := func(metric string) string { return series(metric).with(pods...).String() }
			either = append(either, strings.NewReplacer("UP", of("up"), "READ", of("scrape_samples_scraped"),
				"STORED", of("scrape_samples_post_metric_relabeling")).Replace(format))
		}
		t.inside(name, count(strings.Join(either, " or ")), targetLabels[0].namespace, targetLabels[1].namespace)
	}
	add("up", "UP == 1")
	add("down", "UP == 0")
	add("refused", "(UP == 0 and READ > 0)")
	add("dropped", "(STORED == 0 and READ > 0)")
}

// readTargets takes the numbers of countTargets.
func (a *apps) readTargets(numbers map[string]float64) {
	if _, asked := numbers["up"]; !asked || a == nil {
		return
	}
	a.targetsRead, a.scrape.Known = true, true
	a.scrape.Up, a.scrape.Down = int(numbers["up"]), int(numbers["down"])
	a.refused = int(numbers["refused"])
	if dropped := int(numbers["dropped"]); dropped > 0 && a.refused == 0 {
		a.scrape.Dropped = fmt.Sprintf("metricRelabelings drop all samples of %d of the targets of the pods", dropped)
	}
}

// settleTargets says what keeps Prometheus from storing what it reads of a target: its error, where that is known.
func (a *apps) settleTargets() {
	switch {
	case a.refused == 0:
	case strings.Contains(a.scrape.Error, "limit"):
		a.scrape.Dropped = a.scrape.Error
	case a.scrape.Error == "":
		a.scrape.Dropped = fmt.Sprintf("it reads samples of %d of the targets and stores none of them", a.refused)
	}
}

// mostPools is how many scrape pools one Collect asks for at most.
const mostPools = 4

// readErrors asks who scrapes why a target of some pods is down, where the status does not say it. An error of that is none: that the
// target is down is known. Where one question is not answered no other is put.
func (c *collection) readErrors(ctx context.Context, a *apps) {
	if c.Targets == nil || a.scrape.Down <= 0 || a.scrape.Error != "" {
		return
	}
	names := a.running()
	for _, pool := range a.pools {
		if c.poolsUnanswered || c.poolsAsked == mostPools || !c.Budget.take(c.questions.now) {
			return
		}
		c.poolsAsked++
		within, cancel := context.WithTimeout(ctx, answerWithin)
		targets, err := c.Targets(within, pool)
		cancel()
		if err != nil {
			c.poolsUnanswered = true
			return
		}
		for _, target := range targets {
			if target.Down && slices.Contains(names, target.Pod) {
				a.scrape.Error, a.scrape.URL = target.Error, target.URL
				return
			}
		}
	}
}
