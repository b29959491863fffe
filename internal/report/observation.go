// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report makes the status with its conditions, the Events and the operator's metrics from what was observed. It is pure,
// and reads and writes nothing.
package report

import (
	"cmp"
	"slices"
	"strings"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/registration"
)

// Observation is all that a status depends on.
type Observation struct {
	// Generation and Spec of the pipeline, and Version of the operator.
	Generation int64
	Spec       v1alpha1.MetricsPipelineSpec
	Version    string

	// Facts about the cluster, and the Plan that was made from them. Planned is false where no plan could be made: then the
	// status keeps what it said.
	Facts   cluster.Facts
	Plan    operand.Plan
	Planned bool
	// Outcomes of the components' ladders.
	Outcomes []Outcome
	// Authorities are those that the certificates of components share.
	Authorities []Authority
	// Failures of stages that belong to no component.
	Failures []*Failure

	// Workloads of each component, and APIServices of metrics APIs by name, as they stand afterwards.
	Workloads   map[string][]cluster.Workload
	APIServices map[string]*apiregv1.APIService
	// Nodes is what is known of them, and of the kubelets.
	Nodes Nodes
	// Scrape is what is known of annotated apps; nil before that has been looked at.
	Scrape *Scrape
	// Autoscalers is what is known of HPAs; nil before they have been looked at.
	Autoscalers *Autoscalers

	// What was done.
	Pruned       []string
	Deregistered []registration.Change

	// previous is the status before, which stays where nothing new is known.
	previous v1alpha1.MetricsPipelineStatus
}

// Scrape is a snapshot of annotated apps and their monitors.
type Scrape struct {
	// Current is false where the snapshot is about an earlier spec.
	Current bool
	// Met is true when annotated apps become targets; Reason is one of ScrapeReady's.
	Met             bool
	Reason, Message string
	Status          v1alpha1.ScrapeStatus
}

// Outcome is where the ladder of one component ended, and what was done on it.
type Outcome struct {
	// Component is its name, and Condition the one that everything about it surfaces in; empty for those of every component.
	Component, Condition string
	// Failures are why the ladder, or the write of one of its objects, ended early. Conflicts are left out.
	Failures []*Failure
	// Complete is true when every object that is desired is known.
	Complete bool
	// Retained says why the component stays in its last good form, where the plan or the ladder found that; empty where it does not.
	Retained string

	// Certificate that the component serves with.
	Certificate Certificate
	// Desired are the identities of the objects that should exist.
	Desired []string
	// Created and Repaired are those that were written because they did not exist, or because of drift.
	Created, Repaired []string
	// Contested are those that another writer keeps undoing.
	Contested []*apply.ContestedError
	// APIs are the metrics APIs of the component.
	APIs []Registration
}

// Authority is a certificate authority, and why it was made and stored now; empty where it was not.
type Authority struct {
	v1alpha1.CertificateStatus
	Issued string
}

// Certificate is the state of the serving certificate of a component.
type Certificate struct {
	// Known is true once it was looked at.
	Known bool
	// InUse is the certificate; its name is empty where there is none to serve with.
	InUse v1alpha1.CertificateStatus
	// Issued is why a new one was stored now; empty where none was.
	Issued string
	// ManagerMissing is true when cert-manager should issue it and is not there, and WithoutCA when the issuer gave no
	// authority.
	ManagerMissing, WithoutCA bool
	// Waiting is true when the component has no certificate and waits for one. Lacking says what is not issued, and why.
	Waiting bool
	Lacking string
	// Overdue is true when its renewal is overdue.
	Overdue bool
	// Rotating is true while an earlier authority is still trusted.
	Rotating bool
}

// Registration is the state of a metrics API of ours.
type Registration struct {
	API metricsapi.API
	// Reason and Message say what the API waits for; empty where it is registered.
	Reason, Message string
	// TakenOverFrom is the owner, or the component of ours, whose APIService was switched; empty for none.
	TakenOverFrom string
}

// outcome returns that of a component; false where the plan has none of its name.
func (o Observation) outcome(component string) (Outcome, bool) {
	for _, outcome := range o.Outcomes {
		if outcome.Component == component {
			return outcome, true
		}
	}
	return Outcome{}, false
}

// registration returns what became of a metrics API; false where no component came to register it. Of one that two components have,
// it is what the API waits for to lead to the other one.
func (o Observation) registration(api metricsapi.API) (found Registration, known bool) {
	for _, outcome := range o.Outcomes {
		for _, registration := range outcome.APIs {
			if registration.API == api && (!known || registration.Reason != "") {
				found, known = registration, true
			}
		}
	}
	return found, known
}

// terminating is the message while the operator's namespace is being deleted; empty otherwise.
func (o Observation) terminating() string {
	if !o.Facts.Terminating {
		return ""
	}
	return "Namespace " + o.Facts.Namespace + ", in which the operator and its components run, is being deleted, so the APIServices " +
		"are deleted and nothing is put back. To use the metrics pipeline again, install the operator anew."
}

// contest returns the contest about an APIService; nil where there is none.
func (o Observation) contest(api metricsapi.API) *apply.ContestedError {
	for _, outcome := range o.Outcomes {
		for _, contested := range outcome.Contested {
			if contested.Object == ownership.ID(kinds.APIService.Kind, "", api.Name()) {
				return contested
			}
		}
	}
	return nil
}

// contests are the messages of contested objects that surface in a condition, but for APIServices, which have a condition of their own.
func (o Observation) contests(condition string) []string {
	var contests []string
	for _, outcome := range o.Outcomes {
		if cmp.Or(outcome.Condition, v1alpha1.ConditionComponentsReady) != condition {
			continue
		}
		for _, contested := range outcome.Contested {
			if !strings.HasPrefix(contested.Object, kinds.APIService.Kind+" ") {
				contests = append(contests, contested.Error()+".")
			}
		}
	}
	return contests
}

// failures returns those of all stages that surface in a condition.
func (o Observation) failures(condition string) []*Failure {
	var found []*Failure
	collect := func(failures []*Failure, in string) {
		for _, failure := range failures {
			if cmp.Or(in, failure.Condition) == condition {
				found = append(found, failure)
			}
		}
	}
	collect(o.Failures, "")
	for _, outcome := range o.Outcomes {
		collect(outcome.Failures, outcome.Condition)
	}
	return found
}

// rulesKnown is false where the spec has rules that the operator is to serve, and the operand could not check them.
func (o Observation) rulesKnown() bool {
	if len(o.Plan.Rules) > 0 {
		return true
	}
	custom := len(o.Spec.CustomMetrics.Rules) > 0 && !o.Plan.Omitted.Withheld(metricsapi.CustomV1Beta1)
	external := len(o.Spec.ExternalMetrics.Rules) > 0 && !o.Plan.Omitted.Withheld(metricsapi.External)
	return !custom && !external
}

// ruled is true for an API that is served by rules.
func (o Observation) ruled(api metricsapi.API) bool {
	of := func(rule v1alpha1.RuleStatus) bool { return rule.API == api.Group }
	return slices.ContainsFunc(o.Plan.Rules, of) || slices.ContainsFunc(o.Plan.Derived, of)
}

// queried is true for an API that is served from Prometheus.
func (o Observation) queried(api metricsapi.API) bool {
	return o.ruled(api) || api == metricsapi.Resource && o.Spec.ResourceMetrics.FromPrometheus() && !o.takingOver(api)
}

// retained returns a component that would query Prometheus and is retained; false for none.
func (o Observation) retained() (operand.Planned, bool) {
	for _, c := range o.Plan.Components {
		for _, outcome := range o.Outcomes {
			if outcome.Component == c.Name {
				c.Retained = cmp.Or(c.Retained, outcome.Retained)
			}
		}
		if c.Retained != "" && slices.ContainsFunc(c.APIs, o.queried) {
			return c, true
		}
	}
	return operand.Planned{}, false
}
