// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/text"
)

// Status returns the status for an observation. previous is the one before, whose transition times are kept, and what it said
// of what is not known now.
func Status(o Observation, previous v1alpha1.MetricsPipelineStatus) v1alpha1.MetricsPipelineStatus {
	o.previous = previous
	status := *previous.DeepCopy()
	status.ObservedGeneration, status.Version = o.Generation, o.Version
	if o.Scrape != nil {
		status.Scrape = o.Scrape.Status.DeepCopy()
	}
	status.Autoscalers = autoscalersStatus(o)
	if o.Planned {
		status.Certificates = certificateStatuses(o)
		status.Prometheus = prometheusStatus(o)
		if o.rulesKnown() {
			status.Rules, status.RulesTotal = ruleStatuses(slices.Concat(o.rules(), o.Plan.Removed), o.derived())
		}
		status.Components = componentStatuses(o)
		status.Nodes = nodesStatus(o)
	}
	if o.Planned || o.Facts.Terminating {
		status.APIServices = apiStatuses(o)
	}
	setConditions(&status, o)
	return status
}

// running is false of a retained component of which nothing runs, and nothing is known that could.
func running(c operand.Planned, workloads []cluster.Workload) bool {
	runs := slices.ContainsFunc(workloads, func(w cluster.Workload) bool { return w.Deployment != nil })
	return runs || c.Retained == "" || c.LastGood != nil
}

// certificateStatuses are those of the authorities and of the components. Of a component whose certificate was not looked at the
// previous one stays, and the authorities with it.
func certificateStatuses(o Observation) []v1alpha1.CertificateStatus {
	named := func(in []v1alpha1.CertificateStatus, name string) int {
		return slices.IndexFunc(in, func(s v1alpha1.CertificateStatus) bool { return s.Name == name })
	}
	var authorities, serving []v1alpha1.CertificateStatus
	for _, authority := range o.Authorities {
		authorities = append(authorities, authority.CertificateStatus)
	}
	unknown := false
	for _, c := range o.Plan.Components {
		if c.Serving == "" {
			continue
		}
		outcome, _ := o.outcome(c.Name)
		if outcome.Certificate.InUse.Name != "" {
			serving = append(serving, outcome.Certificate.InUse)
		} else if !outcome.Certificate.Known {
			unknown = true
			if index := named(o.previous.Certificates, c.Serving); index >= 0 {
				serving = append(serving, o.previous.Certificates[index])
			}
		}
	}
	for _, earlier := range o.previous.Certificates {
		serves := slices.ContainsFunc(o.Plan.Components, func(c operand.Planned) bool { return c.Serving == earlier.Name })
		if unknown && !serves && named(authorities, earlier.Name) < 0 {
			authorities = append(authorities, earlier)
		}
	}
	return append(authorities, serving...)
}

// componentStatuses are those of the components. Of one whose workloads could not be read the previous one stays.
func componentStatuses(o Observation) []v1alpha1.ComponentStatus {
	var statuses []v1alpha1.ComponentStatus
	for _, c := range o.Plan.Components {
		workloads := o.Workloads[c.Name]
		index := slices.IndexFunc(o.previous.Components, func(s v1alpha1.ComponentStatus) bool { return s.Name == c.Name })
		switch {
		case len(c.Workloads) == 0: // Nothing runs: its condition says how it stands.
		case workloads == nil:
			if index >= 0 {
				statuses = append(statuses, o.previous.Components[index])
			}
		case running(c, workloads):
			statuses = append(statuses, componentStatus(c, workloads))
		}
	}
	return statuses
}

// componentStatus describes the workloads of one component. Its version is that of the first.
func componentStatus(c operand.Planned, workloads []cluster.Workload) v1alpha1.ComponentStatus {
	status := v1alpha1.ComponentStatus{Name: c.Name}
	var messages []string
	for _, workload := range workloads {
		if message := verdict(workload).Message; message != "" {
			if len(workloads) > 1 {
				message = workload.Name + ": " + message
			}
			messages = append(messages, message)
		}
		deployment := workload.Deployment
		if deployment == nil {
			continue
		}
		status.Ready += deployment.Status.ReadyReplicas
		if containers := deployment.Spec.Template.Spec.Containers; len(containers) > 0 && status.Version == "" {
			status.Version = operand.ImageVersion(containers[0].Image, c.Versions)
		}
		if deployment.Spec.Replicas != nil {
			status.Desired += *deployment.Spec.Replicas
		}
	}
	status.Message = text.Shorten(strings.Join(messages, " "), longestMessage)
	return status
}

func verdict(w cluster.Workload) health.Verdict {
	return health.Workload(w.Deployment, w.Pods, w.Missing)
}

func apiStatuses(o Observation) []v1alpha1.APIServiceStatus {
	var statuses []v1alpha1.APIServiceStatus
	for _, api := range metricsapi.All() {
		statuses = append(statuses, apiStatus(o, api))
	}
	return statuses
}

// apiStatus describes one metrics API: as kube-aggregator gives it, or why there is none, or none of ours yet.
func apiStatus(o Observation, api metricsapi.API) v1alpha1.APIServiceStatus {
	status := v1alpha1.APIServiceStatus{Name: api.Name(), Group: api.Group, Version: api.Version, Available: metav1.ConditionUnknown}
	apiService := o.APIServices[api.Name()]
	if apiService == nil || o.justMade(api) {
		status.Reason, status.Message = absence(o, api)
		return status
	}
	status.Owner = ownership.Of(apiService)
	if ownership.Ours(apiService) {
		status.Backend = apiService.Labels[v1alpha1.ComponentLabel]
		status.ServingCertificateExpiry = o.expiry(status.Backend)
	}
	if condition := aggregator.GetAPIServiceConditionByType(apiService, apiregv1.Available); condition != nil {
		status.Available = metav1.ConditionStatus(condition.Status)
		status.Reason, status.Message = condition.Reason, condition.Message
		transition := condition.LastTransitionTime
		status.LastTransitionTime = &transition
	} else {
		status.Reason = v1alpha1.ReasonWaitingForAggregator
		status.Message = "kube-aggregator has not looked at the APIService yet."
	}
	switch contested := o.contest(api); {
	case contested != nil:
		status.Reason, status.Message = v1alpha1.ReasonContested, contested.Error()+"."
	case o.takingOver(api):
		_, waiting := absence(o, api)
		status.Reason = v1alpha1.ReasonWaitingForBackend
		status.Message = fmt.Sprintf("%s serves it until it is taken over. %s", cmp.Or(status.Backend, status.Owner), waiting)
	case status.Available == metav1.ConditionTrue && ownership.Ours(apiService):
		status.Message = strings.TrimSpace(status.Message + " " + o.withoutSource(api))
	case !ownership.Ours(apiService):
		if unserved := o.unserved(api); unserved != "" {
			status.Message = strings.TrimSuffix(status.Message, ".") + ". " + unserved
		}
	}
	return status
}

// justMade is true of an APIService that was made in this reconcile, even if it is available by now. The next one has it own the objects of
// its backend, which keeps their deletion in order, and only then is it reported: nothing is left to be written when Ready is True.
func (o Observation) justMade(api metricsapi.API) bool {
	registration, known := o.registration(api)
	return known && registration.Reason != "" && o.Facts.APIServices[api.Name()] == nil && ownership.Ours(o.APIServices[api.Name()])
}

// unserved says that the rules of an API are in use nowhere, because it has another owner; empty where that is not so, or asked for.
func (o Observation) unserved(api metricsapi.API) string {
	var stated int
	switch api.Group {
	case metricsapi.CustomV1Beta1.Group:
		stated = len(o.Spec.CustomMetrics.Rules)
	case metricsapi.External.Group:
		stated = len(o.Spec.ExternalMetrics.Rules)
	}
	if policy := metricsapi.Options(o.Spec, api.Group).Policy; stated == 0 || policy != v1alpha1.PolicyAuto && policy != "" {
		return ""
	}
	field := metricsapi.Field(api.Group)
	return fmt.Sprintf("What is in %s.rules is not served, because the API has this owner: set %s.policy to TakeOver, which takes the API "+
		"from it, or have it serve these metrics and remove the rules.", field, field)
}

// expiry returns when the certificate that a component serves with ends; nil where that is not known.
func (o Observation) expiry(component string) *metav1.Time {
	c, planned := o.Plan.Component(component)
	if !planned {
		return nil
	}
	for _, certificate := range certificateStatuses(o) {
		if certificate.Name == c.Serving {
			return certificate.Expires.DeepCopy()
		}
	}
	return nil
}

// withoutSource says that the backend of an API answers and has nothing to answer from, or a part of the series alone; empty where
// that is not so. As long as that is not known, it says what the status said. A retained backend queries what it queried before.
func (o Observation) withoutSource(api metricsapi.API) string {
	const (
		none = "Its backend has no usable Prometheus, so metrics may be missing: see the condition PrometheusReady."
		part = "Its backend queries a part of the series, so metrics may be incomplete: see the condition PrometheusReady."
	)
	backend, _ := o.Plan.Backend(api)
	if !o.Planned || !o.queried(api) || backend.Retained != "" {
		return ""
	}
	f, before := prometheusReady(o), o.previously(api).Message
	switch {
	case f.reason == v1alpha1.ReasonPrometheusSharded, f.undecided && strings.HasSuffix(before, part):
		return part
	case f.status == metav1.ConditionFalse, f.undecided && strings.HasSuffix(before, none):
		return none
	}
	return ""
}

// previously is what the status before says of an API.
func (o Observation) previously(api metricsapi.API) v1alpha1.APIServiceStatus {
	for _, status := range o.previous.APIServices {
		if status.Name == api.Name() {
			return status
		}
	}
	return v1alpha1.APIServiceStatus{}
}

// absence is why there is no APIService of ours, as a reason and a message.
func absence(o Observation, api metricsapi.API) (reason, message string) {
	if contested := o.contest(api); contested != nil {
		return v1alpha1.ReasonContested, contested.Error() + "."
	}
	if message := o.terminating(); message != "" {
		return v1alpha1.ReasonTerminating, message
	}
	if omission, omitted := o.Plan.Omitted[api.Name()]; omitted {
		return omission.Reason, omission.Message
	}
	if registration, known := o.registration(api); known && registration.Reason != "" {
		return registration.Reason, registration.Message
	}
	// The ladder ended before, perhaps by a conflict, which is no failure: the previous reason stays.
	before := o.previously(api)
	backend, _ := o.Plan.Backend(api)
	outcome, climbed := o.outcome(backend.Name)
	waited := before.Reason == v1alpha1.ReasonWaitingForBackend || before.Reason == v1alpha1.ReasonDeregistered
	if climbed && len(outcome.Failures) == 0 && before.Owner == "" && waited {
		return before.Reason, before.Message
	}
	return v1alpha1.ReasonWaitingForBackend,
		"The API is registered once its backend serves; an earlier step has failed, see the conditions."
}

// takingOver is true while the APIService of another owner is to become ours, or one of ours is to lead to another component.
func (o Observation) takingOver(api metricsapi.API) bool {
	apiService := o.APIServices[api.Name()]
	if apiService == nil {
		return false
	}
	if ownership.Ours(apiService) {
		leaving, leaves := o.Plan.Leaving(api)
		return leaves && apiService.Labels[v1alpha1.ComponentLabel] == leaving.Name
	}
	_, serves := o.Plan.Backend(api)
	return serves
}

// demanded is the one definition of whether an API that is not available is missed: then that is in APIServicesAvailable and in
// the metric that alerts go by. An API that the spec does without, or another owner's group without this version, is not. Where
// there is an APIService, the reason is none of these, but kube-aggregator's.
func (o Observation) demanded(status v1alpha1.APIServiceStatus) bool {
	if o.Facts.Terminating {
		return true
	}
	disabled := metricsapi.Options(o.Spec, status.Group).Policy == v1alpha1.PolicyDisabled
	return !disabled && status.Reason != v1alpha1.ReasonNoRules && status.Reason != v1alpha1.ReasonServedByOther
}
