// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package selfmonitoring is the operand that monitors the stack itself: the ServiceMonitor of the operator, alerts, and a dashboard.
// Nothing runs for it, and no metrics API depends on it, so how it stands is in a condition that is no part of Ready.
package selfmonitoring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Name of the component.
const Name = "self-monitoring"

// Names of its objects.
const (
	// Serving is the Secret with the certificate of the operator's metrics endpoint, which its pods mount.
	Serving = Name + "-tls"
	// MonitorName is that of the operator's ServiceMonitor, RuleName that of the PrometheusRule with the alerts.
	MonitorName = "metricspipeline-operator"
	RuleName    = "metricspipeline"
	// DashboardName is that of the ConfigMap with the dashboard.
	DashboardName = "metricspipeline-dashboard"
)

// Operand is the monitoring of the stack itself.
type Operand struct{}

var _ operand.Operand = Operand{}

// Describe implements operand.Operand.
func (Operand) Describe() operand.Description {
	return operand.Description{Catalog: operand.Component{Name: Name, Serving: Serving, Condition: v1alpha1.ConditionMonitoringReady}}
}

// part is one of the objects.
type part struct {
	// field of spec.monitoring that it depends on, and kind and name of the object.
	field, kind, name string
	// without is the kustomize component of the assets that leaves it out.
	without string
	// wanted by the spec, and whether the cluster has what it needs. crd is what is missing where it has not.
	wanted, possible bool
	crd              string
	// selection is what the Prometheus demands of it; nil for nothing that is known.
	selection *prometheus.Selection
}

func parts(in operand.Input) []part {
	spec, served, target := in.Spec.Monitoring, in.Facts.Served, in.Facts.Prometheus.Target
	monitors, rules := served.Has(kinds.ServiceMonitorCRD), served.Has(kinds.PrometheusRuleCRD)
	return []part{
		{field: "monitors", kind: kinds.ServiceMonitor.Kind, name: MonitorName, without: "without-monitor",
			wanted: spec.Monitors != v1alpha1.MonitoringDisabled, possible: monitors, crd: kinds.ServiceMonitorCRD,
			selection: target.ServiceMonitors},
		{field: "alerts", kind: kinds.PrometheusRule.Kind, name: RuleName, without: "without-alerts",
			wanted: spec.Alerts != v1alpha1.MonitoringDisabled, possible: rules, crd: kinds.PrometheusRuleCRD, selection: target.Rules},
		// Whether there is a Grafana cannot be known: where prometheus-operator is, one is likely.
		{field: "dashboard", kind: "ConfigMap", name: DashboardName, without: "without-dashboard",
			wanted:   spec.Dashboard != v1alpha1.DashboardDisabled,
			possible: spec.Dashboard == v1alpha1.DashboardEnabled || monitors || rules, crd: kinds.ServiceMonitorCRD},
	}
}

// Plan implements operand.Operand: each part is made where the spec wants it and the cluster serves its kind.
func (o Operand) Plan(in operand.Input) (operand.Proposal, error) {
	component := o.Describe().Catalog
	component.Namespace, component.UserPatches = in.Facts.Namespace, in.Spec.Patches
	var made, left []string
	var findings []operand.Finding
	wanted, plainly := false, operand.ScrapedWithoutMonitors(in)
	for _, p := range parts(in) {
		wanted = wanted || p.wanted
		if !p.wanted || !p.possible {
			component.Variants = append(component.Variants, p.without)
			if p.name != MonitorName {
				left = append(left, p.absence())
				continue
			}
			if !plainly {
				component.Serving = "" // Nothing verifies it.
				left = append(left, p.absence())
			}
			continue
		}
		labels, err := operand.MonitoringLabels(Name, in, p.selection)
		component.Patches = append(component.Patches, p.label(labels)...)
		made = append(made, p.kind+" "+p.name)
		if unselected := p.unselected(in, err); unselected != "" {
			findings = append(findings, operand.Finding{Condition: v1alpha1.ConditionMonitoringReady,
				Reason: v1alpha1.ReasonNotSelected, Message: unselected})
		}
	}
	if plainly {
		left = append([]string{scrapedPlainly}, left...)
	}
	message := strings.Join(left, " ")
	if len(made) > 0 {
		message = strings.TrimSpace(fmt.Sprintf("In place: %s. %s", strings.Join(made, ", "), message))
	}
	findings = append(findings, operand.Finding{Condition: v1alpha1.ConditionMonitoringReady, Message: message})
	switch {
	case len(made) > 0, plainly:
		return operand.Proposal{Component: &component, Findings: findings}, nil
	case wanted && in.Facts.Incomplete && in.LastGood != nil:
		return operand.Proposal{Retained: Name + ": what the cluster offers is not known in full, see the condition ComponentsReady."}, nil
	default:
		return operand.Proposal{Findings: findings}, nil
	}
}

// scrapedPlainly is said in place of the absence of monitors.
const scrapedPlainly = "The Prometheus that the operator runs scrapes the operator and its components."

// absence says why a part is not made.
func (p part) absence() string {
	if !p.wanted {
		return fmt.Sprintf("spec.monitoring.%s is Disabled.", p.field)
	}
	return fmt.Sprintf("No %s: the cluster does not serve %s.", p.field, p.crd)
}

// label returns the patches that put labels on the object. The ConfigMap of the assets has one, which the spec may give another value.
func (p part) label(labels map[string]string) []operand.Patch {
	if p.kind != "ConfigMap" {
		return operand.LabelPatches(p.kind, p.name, labels)
	}
	var operations []operand.Operation
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		path := "/metadata/labels/" + operand.Pointer(key)
		operations = append(operations, operand.Operation{Op: "add", Path: path, Value: labels[key]})
	}
	if len(operations) == 0 {
		return nil
	}
	return []operand.Patch{operand.PatchOf(p.kind, p.name, operations...)}
}

// unselected says that the chosen Prometheus does not use the object, and the remedy; empty where it does, or that is not known. The
// labels of the operator's namespace are not known here, so of a selector of namespaces only one that is not set is looked at.
func (p part) unselected(in operand.Input, mismatch error) string {
	origin := in.Facts.Prometheus.Target.Object
	switch {
	case p.selection == nil:
		return ""
	case mismatch != nil:
		return fmt.Sprintf("%s does not use %s %s: %v.", origin, p.kind, p.name, mismatch)
	case p.selection.Namespaces == nil && p.selection.HomeNamespace != in.Facts.Namespace:
		return fmt.Sprintf("%s does not use %s %s: its %s is not set, which selects its own namespace alone; set it to {}, or to labels "+
			"of the namespace %s.", origin, p.kind, p.name, p.selection.NamespaceField, in.Facts.Namespace)
	}
	return ""
}
