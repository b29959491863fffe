// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metricsserver is the operand that serves metrics.k8s.io from the kubelets.
package metricsserver

import (
	"cmp"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// Name of the component, its Deployment and its Service.
const Name = "metrics-server"

// What it runs with where the spec says nothing.
const (
	defaultResolution     = 15 * time.Second
	defaultKubeletTimeout = 10 * time.Second
	// Where it listens in the network of a node: what others use there for metrics-server.
	hostPort = 4443
)

// egressPorts are those that the asset's NetworkPolicy lists.
var egressPorts = []int32{53, 443, 6443, 10250}

// Operand is metrics-server.
type Operand struct{}

var _ operand.Operand = Operand{}

// Describe implements operand.Operand.
func (Operand) Describe() operand.Description {
	return operand.Description{
		Catalog: operand.Component{Name: Name, Workloads: []string{Name}, Service: Name, Serving: Name + "-tls",
			APIs: []metricsapi.API{metricsapi.Resource}, Images: map[string]string{Name: Name},
			Versions: map[string]string{"sha256:d9862115e7c7881280d3d75ca26bda8ffc0fc213315979575bf23ce9826205c0": "v0.9.0"},
			Variants: []string{operand.HighAvailability, operand.Monitor},
			Guarded:  append(operand.AggregatedServerFlags(), "--deprecated-kubelet-completely-insecure", "--kubelet-insecure-tls")},
		Image:         "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
		ImageVariable: "RELATED_IMAGE_METRICS_SERVER",
		Authorities: func(spec v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority {
			return map[string]*v1alpha1.CertificateAuthority{authorityField: spec.MetricsServer.Kubelet.TLS.CA}
		},
	}
}

// Plan implements operand.Operand: it runs unless it is not to serve metrics.k8s.io. Where the spec names another backend, it serves
// until that one does.
func (o Operand) Plan(in operand.Input) (operand.Proposal, error) {
	leaving := in.Spec.ResourceMetrics.FromPrometheus()
	if in.Omitted.Withheld(metricsapi.Resource) || leaving && !in.Facts.Leads(metricsapi.Resource, Name) {
		return operand.Proposal{}, nil
	}
	spec, component := in.Spec.MetricsServer, o.Describe().Catalog
	if missing := in.Facts.Authorities[authorityField].Missing; missing != "" {
		return without(missing), nil
	}
	component.Namespace = in.Facts.Namespace
	component.Images = map[string]string{Name: cmp.Or(spec.Image, in.Image)}
	component.Variants = operand.Variants(spec.ComponentOptions, in)
	component.Patches = slices.Concat(
		[]operand.Patch{deployment(in).Patch(Name)},
		operand.MonitorPatches(Name, in),
		operand.EgressPatches(Name, egressPorts, slices.Concat(in.Facts.APIServerPorts, ports(spec.Kubelet))...),
		operand.DNSPatches(Name, in.Spec.NetworkPolicy.DNSPorts),
	)
	component.UserPatches = in.Spec.Patches
	proposal := operand.Proposal{Component: &component, Kubelets: access(in)}
	if leaving {
		proposal.Leaving = component.APIs
	}
	if spec.Kubelet.TLS.Verification == v1alpha1.TLSInsecure {
		proposal.Findings = []operand.Finding{{Condition: v1alpha1.ConditionReady,
			Message: "metricsServer.kubelet.tls.verification is Insecure: nothing verifies that the numbers come from the kubelets."}}
	}
	return proposal, nil
}

// without is the proposal where the authority of the kubelets is not there: pods could not start, and metrics-server verifies by nothing
// else meanwhile.
func without(missing string) operand.Proposal {
	return operand.Proposal{
		Retained: Name + ": it is not known by which authority to verify the kubelets, see the condition ComponentsReady.",
		Omitted: metricsapi.Omissions{metricsapi.Resource.Name(): {Reason: v1alpha1.ReasonWaitingForBackend,
			Message: Name + " does not run without the authority of the kubelets, see the condition ComponentsReady."}},
		Findings: []operand.Finding{{Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonKubeletCAMissing, Stalled: true,
			Message: Name + ": " + missing + "."}},
	}
}

// ports are those of the kubelets that the spec names.
func ports(spec v1alpha1.KubeletSpec) []int32 {
	if spec.Port == 0 {
		return nil
	}
	return []int32{spec.Port}
}

func deployment(in operand.Input) *operand.Deployment {
	spec := in.Spec.MetricsServer
	d := &operand.Deployment{}
	d.Options(spec.ComponentOptions, in.Facts, hostPort)
	port(d, spec.Kubelet)
	d.Arg("--metric-resolution=%s", spec.MetricResolution.Or(defaultResolution))
	d.Arg("--kubelet-request-timeout=%s", kubeletTimeout(spec))
	kubelets(d, in)
	for _, extra := range spec.ExtraArgs {
		d.Arg("%s", extra)
	}
	return d
}

// kubeletTimeout returns how long one read of a kubelet may take: metrics-server exits when that is more than nine tenths of
// its resolution.
func kubeletTimeout(spec v1alpha1.MetricsServerSpec) time.Duration {
	most := spec.MetricResolution.Or(defaultResolution) * 9 / 10
	return min(spec.Kubelet.RequestTimeout.Or(defaultKubeletTimeout), most)
}
