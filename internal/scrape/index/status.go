// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"maps"
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
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
	status.Rejected, status.NearMisses = text.Share(rejected, mostRejected, byApp), text.Share(nearMisses, mostRejected, byApp)
	return status
}
