// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package selfmonitoring

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// both are the CRDs that there can be.
var both = []string{kinds.ServiceMonitorCRD, kinds.PrometheusRuleCRD}

func plan(t *testing.T, spec v1alpha1.MonitoringSpec, change func(*cluster.Facts)) operand.Proposal {
	t.Helper()
	in := operand.Input{Spec: v1alpha1.MetricsPipelineSpec{Monitoring: spec}, Facts: operandtest.Facts()}
	change(&in.Facts)
	proposal, err := Operand{}.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return proposal
}

func serving(crds ...string) func(*cluster.Facts) {
	return func(facts *cluster.Facts) { facts.Served = cluster.Serving(crds...) }
}

// TestParts: what is made depends on the spec and on the CRDs, and the condition says what is left out and why.
func TestParts(t *testing.T) {
	const (
		off = v1alpha1.MonitoringDisabled
		all = "In place: ServiceMonitor metricspipeline-operator, PrometheusRule metricspipeline, ConfigMap metricspipeline-dashboard."
	)
	for name, tc := range map[string]struct {
		spec v1alpha1.MonitoringSpec
		crds []string
		// without are the variants, and none is true where nothing is made.
		without []string
		none    bool
		says    string
	}{
		"everything": {crds: both, says: all},
		"everything, by defaults of the schema": {crds: both, says: all, spec: v1alpha1.MonitoringSpec{
			Monitors: v1alpha1.MonitoringAuto, Alerts: v1alpha1.MonitoringAuto, Dashboard: v1alpha1.DashboardAuto}},
		"no CRDs": {none: true, says: "No monitors: the cluster does not serve servicemonitors.monitoring.coreos.com. " +
			"No alerts: the cluster does not serve prometheusrules.monitoring.coreos.com. " +
			"No dashboard: the cluster does not serve servicemonitors.monitoring.coreos.com."},
		"no CRDs, and the dashboard is enabled": {spec: v1alpha1.MonitoringSpec{Dashboard: v1alpha1.DashboardEnabled},
			without: []string{"without-monitor", "without-alerts"}, says: "In place: ConfigMap metricspipeline-dashboard. No monitors"},
		"ServiceMonitors alone":  {crds: both[:1], without: []string{"without-alerts"}, says: "No alerts: the cluster"},
		"PrometheusRules alone":  {crds: both[1:], without: []string{"without-monitor"}, says: "No monitors: the cluster"},
		"monitors are disabled":  {crds: both, spec: v1alpha1.MonitoringSpec{Monitors: off}, without: []string{"without-monitor"}, says: "spec.monitoring.monitors is Disabled."},
		"alerts are disabled":    {crds: both, spec: v1alpha1.MonitoringSpec{Alerts: off}, without: []string{"without-alerts"}, says: "spec.monitoring.alerts is Disabled."},
		"dashboard is disabled":  {crds: both, spec: v1alpha1.MonitoringSpec{Dashboard: v1alpha1.DashboardDisabled}, without: []string{"without-dashboard"}, says: "spec.monitoring.dashboard is Disabled."},
		"everything is disabled": {crds: both, none: true, says: "spec.monitoring.monitors is Disabled. spec.monitoring.alerts is Disabled. spec.monitoring.dashboard is Disabled.", spec: v1alpha1.MonitoringSpec{Monitors: off, Alerts: off, Dashboard: v1alpha1.DashboardDisabled}},
	} {
		t.Run(name, func(t *testing.T) {
			proposal := plan(t, tc.spec, serving(tc.crds...))
			if (proposal.Component == nil) != tc.none {
				t.Fatalf("component %+v", proposal.Component)
			}
			if c := proposal.Component; c != nil {
				if diff := cmp.Diff(tc.without, c.Variants); diff != "" {
					t.Errorf("variants (-want +got):\n%s", diff)
				}
				if verified := !slices.Contains(c.Variants, "without-monitor"); verified != (c.Serving == Serving) {
					t.Errorf("serves with %q", c.Serving)
				}
				if c.Namespace != "metrics" || c.Condition != v1alpha1.ConditionMonitoringReady || len(c.Workloads) > 0 {
					t.Errorf("component %+v", c)
				}
			}
			last := proposal.Findings[len(proposal.Findings)-1]
			if last.Condition != v1alpha1.ConditionMonitoringReady || last.Reason != "" || !strings.Contains(last.Message, tc.says) {
				t.Errorf("finding %+v, want %q", last, tc.says)
			}
		})
	}
}

// TestScrapedWithoutMonitors: where the Prometheus that the operator runs scrapes by its configuration, the operator's metrics endpoint has a
// certificate although there is no monitor.
func TestScrapedWithoutMonitors(t *testing.T) {
	const says = "The Prometheus that the operator runs scrapes the operator and its components. No alerts: "
	in := operand.Input{Facts: operandtest.Facts()}
	in.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
	in.Facts.Prometheus.Managed.Plain = true
	proposal, err := Operand{}.Plan(in)
	if err != nil || proposal.Component == nil {
		t.Fatalf("%+v, %v", proposal, err)
	}
	want := []string{"without-monitor", "without-alerts", "without-dashboard"}
	if diff := cmp.Diff(want, proposal.Component.Variants); diff != "" || proposal.Component.Serving != Serving {
		t.Errorf("serves with %q, variants (-want +got):\n%s", proposal.Component.Serving, diff)
	}
	if said := proposal.Findings[0].Message; !strings.HasPrefix(said, says) || strings.Contains(said, "No monitors") {
		t.Errorf("it says %q", said)
	}
	in.Spec.Monitoring.Monitors = v1alpha1.MonitoringDisabled
	if proposal, err := (Operand{}).Plan(in); err != nil || proposal.Component != nil {
		t.Errorf("disabled: %+v, %v", proposal, err)
	}
}

// TestNotKnownWhatIsServed: while CRDs cannot be listed, what there is stays.
func TestNotKnownWhatIsServed(t *testing.T) {
	in := operand.Input{Facts: operandtest.Facts(), LastGood: &operand.LastGood{}}
	in.Facts.Incomplete = true
	if proposal, err := (Operand{}).Plan(in); err != nil || proposal.Component != nil || proposal.Retained == "" {
		t.Errorf("%+v, %v", proposal, err)
	}
	in.Spec.Monitoring = v1alpha1.MonitoringSpec{Monitors: v1alpha1.MonitoringDisabled, Alerts: v1alpha1.MonitoringDisabled,
		Dashboard: v1alpha1.DashboardDisabled}
	if proposal, err := (Operand{}).Plan(in); err != nil || proposal.Component != nil || proposal.Retained != "" {
		t.Errorf("disabled: %+v, %v", proposal, err)
	}
}

// TestLabels: what the Prometheus demands and what the spec says is on the objects; what cannot be is said.
func TestLabels(t *testing.T) {
	stack := map[string]string{"release": "stack"}
	selecting := func(monitors, rules *metav1.LabelSelector) func(*cluster.Facts) {
		return func(facts *cluster.Facts) {
			facts.Served = cluster.Serving(both...)
			facts.Prometheus.Target.ServiceMonitors = &prometheus.Selection{Field: "serviceMonitorSelector", Selector: monitors,
				NamespaceField: "serviceMonitorNamespaceSelector", Namespaces: &metav1.LabelSelector{}, HomeNamespace: "monitoring"}
			facts.Prometheus.Target.Rules = &prometheus.Selection{Objects: "rules", Field: "ruleSelector", Selector: rules,
				NamespaceField: "ruleNamespaceSelector", Namespaces: &metav1.LabelSelector{}, HomeNamespace: "monitoring"}
		}
	}
	labeled := metav1.SetAsLabelSelector(stack)
	own := v1alpha1.MonitoringSpec{Labels: map[string]v1alpha1.LabelValue{"example.com/team": "web", v1alpha1.ManagedLabel: "other"}}
	home := func(facts *cluster.Facts) {
		selecting(labeled, labeled)(facts)
		facts.Prometheus.Target.Rules.Namespaces = nil
	}
	for name, tc := range map[string]struct {
		spec   v1alpha1.MonitoringSpec
		change func(*cluster.Facts)
		// patches by kind, and what is said of what is not selected.
		patches map[string]string
		says    []string
	}{
		"selected by a label": {change: selecting(labeled, labeled), patches: map[string]string{
			"ServiceMonitor": `{"release":"stack"}`, "PrometheusRule": `{"release":"stack"}`}},
		"selected by any": {change: selecting(&metav1.LabelSelector{}, &metav1.LabelSelector{})},
		"by the spec, and no object stands behind the URL": {spec: own, change: serving(both...), patches: map[string]string{
			"ServiceMonitor": `{"example.com/team":"web"}`, "PrometheusRule": `{"example.com/team":"web"}`,
			"ConfigMap": `"/metadata/labels/example.com~1team","value":"web"`}},
		"the alerts are not selected": {change: selecting(labeled, nil), patches: map[string]string{"ServiceMonitor": `{"release":"stack"}`},
			says: []string{"Prometheus monitoring/main does not use PrometheusRule metricspipeline: its ruleSelector is not set"}},
		"the spec says another value": {spec: v1alpha1.MonitoringSpec{Labels: map[string]v1alpha1.LabelValue{"release": "mine"}},
			change: selecting(labeled, labeled),
			patches: map[string]string{"ServiceMonitor": `{"release":"mine"}`, "PrometheusRule": `{"release":"mine"}`,
				"ConfigMap": `"/metadata/labels/release"`},
			says: []string{"excludes monitors with the labels", "excludes rules with the labels", "change the selector, or spec.monitoring.labels"}},
		"the Prometheus looks into its own namespace": {change: home, patches: map[string]string{
			"ServiceMonitor": `{"release":"stack"}`, "PrometheusRule": `{"release":"stack"}`},
			says: []string{"its ruleNamespaceSelector is not set, which selects its own namespace alone", "the namespace metrics"}},
	} {
		t.Run(name, func(t *testing.T) {
			proposal := plan(t, tc.spec, tc.change)
			found := map[string]string{}
			for _, patch := range proposal.Component.Patches {
				found[patch.Kind] = patch.Content
				if !strings.Contains(patch.Content, tc.patches[patch.Kind]) || strings.Contains(patch.Content, "other") {
					t.Errorf("patch of %s %s: %s", patch.Kind, patch.Name, patch.Content)
				}
			}
			if len(found) != len(tc.patches) {
				t.Errorf("patches %v, want of %v", found, tc.patches)
			}
			var said []string
			for _, f := range proposal.Findings {
				if f.Reason != "" {
					said = append(said, f.Reason+": "+f.Message)
				}
			}
			all := strings.Join(said, "\n")
			for _, text := range tc.says {
				if !strings.Contains(all, text) || !strings.Contains(all, v1alpha1.ReasonNotSelected+": ") {
					t.Errorf("said %q, want %q", all, text)
				}
			}
			if len(tc.says) == 0 && all != "" {
				t.Errorf("said %q", all)
			}
		})
	}
}
