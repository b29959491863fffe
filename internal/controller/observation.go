// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
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

	// terminating says that the operator's namespace is being deleted; empty where it is not.
	terminating string
	// planned is true when it is known what should exist. Where it is not, the status keeps what it said.
	planned bool
	// requestHeaderCA is true when the API server publishes the CA by which backends trust its requests.
	requestHeaderCA bool
	certificates    certificatesObservation
	// expiries are the ends of the serving certificates by component.
	expiries map[string]time.Time
	// insecureKubelets is true when metrics-server was told to accept any kubelet.
	insecureKubelets bool

	rules      rulesObservation
	scrape     scraping.State
	scraped    v1alpha1.ScrapeStatus
	prometheus prometheusObservation
	components []componentObservation
	apis       []apiObservation

	// waitingFor is what each unregistered API waits for, by the APIService's name.
	waitingFor map[string]wait
	// contested are the objects that somebody else keeps changing.
	contested []*apply.ContestedError

	// What was done, for the events.
	issuedCertificates []change
	created, repaired  []string
	pruned             []string
	// takenOver are APIServices and from whom; deregistered are APIServices and what kube-aggregator said of them.
	takenOver, deregistered []change
}

// wait is why an API is not registered, as a reason and a message.
type wait struct{ reason, message string }

// change is a thing and why it changed.
type change struct{ what, why string }

// certificatesObservation is what became of the certificates.
type certificatesObservation struct {
	// looked is true once all of them were looked at.
	looked bool
	// inUse are the certificates that there are.
	inUse []v1alpha1.CertificateStatus
	// certManagerMissing is true when it should be asked and is not there, and withoutCA when its issuer gave no authority.
	certManagerMissing, withoutCA bool
	// waiting is true when a component has to wait for cert-manager, since nothing stands in for it; lacking says what it has
	// not issued, and why.
	waiting bool
	lacking []string
	// overdue are the Secrets whose certificates should have been renewed.
	overdue []string
	// rotating are the components of which an earlier authority is still trusted.
	rotating []string
}

func (o *certificatesObservation) lacks(message string) {
	o.lacking = append(o.lacking, strings.TrimSuffix(message, ".")+".")
}

// rulesObservation is what became of the rules.
type rulesObservation struct {
	stated          int
	rejected, inUse []v1alpha1.RuleStatus
}

// prometheusObservation is what is known of the source of application metrics.
type prometheusObservation struct {
	// required is true when there is a rule that asks it.
	required bool
	target   prometheus.Target
	// notFound is why there is no target; nil where there is one.
	notFound *prometheus.NotFoundError
	// authMissing says what spec.prometheus.tls or auth names and is not there; empty where nothing is missing.
	authMissing string
	// answer to the last query.
	answer probe.Answer
	// kept is true when the adapter goes on asking another one meanwhile.
	kept bool
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
	o.waitingBecause(api, v1alpha1.ReasonWaitingForBackend, message)
}

func (o *observation) waitingBecause(api component.API, reason, message string) {
	if o.waitingFor == nil {
		o.waitingFor = map[string]wait{}
	}
	o.waitingFor[api.Name()] = wait{reason, message}
}

// contest returns the contest about an APIService; nil where there is none.
func (o *observation) contest(api component.API) *apply.ContestedError {
	for _, contested := range o.contested {
		if contested.Object == apiServiceKind.Kind+" "+api.Name() {
			return contested
		}
	}
	return nil
}

// wrote notes the result of an apply.
func (o *observation) wrote(id string, result apply.Result) {
	switch result {
	case apply.Created:
		o.created = append(o.created, id)
	case apply.Repaired:
		o.repaired = append(o.repaired, id)
	case apply.Unchanged, apply.Configured, apply.Replaced:
	}
}

// issued notes a new certificate.
func (s *scope) issued(secret, reason string) {
	if reason != "" {
		s.observed.issuedCertificates = append(s.observed.issuedCertificates, change{what: secret, why: reason})
	}
}
