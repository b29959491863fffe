// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
)

// watcher is a component that monitors the others: nothing runs for it, and a condition of its own says how it stands.
const watcher = "watcher"

// watched adds it to a pipeline.
func watched(o *Observation) *Outcome {
	o.Plan.Components = append(o.Plan.Components, operand.Planned{Component: operand.Component{
		Name: watcher, Namespace: "metrics", Condition: v1alpha1.ConditionMonitoringReady}})
	o.Outcomes = append(o.Outcomes, Outcome{Component: watcher, Condition: v1alpha1.ConditionMonitoringReady, Complete: true})
	return &o.Outcomes[len(o.Outcomes)-1]
}

// monitoringCases are about a condition that Ready does not depend on.
func monitoringCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionMonitoringReady
	aside := func(want string, change func(*Observation)) conditionCase {
		return conditionCase{change: change, differ: map[string]string{condition: want}, ready: "Ready", kstatus: status.CurrentStatus,
			says: "Available: metrics.k8s.io"}
	}
	fails := func(reason string, failure *Failure) conditionCase {
		return aside("False "+reason, func(o *Observation) { watched(o).Failures = []*Failure{failure} })
	}
	const rule = "PrometheusRule metrics/metricspipeline"
	return map[string]conditionCase{
		"the stack is monitored": aside("True InPlace", func(o *Observation) { watched(o) }),
		"the certificate of the metrics endpoint is not issued": aside("False Issuing", func(o *Observation) {
			watched(o).Certificate = Certificate{Known: true, Waiting: true, ManagerMissing: true}
			planOf(o, watcher).Serving = watcher + "-tls"
		}),
		"the Prometheus does not use the alerts": aside("False NotSelected", func(o *Observation) {
			watched(o)
			o.Plan.Findings = []operand.Finding{{Condition: condition, Reason: v1alpha1.ReasonNotSelected, Message: "its ruleSelector"}}
		}),
		"the name of the alerts is taken":      fails("NameTaken", FailureOf(&apply.NameTakenError{Object: rule, Manager: "helm"})),
		"the alerts are refused":               fails("ApplyFailed", FailureOf(errors.New("a webhook denied the request"))),
		"a patch of the alerts does not apply": fails("RenderFailed", Unrendered(errors.New("spec.patches[0]"))),
		"another writer changes the alerts": aside("False Contested", func(o *Observation) {
			watched(o).Contested = []*apply.ContestedError{{Object: rule, Managers: []string{"helm"}}}
		}),
		"the operator may not read rules": aside("False Unreadable", func(o *Observation) {
			watched(o)
			o.Failures = []*Failure{FailureOf(&cluster.UnreadableError{Kind: kinds.PrometheusRule.GroupVersionKind, Err: forbidden("list", "prometheusrules")})}
		}),
	}
}
