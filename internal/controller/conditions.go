// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/health"
)

// finding is what one condition has to say.
type finding struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	// stalled is true when only a person can mend it.
	stalled bool
}

func met(reason, message string) finding {
	return finding{status: metav1.ConditionTrue, reason: reason, message: message}
}

func unmet(reason, message string) finding {
	return finding{status: metav1.ConditionFalse, reason: reason, message: message}
}

func unclear(reason, message string) finding {
	return finding{status: metav1.ConditionUnknown, reason: reason, message: message}
}

func stalled(reason, message string) finding {
	return finding{status: metav1.ConditionFalse, reason: reason, message: message, stalled: true}
}

// parts are the conditions that Ready is the conjunction of, in the order of cause and effect: the first that is not met
// is what Ready speaks of.
var parts = []struct {
	condition string
	find      func(observation) finding
}{
	{v1alpha1.ConditionAggregationLayerReady, aggregationLayer},
	{v1alpha1.ConditionRulesAccepted, rulesAccepted},
	{v1alpha1.ConditionPrometheusReady, prometheusReady},
	{v1alpha1.ConditionScrapeReady, scrapeReady},
	{v1alpha1.ConditionCertificatesReady, certificatesReady},
	{v1alpha1.ConditionComponentsReady, componentsReady},
	{v1alpha1.ConditionAPIServicesAvailable, apiServicesAvailable},
}

// setConditions sets every condition.
func setConditions(status *v1alpha1.MetricsPipelineStatus, o observation) {
	set := func(condition string, f finding) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: condition, Status: f.status, Reason: f.reason, Message: shortened(f.message, longestMessage),
			ObservedGeneration: o.generation})
	}
	var first, firstStalled *finding
	for _, part := range parts {
		f := part.find(o)
		before := meta.FindStatusCondition(status.Conditions, part.condition)
		if !o.planned && before != nil && (o.terminating == "" || part.condition != v1alpha1.ConditionAPIServicesAvailable) {
			f = finding{status: before.Status, reason: before.Reason, message: before.Message}
		}
		if failure := o.failure; failure != nil && failure.condition == part.condition {
			f = finding{status: metav1.ConditionFalse, reason: failure.reason, message: failure.Error(), stalled: failure.stalled}
		}
		set(part.condition, f)
		if f.reason == v1alpha1.ReasonCRDsMissing {
			continue // The metrics APIs do without monitors, so Ready does not depend on it.
		}
		if f.status != metav1.ConditionTrue && first == nil {
			first = &f
		}
		if f.stalled && firstStalled == nil {
			firstStalled = &f
		}
	}

	ready := met(v1alpha1.ReasonReady, readyMessage(o))
	reconciling := unmet(v1alpha1.ReasonSettled, "There is nothing left to do.")
	stalledCondition := unmet(v1alpha1.ReasonNotStalled, "Nothing waits for a person.")
	switch {
	case firstStalled != nil && o.terminating == "":
		ready = unmet(firstStalled.reason, firstStalled.message)
		stalledCondition = met(firstStalled.reason, firstStalled.message)
		reconciling = unmet(v1alpha1.ReasonSettled, "What is left waits for a person, see Stalled.")
	case o.terminating != "":
		ready = unmet(v1alpha1.ReasonTerminating, o.terminating)
		reconciling = met(v1alpha1.ReasonProgressing, o.terminating)
	case first != nil:
		ready = unmet(first.reason, first.message)
		reconciling = met(v1alpha1.ReasonProgressing, first.message)
	}
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionReconciling, reconciling)
	set(v1alpha1.ConditionStalled, stalledCondition)
}

// longestMessage bounds a condition's message, in bytes: far more than anybody reads, and well below the 32768 characters
// above which the API server refuses the whole status. An error about a patch may repeat the patch, of up to 64 KiB.
const longestMessage = 4096

// shortened returns the beginning of a text that is longer than most bytes, cut between characters.
func shortened(text string, most int) string {
	const omission = "..."
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(omission)], "") + omission
}

// readyMessage says which metrics APIs work, and what a person should know all the same.
func readyMessage(o observation) string {
	var groups []string
	for _, observed := range o.apis {
		if apiStatus(observed, o).Available == metav1.ConditionTrue && (len(groups) == 0 || groups[len(groups)-1] != observed.api.Group) {
			groups = append(groups, observed.api.Group)
		}
	}
	message := "No metrics API is wanted."
	if len(groups) > 0 {
		message = "Available: " + strings.Join(groups, ", ") + "."
	}
	if o.insecureKubelets {
		message += " metricsServer.kubelet.tls.verification is Insecure: nothing verifies that the numbers come from the kubelets."
	}
	return message
}

func aggregationLayer(o observation) finding {
	if !o.requestHeaderCA {
		return stalled(v1alpha1.ReasonRequestHeaderCAMissing, fmt.Sprintf(
			"ConfigMap %s/%s has no %s, so no metrics API can authenticate the API server's requests; start kube-apiserver with "+
				"--requestheader-client-ca-file, --proxy-client-cert-file and --proxy-client-key-file.",
			authenticationNamespace, authenticationConfigMap, requestHeaderCAKey))
	}
	return met(v1alpha1.ReasonRequestHeaderCAFound, "The API server publishes its request header CA.")
}

func rulesAccepted(o observation) finding {
	rejected := o.rules.rejected
	switch {
	case len(rejected) > 0:
		return stalled(v1alpha1.ReasonRulesRejected, fmt.Sprintf("%d of %d rules left out, see status.rules; the first: %s (%s): %s",
			len(rejected), o.rules.stated, rejected[0].ID, rejected[0].API, rejected[0].Message))
	case o.rules.stated == 0:
		return met(v1alpha1.ReasonAllAccepted, "There is no rule.")
	case o.prometheus.notFound != nil, o.prometheus.authMissing != "", o.prometheus.kept:
		// The adapter stays as it is, and has the rules that it had.
		return met(v1alpha1.ReasonAllAccepted, fmt.Sprintf(
			"All %d rules are accepted. Those that changed are in use as soon as PrometheusReady is True.", o.rules.stated))
	default:
		return met(v1alpha1.ReasonAllAccepted, fmt.Sprintf("All %d rules are in use.", o.rules.stated))
	}
}

func prometheusReady(o observation) finding {
	p := o.prometheus
	switch {
	case !p.required:
		return met(v1alpha1.ReasonNotRequired, "No rule asks Prometheus.")
	case p.notFound != nil:
		return stalled(p.notFound.Reason, p.notFound.Message)
	case p.authMissing != "":
		return stalled(v1alpha1.ReasonAuthMissing, p.authMissing+".")
	case p.answer.Err != nil:
		message := fmt.Sprintf("%s does not answer: %v.", p.target.Origin, p.answer.Err)
		if p.kept {
			message += " The adapter stays as it is until then, and asks what it asked before."
		}
		return unmet(v1alpha1.ReasonUnreachable, message)
	case !p.answer.Known:
		return unclear(v1alpha1.ReasonProbing, fmt.Sprintf("%s is being asked at %s.", p.target.Origin, p.target.URL))
	case p.maxAge > 0 && p.maxAge < p.target.ScrapeInterval:
		return stalled(v1alpha1.ReasonMaxAgeTooShort, fmt.Sprintf(
			"prometheusAdapter.maxAge is %s and %s scrapes every %s, so metrics vanish between two scrapes; raise maxAge, or leave it "+
				"unset.",
			p.maxAge, p.target.Origin, p.target.ScrapeInterval))
	default:
		return met(v1alpha1.ReasonReachable, fmt.Sprintf("%s answers at %s.", p.target.Origin, p.target.URL))
	}
}

func scrapeReady(o observation) finding {
	switch {
	case o.scrape.Met:
		return met(o.scrape.Reason, o.scrape.Message)
	case o.scrape.Reason == v1alpha1.ReasonCRDsMissing, o.scrape.Reason == v1alpha1.ReasonMonitorsFailed:
		return unmet(o.scrape.Reason, o.scrape.Message)
	default:
		return stalled(o.scrape.Reason, o.scrape.Message)
	}
}

func certificatesReady(o observation) finding {
	c := o.certificates
	lacking := strings.Join(c.lacking, " ")
	switch {
	case !c.looked:
		return unclear(v1alpha1.ReasonProgressing, "The certificates have not been looked at, because an earlier step failed.")
	case c.certManagerMissing:
		return stalled(v1alpha1.ReasonCertManagerMissing, "spec.certificates asks for cert-manager and the cluster does not know its "+
			"Certificates and Issuers; install cert-manager, or set spec.certificates.provider to BuiltIn without issuerRef.")
	case c.withoutCA:
		return stalled(v1alpha1.ReasonIssuerWithoutCA, certs.ErrWithoutAuthority.Error()+".")
	case len(c.overdue) > 0:
		return stalled(v1alpha1.ReasonRenewalOverdue, fmt.Sprintf("The certificate in %s should long have been renewed. %s",
			strings.Join(c.overdue, ", "), lacking))
	case c.waiting:
		return unmet(v1alpha1.ReasonIssuing, lacking)
	case len(c.rotating) > 0:
		return met(v1alpha1.ReasonRotating, fmt.Sprintf("Every component has a current serving certificate. An earlier authority of %s "+
			"is trusted as well until every pod serves it.", strings.Join(c.rotating, ", ")))
	}
	message := "Every component has a current serving certificate."
	if lacking != "" {
		message += " The operator's own authority stands in for cert-manager. " + lacking
	}
	return met(v1alpha1.ReasonIssued, message)
}

func componentsReady(o observation) finding {
	var lacking []string
	failed := false
	for _, c := range o.components {
		verdict := health.Workload(c.deployment, c.pods, nil)
		if verdict.State != health.Current {
			lacking = append(lacking, c.name+": "+verdict.Message)
			failed = failed || verdict.State == health.Failed || verdict.State == health.Stuck
		}
	}
	contested := componentContests(o)
	switch {
	case len(contested) > 0:
		return stalled(v1alpha1.ReasonContested, strings.Join(append(contested, lacking...), " "))
	case len(lacking) == 0:
		return met(v1alpha1.ReasonAllAvailable, "Every component runs with all its pods.")
	case failed:
		return stalled(v1alpha1.ReasonUnavailable, strings.Join(lacking, " "))
	default:
		return unmet(v1alpha1.ReasonUnavailable, strings.Join(lacking, " "))
	}
}

// componentContests says what is contested but for APIServices, which have a condition of their own.
func componentContests(o observation) []string {
	var contests []string
	for _, contested := range o.contested {
		if !strings.HasPrefix(contested.Object, apiServiceKind.Kind+" ") {
			contests = append(contests, contested.Error()+".")
		}
	}
	return contests
}

func apiServicesAvailable(o observation) finding {
	var first *finding
	for _, observed := range o.apis {
		status := apiStatus(observed, o)
		waitsForPerson := status.Reason == v1alpha1.ReasonContested || status.Reason == v1alpha1.ReasonNotServed
		works := status.Available == metav1.ConditionTrue && !observed.takingOver() && !waitsForPerson
		if works || !observed.demanded() {
			continue
		}
		f := unmet(status.Reason, fmt.Sprintf("%s: %s", status.Name, status.Message))
		if f.stalled = waitsForPerson; f.stalled {
			return f
		}
		if first == nil {
			first = &f
		}
	}
	if first != nil {
		return *first
	}
	return met(v1alpha1.ReasonAllAvailable, "Every wanted metrics API answers.")
}
