// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"maps"
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Monitored is true where components get ServiceMonitors.
func Monitored(in Input) bool {
	return in.Spec.Monitoring.Monitors != v1alpha1.MonitoringDisabled && in.Facts.Served.Has(kinds.ServiceMonitorCRD)
}

// ScrapedWithoutMonitors is true where the configuration of the Prometheus that the operator runs has the components as targets.
func ScrapedWithoutMonitors(in Input) bool {
	return in.Spec.Monitoring.Monitors != v1alpha1.MonitoringDisabled && in.Spec.Prometheus.Managed != nil &&
		in.Facts.Prometheus.Managed.Plain
}

// MonitorPatches put on the ServiceMonitor of a component the labels of spec.monitoring, and those that the chosen Prometheus selects
// it by. What that demands and cannot be met leaves the monitor unselected.
func MonitorPatches(name string, in Input) []Patch {
	if !Monitored(in) {
		return nil
	}
	needed, _ := MonitoringLabels(name, in, in.Facts.Prometheus.Target.ServiceMonitors)
	return LabelPatches("ServiceMonitor", name, needed)
}

// LabelPatches put labels on an object of the assets that has none there: the operator's own come last.
func LabelPatches(kind, name string, labels map[string]string) []Patch {
	if len(labels) == 0 {
		return nil
	}
	return []Patch{PatchOf(kind, name, Operation{Op: "add", Path: "/metadata/labels", Value: labels})}
}

// MonitoringLabels returns the labels that an object of a component needs beside the operator's own: those of spec.monitoring, and
// those by which the Prometheus selects it; a nil selection demands none. Where no labels meet the selection, the error says so,
// and the labels are those of the spec.
func MonitoringLabels(component string, in Input, selection *prometheus.Selection) (map[string]string, error) {
	own, fixed, needed := ownership.Labels(component), ownership.Fixed(), map[string]string{}
	own[ownership.NameLabel] = component
	for key, value := range in.Spec.Monitoring.Labels {
		if !slices.Contains(ownership.Fixed(), key) {
			own[key], needed[key], fixed = string(value), string(value), append(fixed, key)
		}
	}
	if selection == nil {
		return needed, nil
	}
	demand := *selection
	demand.LabelsField = "spec.monitoring.labels"
	demanded, err := demand.Labels(own, fixed...)
	if err != nil {
		return needed, err //nolint:wrapcheck // the caller says which Prometheus
	}
	maps.Copy(needed, demanded)
	return needed, nil
}
