// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"
	"strings"

	"github.com/metricspipeline/operator/internal/scrape"
)

// View is what a namespace's monitors depend on.
type View struct {
	// Plain is true when there is a Service of which relabelings see everything.
	Plain bool
	// Special are the Services of which they do not, and Services all of them, by name; Services only where each has a monitor
	// of its own.
	Special, Services []scrape.App
	// Pods is true when there is an annotated Pod, and HostPods when there is one in the network of its node.
	Pods, HostPods bool
	// ServicesSeen and PodsSeen are what the annotated apps request, rejected or not, and Queries those of Pods that have a place.
	ServicesSeen, PodsSeen scrape.Seen
	Queries                []scrape.PodQuery
}

// View returns what the monitors of a namespace depend on.
func (x *Index) View(name string) View {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil {
		return View{}
	}
	is := ns.shape()
	return View{Plain: is.plain, Pods: is.pods, HostPods: is.hostPods, ServicesSeen: is.services, PodsSeen: is.podsSeen,
		Queries: ns.queries.fitting(),
		Special: list(x.rules.Prefix, ns.limited[queries], ns.limited[ports]), Services: list(x.rules.Prefix, ns.limited[each])}
}

// Count returns how many accepted apps a namespace has; host says whether Pods in the network of their node count.
func (x *Index) Count(name string, host bool) (services, pods int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil {
		return 0, 0
	}
	pods = ns.podsThatFit()
	if host {
		pods += ns.hostPods
	}
	return ns.services(), pods
}

// list returns the Services that fit, by name.
func list(prefix string, all ...limited) []scrape.App {
	var apps []scrape.App
	for _, l := range all {
		for _, s := range l.fitting() {
			apps = append(apps, s.app.service(prefix))
		}
	}
	slices.SortFunc(apps, func(one, other scrape.App) int { return strings.Compare(one.Name, other.Name) })
	return apps
}
