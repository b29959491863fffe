// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"maps"
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// mostRejected bounds each list of apps in the status.
const mostRejected = 20

// Namespace is what the status says of the apps of a namespace.
type Namespace struct {
	// Scraped is false for a namespace that is left out: its apps are known, but not counted.
	Scraped bool
	// HostNetwork is true where Pods in the network of their node are allowed.
	HostNetwork bool
	// Behind are accepted Services that are not scraped, or not whole, because of the Pods behind them, at most so many as are listed.
	Behind []v1alpha1.RejectedApp
	// Workloads are those whose annotation belongs to their template, at most so many as are listed, and WorkloadsTotal how many
	// there are.
	Workloads      []v1alpha1.RejectedApp
	WorkloadsTotal int
}

// Status counts the apps.
func (x *Index) Status(of func(namespace string) Namespace) v1alpha1.ScrapeStatus {
	x.mu.Lock()
	defer x.mu.Unlock()
	var status v1alpha1.ScrapeStatus
	var rejected, nearMisses [][]v1alpha1.RejectedApp
	for _, name := range slices.Sorted(maps.Keys(x.namespaces)) {
		ns, is := x.namespaces[name], of(name)
		if !is.Scraped {
			continue
		}
		status.Services += int32(ns.services())
		status.Pods += int32(ns.podsThatFit())
		if is.HostNetwork {
			status.Pods += int32(ns.hostPods)
		}
		listed, total := ns.refused(name, is.HostNetwork, x.behind(is), mostRejected)
		status.RejectedTotal += int32(total)
		if total > 0 {
			rejected = append(rejected, listed)
		}
		if listed, total := ns.almost(is, mostRejected); total > 0 {
			status.NearMissesTotal += int32(total)
			nearMisses = append(nearMisses, listed)
		}
	}
	status.Rejected, status.NearMisses = Share(rejected, mostRejected, byApp), Share(nearMisses, mostRejected, byApp)
	return status
}

// Share fills a list with at most so many entries, of each namespace one in turn, so that none takes the places of another, and
// sorts it. lists are those of the namespaces, in the order of their names.
func Share[T any](lists [][]T, most int, compare func(one, other T) int) []T {
	var shared []T
	for turn := 0; turn < most && len(shared) < most; turn++ {
		for _, list := range lists {
			if turn < len(list) && len(shared) < most {
				shared = append(shared, list[turn])
			}
		}
	}
	slices.SortFunc(shared, compare)
	return shared
}
