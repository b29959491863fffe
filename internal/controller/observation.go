// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/controller/scraping"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// observation is what a reconcile found out. The status is computed from it and from nothing else.
type observation struct {
	// generation of the pipeline, and version of the operator.
	generation int64
	version    string

	// failure is why the phases ended early; nil where they did not.
	failure *phaseError

	// planned is true when it is known what should exist. Where it is not, the status keeps what it said.
	planned bool
	// requestHeaderCA is true when the API server publishes the CA by which backends trust its requests.
	requestHeaderCA bool
	// certificatesIssued is true when every component has its certificate; expiries are their ends by component.
	certificatesIssued bool
	expiries           map[string]time.Time
	// insecureKubelets is true when metrics-server was told to accept any kubelet.
	insecureKubelets bool

	rules      rulesObservation
	scrape     scraping.State
	scraped    v1alpha1.ScrapeStatus
	prometheus prometheusObservation
	components []componentObservation
	apis       []apiObservation

	// waitingFor is what each unregistered API waits for, by the APIService's name.
	waitingFor map[string]string

	// What was done, for the events.
	issuedCertificates []change
	created, repaired  []string
	pruned             []string
}

// change is a thing and why it changed.
type change struct{ what, why string }

// rulesObservation is what became of the rules.
type rulesObservation struct {
	stated   int
	rejected []v1alpha1.RejectedRule
}

// prometheusObservation is what is known of the source of application metrics.
type prometheusObservation struct {
	// required is true when there is a rule that asks it.
	required bool
	target   prometheus.Target
	// notFound is why there is no target; nil where there is one.
	notFound *prometheus.NotFoundError
	// authMissing says what spec.prometheus.auth names and is not there; empty where nothing is missing.
	authMissing string
	// answer to the last query.
	answer probe.Answer
	// maxAge as the spec states it; 0 where it states none.
	maxAge time.Duration
}

// componentObservation is what is known of a component that should run.
type componentObservation struct {
	name       string
	deployment *appsv1.Deployment
	pods       []corev1.Pod
}

// apiObservation is what is known of a metrics API.
type apiObservation struct {
	api component.API
	// apiService is nil where there is none.
	apiService *apiregv1.APIService
	// backend is the component that serves it; empty where none of ours does.
	backend string
	// omission is why it is not registered, if that was decided.
	omission *component.Omission
}

func (o *observation) expiry(componentName string, at time.Time) {
	if o.expiries == nil {
		o.expiries = map[string]time.Time{}
	}
	o.expiries[componentName] = at
}

func (o *observation) waiting(api component.API, message string) {
	if o.waitingFor == nil {
		o.waitingFor = map[string]string{}
	}
	o.waitingFor[api.Name()] = message
}

// wrote notes the result of an apply.
func (o *observation) wrote(id string, result apply.Result) {
	switch result {
	case apply.Created:
		o.created = append(o.created, id)
	case apply.Repaired:
		o.repaired = append(o.repaired, id)
	case apply.Unchanged, apply.Configured:
	}
}

// issued notes a new certificate.
func (s *scope) issued(secret, reason string) {
	if reason != "" {
		s.observed.issuedCertificates = append(s.observed.issuedCertificates, change{what: secret, why: reason})
	}
}
