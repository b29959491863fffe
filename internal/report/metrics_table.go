// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one that the operator exports about the pipeline. No label has a value that a tenant chooses.
type Metric struct {
	// Name, Type (gauge or counter), Labels and Help as they are exported.
	Name, Type string
	Labels     []string
	Help       string
}

func (m Metric) description() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}

const (
	gauge   = "gauge"
	counter = "counter"
)

// The metrics say what the status says, so that an alert needs no exporter of custom resources, and count what it does not have.
var (
	buildInfo = Metric{"metricspipeline_build_info", gauge, []string{"version", "goversion"},
		"1, with the version of the operator and of Go."}
	conditionStatus = Metric{"metricspipeline_condition", gauge, []string{"condition"},
		"1 for a condition of the pipeline that is True, 0 for False, -1 for Unknown."}
	apiServiceAvailable = Metric{"metricspipeline_apiservice_available", gauge, []string{"apiservice", "owner"},
		"1 when a metrics API that the pipeline demands answers, else 0. The owner of its APIService is ours, other or none."}
	componentDesired = Metric{"metricspipeline_component_replicas", gauge, []string{"component"}, "Pods that a component should have."}
	componentReady   = Metric{"metricspipeline_component_replicas_ready", gauge, []string{"component"},
		"Pods of a component that are ready."}
	certificateEnd = Metric{"metricspipeline_certificate_expiry_timestamp_seconds", gauge, []string{"secret", "provider"},
		"When the certificate in a Secret ends, in seconds since 1970."}
	certificateDue = Metric{"metricspipeline_certificate_renewal_timestamp_seconds", gauge, []string{"secret", "provider"},
		"When the renewal of the certificate in a Secret is due, in seconds since 1970."}
	ruleStates = Metric{"metricspipeline_rules", gauge, []string{"state"},
		"Rules of custom and external metrics in a state: InUse, Warned, LastGood or Rejected."}
	scrapeApps = Metric{"metricspipeline_scrape_apps", gauge, []string{"kind"},
		"Annotated apps that are scraped, by kind: Service or Pod."}
	scrapeRejected = Metric{"metricspipeline_scrape_apps_rejected", gauge, nil, "Annotated apps that are not scraped."}
	scrapeLeftOut  = Metric{"metricspipeline_scrape_namespaces_not_scraped", gauge, nil,
		"Namespaces whose annotated apps are not scraped for a reason that other namespaces do not have."}
	scrapeTargets = Metric{"metricspipeline_scrape_targets", gauge, []string{"state"},
		"Targets of annotated apps by their state in Prometheus, up or down, while that is known."}
	scrapeMonitors    = Metric{"metricspipeline_scrape_monitors", gauge, nil, "ServiceMonitors and PodMonitors of annotated apps."}
	autoscalerFailing = Metric{"metricspipeline_autoscaler_failing", gauge, []string{"reason"},
		"HorizontalPodAutoscalers that fail, by the reason of docs/autoscalers.md."}
	managedObjects = Metric{"metricspipeline_managed_objects", gauge, []string{"kind"},
		"Objects that the operator manages for its components, by kind."}
	driftRepairs = Metric{"metricspipeline_drift_repairs_total", counter, []string{"kind"},
		"Objects that were repaired because another writer had changed or deleted them, by kind."}
	reconcileErrors = Metric{"metricspipeline_reconcile_errors_total", counter, []string{"phase"},
		"Errors of reconciles of the pipeline, by the phase that failed. Conflicts, which are tried again at once, are not among them."}
)

// Metrics are all of them.
func Metrics() []Metric {
	return []Metric{buildInfo, conditionStatus, apiServiceAvailable, componentDesired, componentReady, certificateEnd, certificateDue,
		ruleStates, scrapeApps, scrapeRejected, scrapeLeftOut, scrapeTargets, scrapeMonitors, autoscalerFailing, managedObjects,
		driftRepairs, reconcileErrors}
}

// Phase is a part of a reconcile that can fail.
type Phase string

// Phases: those of a whole reconcile, and the rungs of the ladder that each component climbs.
const (
	PhaseRead       Phase = "read"
	PhaseDeregister Phase = "deregister"
	PhasePlan       Phase = "plan"
	PhaseCertify    Phase = "certify"
	PhaseSecure     Phase = "secure"
	PhaseRender     Phase = "render"
	PhaseApply      Phase = "apply"
	PhaseRegister   Phase = "register"
	PhaseRemember   Phase = "remember"
	PhaseSweep      Phase = "sweep"
	PhasePrune      Phase = "prune"
	PhaseReport     Phase = "report"
)

// Phases are all of them in the order of a reconcile.
func Phases() []Phase {
	return []Phase{PhaseRead, PhaseDeregister, PhasePlan, PhaseCertify, PhaseSecure, PhaseRender, PhaseApply, PhaseRegister, PhaseRemember,
		PhaseSweep, PhasePrune, PhaseReport}
}
