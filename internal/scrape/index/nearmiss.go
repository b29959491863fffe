// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// workload is one of a namespace.
type workload struct {
	kind Kind
	name string
}

// note enters and takes out what is no app, but almost one.
func (x *Index) note(ns *namespace, a *App, old, now verdict) {
	if a.kind == Service || a.kind.workload() {
		x.version++
		ns.workloadsVersion = x.version
	}
	switch this := (workload{a.kind, a.name}); {
	case now.workload:
		ns.workloads[this] = true
	case old.workload:
		delete(ns.workloads, this)
	}
	entry := v1alpha1.RejectedApp{Kind: string(a.kind), Namespace: a.namespace, Name: a.name, Reason: now.nearMiss}
	switch {
	case now.nearMiss == "" && old.nearMiss != "":
		ns.nearMisses.remove(entry)
	case now.nearMiss != old.nearMiss:
		ns.nearMisses.put(entry)
		x.events.NearMiss(a, now.nearMiss, !x.open[a.kind].listed)
	}
}

// almost returns at most so many of what almost requests to be scraped, and how many there are.
func (n *namespace) almost(is Namespace, most int) ([]v1alpha1.RejectedApp, int) {
	listed := slices.Clone([]v1alpha1.RejectedApp(n.nearMisses[:min(len(n.nearMisses), most)]))
	for i := range listed {
		listed[i].Kind = Kind(listed[i].Kind).Object()
	}
	listed = append(listed, is.Workloads[:min(len(is.Workloads), most-len(listed))]...)
	return listed, len(n.nearMisses) + is.WorkloadsTotal
}

// Annotated are the workloads of a namespace that have the annotation of their template.
type Annotated struct {
	// Version changes with the workloads and with the accepted Services; 0 where there are no workloads.
	Version uint64
	// Services is the number of accepted Services, of which one may select the Pods of a workload.
	Services int
	// Workloads by kind and name.
	Workloads []*corev1.ObjectReference
}

// Annotated returns those of a namespace.
func (x *Index) Annotated(name string) Annotated {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil || len(ns.workloads) == 0 {
		return Annotated{}
	}
	found := Annotated{Version: ns.workloadsVersion, Services: ns.services()}
	for _, this := range slices.SortedFunc(maps.Keys(ns.workloads), func(one, other workload) int {
		return cmp.Or(strings.Compare(string(one.kind), string(other.kind)), strings.Compare(one.name, other.name))
	}) {
		if a := x.apps[this.kind][name+"/"+this.name]; a != nil {
			found.Workloads = append(found.Workloads, a.Reference())
		}
	}
	return found
}

// AnnotatedVersions returns the Version of each namespace that has such workloads.
func (x *Index) AnnotatedVersions() map[string]uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	versions := map[string]uint64{}
	for name, ns := range x.namespaces {
		if len(ns.workloads) > 0 {
			versions[name] = ns.workloadsVersion
		}
	}
	return versions
}
