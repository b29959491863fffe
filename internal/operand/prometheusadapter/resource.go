// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

var _ operand.Demander = (*Operand)(nil)

// resource is what becomes of metrics.k8s.io.
type resource struct {
	// apis to serve, and those of them that another component serves by the spec.
	apis, leaving []metricsapi.API
	// omission is why it is not served although the spec wants it; empty where it is.
	omission metricsapi.Omission
	findings []operand.Finding
	// counts of it as of a rule: whether the adapter is to run for it, and can.
	counts
}

// resourceMetrics decides whether the adapter serves metrics.k8s.io. Where another backend is to serve it, it goes on until that one
// does. It begins once Prometheus has the series, since an API without numbers must not replace one that has them, and does not end
// when they go.
func resourceMetrics(in operand.Input) resource {
	api := []metricsapi.API{metricsapi.Resource}
	leads := in.Facts.Leads(metricsapi.Resource, Name)
	switch {
	case in.Omitted.Withheld(metricsapi.Resource), !in.Spec.ResourceMetrics.FromPrometheus() && !leads:
		return resource{}
	case !in.Spec.ResourceMetrics.FromPrometheus():
		return resource{apis: api, leaving: api, counts: counts{1, 1}}
	}
	wanted := resource{apis: api, counts: counts{1, 1}}
	if omission, omitted := sourceless(in); omitted {
		wanted.apis, wanted.omission = nil, omission
		return wanted
	}
	series := in.Facts.Prometheus.Demands[Name]
	if series.Err != nil {
		wanted.findings = []operand.Finding{unmet(in, series.Err)}
	}
	if leads || series.Yes() {
		return wanted
	}
	message := "Prometheus is being queried for the series of containers and nodes."
	if series.Err != nil {
		message = wanted.findings[0].Message
	}
	return resource{omission: metricsapi.Omission{Reason: v1alpha1.ReasonWaitingForBackend, Message: message}, findings: wanted.findings}
}

// unmet says which series are missing, and how to get them.
func unmet(in operand.Input, err error) operand.Finding {
	finding := operand.Finding{Condition: v1alpha1.ConditionPrometheusReady, Reason: v1alpha1.ReasonResourceSeriesMissing}
	const subject = "spec.resourceMetrics.backend is PrometheusAdapter, and "
	var missing *prometheus.MissingError
	if !errors.As(err, &missing) {
		finding.Message = subject + fmt.Sprintf("whether %s has the series for it is not known: %v.",
			in.Facts.Prometheus.Target.Origin, err)
		return finding
	}
	has := func(kind string) bool { return !slices.Contains(missing.Kinds, kind) }
	remedy := "have it scrape /metrics/cadvisor of every kubelet, such as by the ServiceMonitor kubelet of kube-prometheus, and " +
		"windows-exporter beside kube-state-metrics for Windows nodes"
	switch {
	case has(containerMemory) && !has(containerCPU):
		remedy = fmt.Sprintf("raise spec.resourceMetrics.window: cpu is averaged over %s, in which at least two scrapes must lie",
			model.Duration(window(in)))
	case in.Facts.Prometheus.Target.Managed:
		remedy = "correct spec.metricsServer.kubelet.tls and spec.metricsServer.kubelet.port, by which it scrapes every kubelet"
	case has(containerMemory) && has(containerCPU):
		remedy = "keep the series of cAdvisor with id=\"/\" when it is scraped, or those of node-exporter, with the name of the Node " +
			"in the label node or instance, or with kube_pod_info of kube-state-metrics"
	}
	finding.Message = subject + fmt.Sprintf("%s cannot serve it: %v; %s.", in.Facts.Prometheus.Target.Origin, missing, remedy)
	return finding
}

// without is true where the adapter is there for nothing, whatever the rules are.
func without(in operand.Input) bool {
	return in.Omitted.Withheld(metricsapi.CustomV1Beta1) && in.Omitted.Withheld(metricsapi.External) && len(resourceMetrics(in).apis) == 0
}

// Window where the spec and the Prometheus object say nothing, and the least where only the spec says nothing. rate needs two scrapes
// in it, and four make up for a scrape that fails.
const (
	unknownWindow = 5 * time.Minute
	leastWindow   = 2 * time.Minute
	windowScrapes = 4
)

// window is the time over which cpu is averaged.
func window(in operand.Input) time.Duration {
	otherwise := unknownWindow
	if interval := in.Facts.Prometheus.Target.ScrapeInterval; interval > 0 {
		otherwise = max(windowScrapes*interval, leastWindow)
	}
	return in.Spec.ResourceMetrics.Window.Or(otherwise)
}

// Demand implements operand.Demander: series of containers and of nodes, where metrics.k8s.io is served from them.
func (*Operand) Demand(spec v1alpha1.MetricsPipelineSpec, facts cluster.Facts) (prometheus.Demand, bool) {
	if !spec.ResourceMetrics.FromPrometheus() {
		return prometheus.Demand{}, false
	}
	return demand(window(operand.Input{Spec: spec, Facts: facts}), facts.Prometheus.Target.Managed), true
}

// withResourceRules adds to the adapter's configuration what serves metrics.k8s.io.
func withResourceRules(config string, window time.Duration, managed bool) (string, error) {
	var all adapter.MetricsDiscoveryConfig
	if err := yaml.UnmarshalStrict([]byte(config), &all); err != nil {
		return "", fmt.Errorf("read the adapter's configuration: %w", err)
	}
	all.ResourceRules = resourceRules(window, managed)
	content, err := yaml.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("write the adapter's configuration: %w", err)
	}
	return string(content), nil
}

// readerRole is the ClusterRole of users who may read what the adapter serves.
const readerRole = "metricspipeline:application-metrics-reader"

// readerPatches let users who may view a cluster's objects view their cpu and memory.
func readerPatches(r resource) []operand.Patch {
	if len(r.apis) == 0 {
		return nil
	}
	return []operand.Patch{operand.PatchOf("ClusterRole", readerRole, operand.Operation{Op: "add", Path: "/rules/-",
		Value: map[string]any{"apiGroups": []string{metricsapi.Resource.Group}, "resources": []string{"pods", "nodes"},
			"verbs": []string{"get", "list", "watch"}}})}
}
