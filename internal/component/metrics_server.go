// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// MetricsServer is the name of the component that serves metrics.k8s.io.
const MetricsServer = "metrics-server"

// What metrics-server is told where the spec says nothing.
const (
	defaultMetricResolution = 15 * time.Second
	defaultKubeletTimeout   = 10 * time.Second
)

// metricsServerPorts are the egress ports that the asset's NetworkPolicy lists.
var metricsServerPorts = []int32{53, 443, 6443, 10250}

// metricsServer adds metrics-server, unless it is not to serve metrics.k8s.io.
func metricsServer(spec v1alpha1.MetricsPipelineSpec, caps Capabilities, plan *Plan) {
	if plan.withholds(ResourceMetrics) {
		return
	}
	server := spec.MetricsServer
	resolution := server.MetricResolution.Or(defaultMetricResolution)

	var d deployment
	d.options(server.ComponentOptions)
	d.arg("--metric-resolution=%s", resolution)
	d.arg("--kubelet-request-timeout=%s", kubeletTimeout(server))
	if types := server.Kubelet.PreferredAddressTypes; len(types) > 0 {
		d.arg("--kubelet-preferred-address-types=%s", strings.Join(types, ","))
	}
	if server.Kubelet.TLS.Verification == v1alpha1.TLSInsecure {
		d.arg("--kubelet-insecure-tls")
	}
	for _, extra := range server.ExtraArgs {
		d.arg("%s", extra)
	}

	plan.Components = append(plan.Components, Component{
		Name:      MetricsServer,
		Namespace: caps.Namespace,
		Image:     image(server.ComponentOptions, caps, MetricsServer),
		Variants:  variants(server.ComponentOptions, caps),
		Patches: slices.Concat(
			[]Patch{patchOf("Deployment", MetricsServer, d.operations...)},
			monitorPatches(MetricsServer, caps),
			egressPatches(MetricsServer, metricsServerPorts, caps.APIServerPorts...),
		),
		UserPatches: spec.Patches,
		APIs:        []API{ResourceMetrics},
	})
}

// kubeletTimeout returns how long one read of a kubelet may take: metrics-server exits when that is more than nine
// tenths of its resolution.
func kubeletTimeout(server v1alpha1.MetricsServerSpec) time.Duration {
	most := server.MetricResolution.Or(defaultMetricResolution) * 9 / 10
	return min(server.Kubelet.RequestTimeout.Or(defaultKubeletTimeout), most)
}
