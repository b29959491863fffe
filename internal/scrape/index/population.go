// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
)

// Bound is what is known of the targets of a namespace's Services without a look at what they select.
type Bound struct {
	// Version changes with the accepted Services and with the number of Pods. It is never 0.
	Version uint64
	// PerPod is the most targets that one Pod can be of all Services together, and Pods how many Pods there are. Pods counts none where
	// Known is false, because Pods are not followed.
	PerPod, Pods int
	// Hosts is the number of Pods in the network of their node.
	Hosts int
	Known bool
}

// Bound returns that of a namespace; the zero one where no Service is accepted.
func (x *Index) Bound(name string) Bound {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil || ns.services() == 0 {
		return Bound{}
	}
	hosts := x.population[HostPod][name]
	return Bound{Version: ns.version, PerPod: ns.targets, Pods: x.population[Pod][name] + hosts, Hosts: hosts,
		Known: x.open[Pod] != nil && x.open[HostPod] != nil}
}

// Accepted returns what a Service costs, and whether it is one that is scraped.
func (x *Index) Accepted(namespace, name string) (scrape.Special, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.accepted(namespace, name)
}

// Reference names an annotated app for an Event; nil where there is no such app. kind is Service or Pod.
func (x *Index) Reference(kind, namespace, name string) *corev1.ObjectReference {
	x.mu.Lock()
	defer x.mu.Unlock()
	for of, apps := range x.apps {
		if a := apps[namespace+"/"+name]; of.Object() == kind && a != nil && a.details != nil {
			return a.Reference()
		}
	}
	return nil
}

func (x *Index) accepted(namespace, name string) (scrape.Special, bool) {
	a, ns := x.apps[Service][namespace+"/"+name], x.namespaces[namespace]
	if a == nil || ns == nil {
		return scrape.Special{}, false
	}
	v := x.open[Service].judge(x.rules, a)
	_, over := slices.BinarySearchFunc(ns.rejected, v1alpha1.RejectedApp{Kind: string(Service), Namespace: namespace, Name: name}, byApp)
	return v.cost, v.accepted && !over
}

// populate counts a Pod that comes or goes. That is an event only where it can matter: near the limit of targets, and where a Service
// may have Pods in the network of their node behind it.
func (x *Index) populate(kind Kind, name string, by int) {
	count := x.population[kind]
	if count == nil {
		return
	}
	before := x.population[Pod][name] + x.population[HostPod][name]
	if count[name] += by; count[name] == 0 {
		delete(count, name)
	}
	ns := x.namespaces[name]
	if ns == nil || ns.services() == 0 {
		return
	}
	x.touch(ns)
	if kind == HostPod || x.rules.Near > 0 && max(before, before+by)*ns.targets >= x.rules.Near {
		x.events.Counted()
	}
}

// touch gives a namespace a version that none had.
func (x *Index) touch(ns *namespace) {
	x.version++
	ns.version = x.version
}

// behind returns the Services of a namespace with Pods that are left out, as far as they are accepted otherwise.
func (x *Index) behind(is Namespace) []v1alpha1.RejectedApp {
	if is.HostNetwork {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(is.Behind), func(service v1alpha1.RejectedApp) bool {
		_, accepted := x.accepted(service.Namespace, service.Name)
		return !accepted
	})
}
