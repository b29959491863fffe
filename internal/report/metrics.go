// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
)

// Exporter exports the last status as a whole: what is no longer in it has no series, and no scrape sees half a change. What it counts
// stays as long as the process.
type Exporter struct {
	samples atomic.Pointer[[]prometheus.Metric]

	mu      sync.Mutex
	version string
	repairs map[string]float64
	errors  map[Phase]float64
}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(descriptions chan<- *prometheus.Desc) {
	for _, metric := range Metrics() {
		descriptions <- metric.description()
	}
}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(collected chan<- prometheus.Metric) {
	if samples := e.samples.Load(); samples != nil {
		for _, sample := range *samples {
			collected <- sample
		}
	}
	for _, sample := range e.counts() {
		collected <- sample
	}
}

// counts are the samples that do not depend on a pipeline. A counter begins at 0, so that its first increase can be seen.
func (e *Exporter) counts() []prometheus.Metric {
	e.mu.Lock()
	defer e.mu.Unlock()
	var s samples
	if e.version != "" {
		s.add(buildInfo, 1, e.version, runtime.Version())
	}
	for _, kind := range kinds.Managed {
		s.add(driftRepairs, e.repairs[kind.Kind], kind.Kind)
	}
	for _, phase := range Phases() {
		s.add(reconcileErrors, e.errors[phase], string(phase))
	}
	return s
}

// Build says which version of the operator this is.
func (e *Exporter) Build(version string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.version = version
}

// Failed counts an error of a phase.
func (e *Exporter) Failed(phase Phase) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.errors == nil {
		e.errors = map[Phase]float64{}
	}
	e.errors[phase]++
}

// Repaired counts what was repaired, by the kind of each object.
func (e *Exporter) Repaired(identities []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.repairs == nil {
		e.repairs = map[string]float64{}
	}
	for _, id := range identities {
		e.repairs[kindOf(id)]++
	}
}

// Clear exports nothing but what is counted: there is no pipeline.
func (e *Exporter) Clear() { e.samples.Store(nil) }

// Set exports a status, which is that of an observation.
func (e *Exporter) Set(o Observation, status v1alpha1.MetricsPipelineStatus) {
	var s samples
	for _, condition := range status.Conditions {
		value := boolean(condition.Status == metav1.ConditionTrue)
		if condition.Status == metav1.ConditionUnknown {
			value = -1
		}
		s.add(conditionStatus, value, condition.Type)
	}
	for _, api := range status.APIServices {
		if o.demanded(api) {
			s.add(apiServiceAvailable, boolean(api.Available == metav1.ConditionTrue), api.Name, ownerOf(api))
		}
	}
	for _, c := range status.Components {
		s.add(componentDesired, float64(c.Desired), c.Name)
		s.add(componentReady, float64(c.Ready), c.Name)
	}
	for _, certificate := range status.Certificates {
		labels := []string{certificate.Name, string(certificate.Provider)}
		if certificate.Expires != nil {
			s.add(certificateEnd, float64(certificate.Expires.Unix()), labels...)
		}
		if certificate.Renews != nil {
			s.add(certificateDue, float64(certificate.Renews.Unix()), labels...)
		}
	}
	s.add(ruleStates, float64(status.RulesTotal.InUse), string(v1alpha1.RuleInUse))
	s.add(ruleStates, float64(status.RulesTotal.Warned), string(v1alpha1.RuleWarned))
	s.add(ruleStates, float64(status.RulesTotal.LastGood), string(v1alpha1.RuleLastGood))
	s.add(ruleStates, float64(status.RulesTotal.Rejected), string(v1alpha1.RuleRejected))
	if scrape := status.Scrape; scrape != nil {
		s.add(scrapeApps, float64(scrape.Services), "Service")
		s.add(scrapeApps, float64(scrape.Pods), "Pod")
		s.add(scrapeRejected, float64(scrape.RejectedTotal))
		s.add(scrapeLeftOut, float64(scrape.NotScrapedTotal))
		s.add(scrapeMonitors, float64(scrape.Monitors))
		if targets := scrape.Targets; targets != nil && (targets.Message == "" || targets.Up+targets.Down > 0) {
			s.add(scrapeTargets, float64(targets.Up), "up")
			s.add(scrapeTargets, float64(targets.Down), "down")
		}
	}
	if o.Autoscalers != nil {
		for reason, count := range o.Autoscalers.Reasons {
			s.add(autoscalerFailing, float64(count), reason)
		}
	}
	for kind, count := range managed(o) {
		s.add(managedObjects, float64(count), kind)
	}
	all := []prometheus.Metric(s)
	e.samples.Store(&all)
}

// samples of metrics of the table.
type samples []prometheus.Metric

func (s *samples) add(metric Metric, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if metric.Type == counter {
		kind = prometheus.CounterValue
	}
	*s = append(*s, prometheus.MustNewConstMetric(metric.description(), kind, value, labels...))
}

// managed counts the desired objects of all components by kind. One that several components share counts once.
func managed(o Observation) map[string]int {
	seen, counts := map[string]bool{}, map[string]int{}
	for _, outcome := range o.Outcomes {
		for _, id := range outcome.Desired {
			if !seen[id] {
				seen[id] = true
				counts[kindOf(id)]++
			}
		}
	}
	return counts
}

// kindOf returns the kind in an identity.
func kindOf(id string) string {
	kind, _, _ := strings.Cut(id, " ")
	return kind
}

// ownerOf is ours, other or none: the owner's name is no label, which should have few values.
func ownerOf(api v1alpha1.APIServiceStatus) string {
	switch {
	case api.Owner == "":
		return "none"
	case api.Backend != "" || strings.HasPrefix(api.Owner, "MetricsPipeline "):
		return "ours"
	default:
		return "other"
	}
}

func boolean(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
