// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// rule returns what became of a custom rule.
func rule(id string, state v1alpha1.RuleState, message string) v1alpha1.RuleStatus {
	return v1alpha1.RuleStatus{ID: id, API: metricsapi.CustomV1Beta1.Group, State: state, Message: message}
}

// ruleCases are what may become of rules.
func ruleCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionRulesAccepted
	rejecting := func(reason, says string, added ...v1alpha1.RuleStatus) conditionCase {
		return conditionCase{
			change: func(o *Observation) { o.Plan.Rules = append(o.Plan.Rules, added...) },
			differ: map[string]string{condition: "False " + reason}, ready: reason, kstatus: status.FailedStatus, says: says}
	}
	return map[string]conditionCase{
		"a rule is rejected": rejecting("RulesRejected",
			"Rejected: 1 of 3 rules, see status.rules; the first: rule errors of spec.customMetrics: seriesQuery is wrong.",
			rule("errors", v1alpha1.RuleRejected, "seriesQuery is wrong")),
		"a rule serves in its last good form": rejecting("LastGoodInUse",
			"Rejected: 1 of 3 rules, see status.rules; the first: rule errors of spec.customMetrics: seriesQuery is wrong. "+
				"Each serves in its last good form until it is corrected or removed.",
			rule("errors", v1alpha1.RuleLastGood, "seriesQuery is wrong.")),
		"one rule is rejected, and another serves in its last good form": rejecting("RulesRejected",
			"Rejected: 2 of 4 rules, see status.rules; the first: rule saturation of spec.customMetrics: name.as is wrong. "+
				"In use in their last good form: 1.",
			rule("errors", v1alpha1.RuleLastGood, "seriesQuery is wrong"), rule("saturation", v1alpha1.RuleRejected, "name.as is wrong")),
		"a removed rule serves, since none is usable": {
			change: func(o *Observation) {
				o.Plan.Rules = []v1alpha1.RuleStatus{rule("errors", v1alpha1.RuleRejected, "seriesQuery is wrong")}
				o.Plan.Removed = []v1alpha1.RuleStatus{rule("requests", v1alpha1.RuleLastGood, "removed")}
			},
			differ: map[string]string{condition: "False RulesRejected"}, ready: "RulesRejected", kstatus: status.FailedStatus,
			says: "Rejected: 1 of 1 rules, see status.rules; the first: rule errors of spec.customMetrics: seriesQuery is wrong. " +
				"In use in their last good form: 1."},
		"the rules could not be checked": {
			change: func(o *Observation) {
				o.Spec.CustomMetrics.Rules = make([]v1alpha1.CustomMetricRule, 1)
				o.Plan.Rules = nil
				planOf(o, rulesServer).Retained = "rules-server: what should run is not known: no discovery."
				o.Plan.Findings = []operand.Finding{{Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonRetained,
					Message: "rules-server: what should run is not known: no discovery."}}
			},
			differ: map[string]string{condition: "Unknown Progressing", v1alpha1.ConditionComponentsReady: "False Retained"},
			ready:  "Progressing", kstatus: status.InProgressStatus, says: "The rules have not been checked"},
	}
}

func notFoundError(reason, message string) *prometheus.NotFoundError {
	return &prometheus.NotFoundError{Reason: reason, Message: message}
}

func prometheusCases() map[string]conditionCase {
	failing := func(reason string, kstatus status.Status, says string, change func(*cluster.Prometheus)) conditionCase {
		return conditionCase{
			change: func(o *Observation) { change(&o.Facts.Prometheus) },
			differ: map[string]string{v1alpha1.ConditionPrometheusReady: "False " + reason},
			ready:  reason, kstatus: kstatus, says: says}
	}
	notFound := func(reason, message string) func(*cluster.Prometheus) {
		return func(p *cluster.Prometheus) {
			p.Target, p.NotFound = prometheus.Target{}, notFoundError(reason, message)
		}
	}
	probing := failing("Probing", status.InProgressStatus, "Prometheus monitoring/k8s is being queried at http",
		func(p *cluster.Prometheus) { p.Answer.Known = false })
	probing.differ = map[string]string{v1alpha1.ConditionPrometheusReady: "Unknown Probing"}
	retained := failing("Unreachable", status.InProgressStatus,
		"refused. rules-server stays as it is until then, and queries what it queried before.", nil)
	retained.change = func(o *Observation) {
		o.Facts.Prometheus.Answer.Err = errors.New("refused")
		planOf(o, rulesServer).Retained = "it keeps the present one."
		// This one has nothing to do with Prometheus.
		planOf(o, usageServer).Retained = "what the cluster offers is not known."
	}
	ambiguous := failing("PrometheusAmbiguous", status.FailedStatus, "has 2. rules-server stays as it is until then", nil)
	ambiguous.change = func(o *Observation) {
		notFound(v1alpha1.ReasonPrometheusAmbiguous, "The cluster has 2.")(&o.Facts.Prometheus)
		planOf(o, rulesServer).Retained = "it is not known which Prometheus to query."
	}
	return map[string]conditionCase{
		"Prometheus is being queried": probing,
		"there is no Prometheus": failing("PrometheusNotFound", status.FailedStatus, "no Prometheus object",
			notFound(v1alpha1.ReasonPrometheusNotFound, "The cluster has no Prometheus object.")),
		"there are several": failing("PrometheusAmbiguous", status.FailedStatus, "has 2",
			notFound(v1alpha1.ReasonPrometheusAmbiguous, "The cluster has 2.")),
		"there are several, and a component is retained": ambiguous,
		"Prometheus does not answer": failing("Unreachable", status.InProgressStatus, "Prometheus monitoring/k8s does not answer: refused.",
			func(p *cluster.Prometheus) { p.Answer.Err = errors.New("refused") }),
		"another Prometheus does not answer": retained,
		"a credential is missing": failing("AuthMissing", status.FailedStatus, "there is no Secret x.",
			func(p *cluster.Prometheus) { p.CredentialsMissing = "there is no Secret x" }),
		"the credentials must not be sent": failing("AuthOverHTTP", status.FailedStatus, "not sent over http.",
			func(p *cluster.Prometheus) { p.CredentialsWithheld = "not sent over http" }),
		"Prometheus has several shards": failing("PrometheusSharded", status.FailedStatus,
			"Prometheus monitoring/k8s has spec.shards 2", func(p *cluster.Prometheus) { p.Target.Shards = 2 }),
	}
}

// unusableCases distinguish a Prometheus that a person must act on from one that may yet answer.
func unusableCases() map[string]conditionCase {
	failing := func(reason string, kstatus status.Status, cause prometheus.Cause, given bool, says string) conditionCase {
		return conditionCase{
			change: func(o *Observation) {
				p := &o.Facts.Prometheus
				p.Answer.Err = fmt.Errorf("query http://prometheus%w", &prometheus.UnusableError{Cause: cause})
				if p.Target.Given = given; given {
					p.Target.Origin, p.Target.Namespace = "spec.prometheus.url", ""
				}
			},
			differ: map[string]string{v1alpha1.ConditionPrometheusReady: "False " + reason},
			ready:  reason, kstatus: kstatus, says: says}
	}
	return map[string]conditionCase{
		"Prometheus refuses the credentials": failing("Unauthorized", status.FailedStatus, prometheus.Unauthorized, false,
			"Prometheus monitoring/k8s cannot be queried: query http://prometheus."),
		"Prometheus redirects queries": failing("Redirected", status.FailedStatus, prometheus.Redirected, false,
			"Prometheus monitoring/k8s cannot be queried: "),
		"a NetworkPolicy drops the packets to a Prometheus object": failing("Unreachable", status.InProgressStatus, prometheus.Silent, false,
			"A NetworkPolicy in namespace monitoring is the likely cause, such as that of kube-prometheus; add one there that admits TCP 9090 "+
				"from the pods of namespace metrics with the label app.kubernetes.io/name=metricspipeline-operator (the operator) and those "+
				"with metricspipeline.io/pipeline=default (its components)."),
		"a firewall drops the packets to spec.prometheus.url": failing("Unreachable", status.InProgressStatus, prometheus.Silent, true,
			"spec.prometheus.url does not answer: query http://prometheus."),
		"the host of spec.prometheus.url is unknown": failing("HostUnknown", status.FailedStatus, prometheus.HostUnknown, true,
			"spec.prometheus.url cannot be queried: "),
		"the Service of a Prometheus object has not come": failing("Unreachable", status.InProgressStatus, prometheus.HostUnknown, false,
			"Prometheus monitoring/k8s does not answer: "),
		"the certificate of Prometheus does not verify": failing("Unreachable", status.FailedStatus, prometheus.Untrusted, false,
			"cannot be queried"),
		"what answers is no Prometheus": failing("Unreachable", status.FailedStatus, prometheus.NotPrometheus, true, "cannot be queried"),
		"what answers for a Prometheus object is none yet": failing("Unreachable", status.InProgressStatus, prometheus.NotPrometheus, false,
			"does not answer"),
	}
}

// maxAgeCases are findings that an operand adds to a condition of the report.
func maxAgeCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionPrometheusReady
	tooShort := operand.Finding{Condition: condition, Reason: v1alpha1.ReasonMaxAgeTooShort, Stalled: true,
		Message: "maxAge is 1s and Prometheus monitoring/k8s scrapes every 30s."}
	return map[string]conditionCase{
		"maxAge is below the scrape interval": {
			change: func(o *Observation) { o.Plan.Findings = []operand.Finding{tooShort} },
			differ: map[string]string{condition: "False MaxAgeTooShort"},
			ready:  "MaxAgeTooShort", kstatus: status.FailedStatus, says: strings.TrimSuffix(tooShort.Message, ".")},
		"maxAge is below the scrape interval, and Prometheus does not answer": {
			change: func(o *Observation) {
				o.Plan.Findings, o.Facts.Prometheus.Answer.Err = []operand.Finding{tooShort}, errors.New("refused")
			},
			differ: map[string]string{condition: "False MaxAgeTooShort"},
			ready:  "MaxAgeTooShort", kstatus: status.FailedStatus, says: "does not answer: refused. " + tooShort.Message},
		"the operator's own Prometheus is not wanted any more": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: condition, Reason: v1alpha1.ReasonManagedRemoved, Stalled: true,
					Message: "spec.prometheus.managed was removed."}}
			},
			differ: map[string]string{condition: "False ManagedRemoved"},
			ready:  "ManagedRemoved", kstatus: status.FailedStatus, says: "spec.prometheus.managed was removed"},
		"it has refused its configuration": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: condition, Reason: v1alpha1.ReasonConfigurationRefused, Stalled: true,
					Message: "It refused its configuration."}}
			},
			differ: map[string]string{condition: "False ConfigurationRefused"},
			ready:  "ConfigurationRefused", kstatus: status.FailedStatus, says: "refused its configuration"},
		"it is being set up": {
			change: func(o *Observation) {
				o.Facts.Prometheus.Starting = "Its certificate is not issued yet."
				o.Facts.Prometheus.Target.Origin = prometheus.ManagedField
			},
			differ: map[string]string{condition: "False Progressing"},
			ready:  "Progressing", kstatus: status.InProgressStatus,
			says: "spec.prometheus.managed is being set up. Its certificate is not issued yet."},
		"its object is not made yet": {
			change: func(o *Observation) {
				o.Facts.Prometheus.NotFound = &prometheus.NotFoundError{Starting: true, Message: "The Prometheus object does not exist yet."}
			},
			differ: map[string]string{condition: "False Progressing"},
			ready:  "Progressing", kstatus: status.InProgressStatus, says: "does not exist yet"},
		"it refuses the token, which it reads in a moment": {
			change: func(o *Observation) {
				o.Facts.Prometheus.Target.Managed = true
				o.Facts.Prometheus.Answer.Err = &prometheus.UnusableError{Cause: prometheus.Unauthorized}
			},
			differ: map[string]string{condition: "False Unreachable"},
			ready:  "Unreachable", kstatus: status.InProgressStatus, says: "within two minutes"},
		"metrics.k8s.io is to come from series that are not there": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: condition, Reason: v1alpha1.ReasonResourceSeriesMissing,
					Message: "it has no series for cpu of nodes."}}
			},
			differ: map[string]string{condition: "False ResourceSeriesMissing"},
			ready:  "ResourceSeriesMissing", kstatus: status.InProgressStatus, says: "it has no series for cpu of nodes."},
		"it is not known yet whether series are there": {
			change: func(o *Observation) { o.Facts.Prometheus.Demands = map[string]probe.Answer{rulesServer: {}} },
			differ: map[string]string{condition: "Unknown Probing"},
			ready:  "Probing", kstatus: status.InProgressStatus, says: "is being queried"},
		"an operand adds to what is said": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: condition, Message: "It is old."}}
				o.Facts.Prometheus.Answer.Err = errors.New("refused")
			},
			differ: map[string]string{condition: "False Unreachable"},
			ready:  "Unreachable", kstatus: status.InProgressStatus, says: "does not answer: refused. It is old."},
	}
}

// TestWhereNothingQueriesPrometheus: the condition is True whatever is wrong, since only HorizontalPodAutoscalers, which anyone may write,
// would use it; and it says what is wrong, since it is why no rule follows from them.
func TestWhereNothingQueriesPrometheus(t *testing.T) {
	target := prometheus.Target{URL: "http://prometheus.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s"}
	for want, source := range map[string]cluster.Prometheus{
		"No rule queries Prometheus.": {Target: target, Answer: probe.Answer{Known: true}},
		"No rule queries Prometheus. None follows from HorizontalPodAutoscalers either: There is none; set spec.prometheus.managed: {}.": {
			NotFound: &prometheus.NotFoundError{Message: "There is none; set spec.prometheus.managed: {}."}},
		"No rule queries Prometheus. None follows from HorizontalPodAutoscalers either: Prometheus monitoring/k8s is being set up. It starts.": {
			Target: target, Starting: "It starts."},
		"No rule queries Prometheus. None follows from HorizontalPodAutoscalers either: it would be sent over http.": {
			Target: target, CredentialsWithheld: "it would be sent over http"},
		"No rule queries Prometheus. None follows from HorizontalPodAutoscalers either: Secret token does not exist.": {
			Target: target, CredentialsMissing: "Secret token does not exist"},
		"No rule queries Prometheus. None follows from HorizontalPodAutoscalers either: Prometheus monitoring/k8s does not answer: 401.": {
			Target: target, Answer: probe.Answer{Known: true, Err: errors.New("401")}},
	} {
		got := prometheusReady(Observation{Facts: cluster.Facts{Prometheus: source, Asked: slices.Grow(cluster.Facts{}.Asked, 1)[:1]}})
		if got.status != metav1.ConditionTrue || got.reason != v1alpha1.ReasonNotRequired || got.message != want {
			t.Errorf("%s %s: %s\nwant %s", got.status, got.reason, got.message, want)
		}
		if got := prometheusReady(Observation{Facts: cluster.Facts{Prometheus: source}}).message; source.NotFound == nil &&
			got != "No rule queries Prometheus." {
			t.Errorf("where no HPA asks for a metric: %s", got)
		}
	}
}
