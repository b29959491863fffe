// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// configMaps are the kind in which the API server publishes its request header CA.
var configMaps = corev1.SchemeGroupVersion.WithKind("ConfigMap").GroupKind()

func aggregationLayer(o Observation) finding {
	if o.Facts.RequestHeaderCA {
		return met(v1alpha1.ReasonRequestHeaderCAFound, "The API server publishes its request header CA.")
	}
	for _, problem := range o.Facts.Problems {
		var unreadable *cluster.UnreadableError
		if errors.As(problem, &unreadable) && unreadable.Kind.GroupKind() == configMaps {
			f := stalled(v1alpha1.ReasonUnreadable, problem.Error()+".")
			f.undecided = unreadable.Pending
			return f
		}
	}
	return stalled(v1alpha1.ReasonRequestHeaderCAMissing, fmt.Sprintf(
		"ConfigMap %s/%s has no %s, so no metrics API can authenticate the API server's requests; start kube-apiserver with "+
			"--requestheader-client-ca-file, --proxy-client-cert-file and --proxy-client-key-file.",
		cluster.AuthenticationNamespace, cluster.AuthenticationConfigMap, cluster.RequestHeaderCAKey))
}

func rulesAccepted(o Observation) finding {
	rules, totals := ruleStatuses(o.rules(), nil)
	stated := len(o.Plan.Rules)
	switch {
	case !o.rulesKnown():
		return undecided("The rules have not been checked, see the condition ComponentsReady.")
	case stated == 0:
		return met(v1alpha1.ReasonAllAccepted, "There is no rule.")
	case totals.Rejected+totals.LastGood > 0:
		field := metricsapi.Field(rules[0].API)
		message := fmt.Sprintf("Rejected: %d of %d rules, see status.rules; the first: rule %s of %s: %s.",
			totals.Rejected+totals.LastGood, stated, rules[0].ID, field, strings.TrimSuffix(rules[0].Message, "."))
		if totals.Rejected == 0 {
			return stalled(v1alpha1.ReasonLastGoodInUse, message+" Each serves in its last good form until it is corrected or removed.")
		}
		if lastGood := int(totals.LastGood) + len(o.Plan.Removed); lastGood > 0 {
			message += fmt.Sprintf(" In use in their last good form: %d.", lastGood)
		}
		return stalled(v1alpha1.ReasonRulesRejected, message)
	}
	message := fmt.Sprintf("All %d rules are accepted. Those that changed are in use as soon as ", stated)
	kept, retained := o.retained()
	switch p := o.Facts.Prometheus; {
	case !p.Usable(), retained && !p.Answer.Yes():
		// The component stays as it is, and has the rules that it had.
		message += "PrometheusReady is True."
	case retained:
		message += kept.Name + " is retained no longer: " + kept.Retained
	default:
		message = fmt.Sprintf("All %d rules are in use.", stated)
	}
	return met(v1alpha1.ReasonAllAccepted, message+warned(rules, totals))
}

func scrapeReady(o Observation) finding {
	switch {
	case o.Scrape == nil:
		return undecided("The annotated apps are being read.")
	case !o.Scrape.Current:
		return unclear(v1alpha1.ReasonProgressing, "The change of spec.scrape is being taken up.")
	case o.Scrape.Met:
		return met(o.Scrape.Reason, o.Scrape.Message)
	case o.aside(o.Scrape.Reason), o.Scrape.Reason == v1alpha1.ReasonMonitorsFailed:
		return unmet(o.Scrape.Reason, o.Scrape.Message)
	default:
		return stalled(o.Scrape.Reason, o.Scrape.Message)
	}
}

// certificates joins the states of the certificates of all components.
type certificates struct {
	unknown, managerMissing, withoutCA, waiting bool
	lacking, overdue, rotating                  []string
}

func (o Observation) certificates() certificates {
	var all certificates
	for _, c := range o.Plan.Components {
		if c.Serving == "" || c.Condition != "" {
			continue
		}
		outcome, _ := o.outcome(c.Name)
		in := outcome.Certificate
		all.unknown = all.unknown || !in.Known
		all.managerMissing = all.managerMissing || in.ManagerMissing
		all.withoutCA = all.withoutCA || in.WithoutCA
		all.waiting = all.waiting || in.Waiting
		if in.Lacking != "" {
			all.lacking = append(all.lacking, strings.TrimSuffix(in.Lacking, ".")+".")
		}
		if in.Overdue {
			all.overdue = append(all.overdue, c.Serving)
		}
		if in.Rotating {
			all.rotating = append(all.rotating, c.Name)
		}
	}
	return all
}

func certificatesReady(o Observation) finding {
	c := o.certificates()
	lacking := strings.Join(c.lacking, " ")
	switch {
	case c.managerMissing:
		return stalled(v1alpha1.ReasonCertManagerMissing, "spec.certificates names cert-manager and the cluster does not serve its "+
			"Certificates and Issuers; install cert-manager, or set spec.certificates.provider to BuiltIn without issuerRef.")
	case c.withoutCA:
		return stalled(v1alpha1.ReasonIssuerWithoutCA, certs.ErrWithoutAuthority.Error()+".")
	case len(c.overdue) > 0:
		return stalled(v1alpha1.ReasonRenewalOverdue, strings.TrimSpace(fmt.Sprintf("The renewal of the certificate in %s is overdue. %s",
			strings.Join(c.overdue, ", "), lacking)))
	case c.waiting:
		return unmet(v1alpha1.ReasonIssuing, lacking)
	case c.unknown:
		return undecided("The certificates have not been looked at, because an earlier step failed.")
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

func componentsReady(o Observation) finding {
	var missing, unready []string
	worst := health.Current
	for _, c := range o.Plan.Components {
		workloads := o.Workloads[c.Name]
		if !running(c, workloads) {
			continue
		}
		for _, workload := range workloads {
			verdict := verdict(workload)
			if verdict.State != health.Current {
				missing = append(missing, workload.Name+": "+verdict.Message)
				worst = max(worst, verdict.State)
				unready = append(unready, c.Name)
			}
		}
	}
	contested := o.contests(v1alpha1.ConditionComponentsReady)
	message := strings.Join(append(contested, missing...), " ")
	switch {
	case len(contested) > 0:
		return stalled(v1alpha1.ReasonContested, message)
	case len(missing) == 0 && !o.Planned:
		return undecided("The cluster is being read.")
	case len(missing) == 0:
		return met(v1alpha1.ReasonAllAvailable, "Every component runs with all its pods.")
	}
	f := unmet(v1alpha1.ReasonUnavailable, message)
	switch worst {
	case health.Stuck:
		f = stalled(v1alpha1.ReasonWorkloadStuck, message)
	case health.Failed:
		f = stalled(v1alpha1.ReasonUnavailable, message)
	}
	for _, component := range unready {
		f = unreadKubelets(o, component, f)
	}
	return f
}

// monitoringReady is no part of Ready. What is in place, and what is not selected, the operand says.
func monitoringReady(o Observation) finding {
	if contested := o.contests(v1alpha1.ConditionMonitoringReady); len(contested) > 0 {
		return unmet(v1alpha1.ReasonContested, strings.Join(contested, " "))
	}
	found := met(v1alpha1.ReasonMonitoringOff, "Nothing monitors the stack.")
	for _, c := range o.Plan.Components {
		if c.Condition != v1alpha1.ConditionMonitoringReady {
			continue
		}
		outcome, _ := o.outcome(c.Name)
		switch in := outcome.Certificate; {
		case c.Serving != "" && in.InUse.Name == "" && !in.Known:
			return undecided("The certificate of the metrics endpoint has not been looked at, because an earlier step failed.")
		case c.Serving != "" && in.InUse.Name == "":
			return unmet(v1alpha1.ReasonIssuing,
				cmp.Or(in.Lacking, "The certificate of the metrics endpoint is not issued, see CertificatesReady."))
		}
		found = met(v1alpha1.ReasonInPlace, "The stack is monitored.")
	}
	return found
}

func apiServicesAvailable(o Observation) finding {
	var first *finding
	for _, api := range metricsapi.All() {
		status := apiStatus(o, api)
		blocked := status.Reason == v1alpha1.ReasonContested || status.Reason == v1alpha1.ReasonNotServed
		works := status.Available == metav1.ConditionTrue && !o.takingOver(api) && !blocked
		if works || !o.demanded(status) {
			continue
		}
		f := unmet(status.Reason, fmt.Sprintf("%s: %s", status.Name, status.Message))
		if f.stalled = blocked; f.stalled {
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
