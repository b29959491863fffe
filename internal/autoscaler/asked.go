// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"cmp"
	"slices"
	"strings"
	"unique"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// Metric is a metric that HPAs of a namespace ask for. Its names are those that a tenant wrote.
type Metric struct {
	Namespace string
	// Type is Pods, Object or External.
	Type autoscalingv2.MetricSourceType
	Name string
	// Selector of the series' labels, as labels.Parse reads it; empty for none.
	Selector string
	// APIVersion and Kind are those of the described object of an Object metric.
	APIVersion, Kind string
}

// compareMetrics orders metrics by namespace, and then by what they are.
func compareMetrics(one, other Metric) int {
	return cmp.Or(strings.Compare(one.Namespace, other.Namespace), strings.Compare(string(one.Type), string(other.Type)),
		strings.Compare(one.Name, other.Name), strings.Compare(one.Selector, other.Selector),
		strings.Compare(one.Kind, other.Kind), strings.Compare(one.APIVersion, other.APIVersion))
}

// Asker is an HPA that asks for a metric.
type Asker struct {
	Name string
	// Target of the HPA.
	Target autoscalingv2.CrossVersionObjectReference
	// Object is the name of the described object of an Object metric.
	Object string
	// Failing is true where the HPA fails.
	Failing bool
}

// Asked is a metric and who asks for it.
type Asked struct {
	Metric

	// HPAs that ask for it, by name, at most so many as MostAskers, and Total how many there are. An HPA that asks for it of two objects
	// counts twice.
	HPAs  []Asker
	Total int
}

// MostAskers is how many HPAs are named of those that ask for a metric.
const MostAskers = 20

// asker is an HPA that asks for a metric of an object.
type asker struct {
	hpa    *compact
	object string
}

func compareAskers(one, other asker) int {
	return cmp.Or(strings.Compare(one.hpa.name, other.hpa.name), strings.Compare(one.object, other.object))
}

// Asked returns the metrics of custom and external metrics APIs that HPAs ask for, sorted: at most a hundred of each namespace.
func (x *Index) Asked() []Asked {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []Asked
	for _, ns := range x.namespaces {
		for metric, by := range ns.asked {
			asked := Asked{Metric: metric.Value(), Total: len(by)}
			for _, by := range by[:min(len(by), MostAskers)] {
				kind := by.hpa.kind.Value()
				asked.HPAs = append(asked.HPAs, Asker{Name: by.hpa.name, Object: by.object, Failing: by.hpa.state == Fails,
					Target: autoscalingv2.CrossVersionObjectReference{APIVersion: kind.apiVersion, Kind: kind.kind, Name: by.hpa.target}})
			}
			all = append(all, asked)
		}
	}
	slices.SortFunc(all, func(one, other Asked) int { return compareMetrics(one.Metric, other.Metric) })
	return all
}

// ask enters what an HPA asks for, and returns whether a metric or a target of one that asks is new. A metric for which a namespace has
// no place is not entered: the next event of the HPA tries again.
func (n *namespace) ask(c *compact) (changed bool) {
	for _, want := range c.wants {
		by, known := n.asked[want.metric]
		if !known && len(n.asked) >= mostMetricsOfNamespace {
			continue
		}
		entry := asker{c, want.object}
		at, found := slices.BinarySearchFunc(by, entry, compareAskers)
		if found {
			by[at] = entry
			continue
		}
		n.asked[want.metric], changed = slices.Insert(by, at, entry), true
	}
	return changed
}

// unask takes out what an HPA no longer asks for, and returns whether it did. is is nil for an HPA that is gone.
func (n *namespace) unask(was, is *compact) (changed bool) {
	for _, want := range was.wants {
		if is != nil && slices.Contains(is.wants, want) {
			continue
		}
		by := n.asked[want.metric]
		at, found := slices.BinarySearchFunc(by, asker{was, want.object}, compareAskers)
		if !found {
			continue
		}
		changed = true
		if by = slices.Delete(by, at, at+1); len(by) == 0 {
			delete(n.asked, want.metric)
			continue
		}
		n.asked[want.metric] = by
	}
	return changed
}

// asksAs is true where two forms of an HPA ask for the same, for the same target.
func (c *compact) asksAs(other *compact) bool {
	return slices.Equal(c.wants, other.wants) && c.kind == other.kind && c.target == other.target
}

// askers are those that ask for each metric, by name.
type askers map[unique.Handle[Metric]][]asker
