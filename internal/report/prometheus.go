// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// operatorName is the value of the label app.kubernetes.io/name on the operator's own pods.
const operatorName = "metricspipeline-operator"

// prometheusStatus is the source of metrics. While a chosen object does not exist, the status keeps it: no other takes its place,
// also after a restart.
func prometheusStatus(o Observation) *v1alpha1.PrometheusStatus {
	p := o.Facts.Prometheus
	if p.Target.URL != "" || p.Target.Chosen != nil {
		return &v1alpha1.PrometheusStatus{URL: p.Target.URL, Origin: p.Target.Origin, Chosen: p.Target.Chosen.DeepCopy(),
			Version: prometheusVersion(o)}
	}
	if p.Chosen != nil && equality.Semantic.DeepEqual(p.Chosen, prometheus.Chosen(o.previous)) {
		return o.previous.Prometheus.DeepCopy()
	}
	return nil
}

// prometheusVersion is what is known of the version of what answers at the URL; empty for nothing.
func prometheusVersion(o Observation) string {
	target := o.Facts.Prometheus.Target
	switch {
	case target.Given: // The object is that of who scrapes.
		return ""
	case target.Managed && target.ScrapeConfigs:
		for _, component := range componentStatuses(o) {
			if component.Name == prometheus.ManagedName {
				return component.Version
			}
		}
	}
	return target.Version
}

func prometheusReady(o Observation) finding {
	p := o.Facts.Prometheus
	kept := ""
	if c, retained := o.retained(); retained {
		kept = " " + c.Name + " stays as it is until then, and queries what it queried before."
	}
	switch {
	case !p.Required && len(o.Plan.Derived) == 0:
		return met(v1alpha1.ReasonNotRequired, strings.TrimSpace("No rule queries Prometheus. "+underivable(o.Facts)))
	case p.NotFound != nil && p.NotFound.Starting:
		return unmet(v1alpha1.ReasonProgressing, p.NotFound.Message+kept)
	case p.Starting != "":
		return unmet(v1alpha1.ReasonProgressing, fmt.Sprintf("%s is being set up. %s", p.Target.Origin, p.Starting)+kept)
	case p.NotFound != nil:
		return stalled(p.NotFound.Reason, p.NotFound.Message+kept)
	case p.CredentialsWithheld != "":
		return stalled(v1alpha1.ReasonAuthOverHTTP, p.CredentialsWithheld+"."+kept)
	case p.CredentialsMissing != "":
		return stalled(v1alpha1.ReasonAuthMissing, p.CredentialsMissing+"."+kept)
	case p.Answer.Err != nil:
		return unanswered(o, kept)
	case !p.Answer.Known || seriesUnknown(p):
		return probing(o)
	}
	if message := p.Target.PartialAnswers(); message != "" {
		return stalled(v1alpha1.ReasonPrometheusSharded, message)
	}
	message := fmt.Sprintf("%s answers at %s.", p.Target.Origin, p.Target.URL)
	if shards := p.Target.TakenForWhole(); shards != "" {
		message += " " + shards
	}
	if p.Target.Others {
		message += " It stays in use although there are other Prometheus objects; to use one of them, name it in spec.prometheus.ref."
	}
	return met(v1alpha1.ReasonReachable, message)
}

// underivable says why no rule can follow from a HorizontalPodAutoscaler; empty where one can. It is no state of its own: who may write an
// HPA must not change whether the pipeline is Ready. That there is no Prometheus is said in any case, and how to get one.
func underivable(facts cluster.Facts) string {
	const none = "None follows from HorizontalPodAutoscalers either: "
	switch p := facts.Prometheus; {
	case p.NotFound != nil:
		return none + p.NotFound.Message
	case len(facts.Asked) == 0:
		return "" // Nothing would query it.
	case p.Starting != "":
		return none + fmt.Sprintf("%s is being set up. %s", p.Target.Origin, p.Starting)
	case p.CredentialsWithheld != "":
		return none + p.CredentialsWithheld + "."
	case p.CredentialsMissing != "":
		return none + p.CredentialsMissing + "."
	case p.Answer.Err != nil:
		return none + fmt.Sprintf("%s does not answer: %v.", p.Target.Origin, p.Answer.Err)
	}
	return ""
}

// seriesUnknown is true until it is known whether Prometheus has the series that operands demand.
func seriesUnknown(p cluster.Prometheus) bool {
	for _, answer := range p.Demands {
		if !answer.Known {
			return true
		}
	}
	return false
}

// unanswered is the finding that Prometheus gave no usable answer: stalled where a person must act, else it may pass by itself.
func unanswered(o Observation, kept string) finding {
	p := o.Facts.Prometheus
	var unusable *prometheus.UnusableError
	if !errors.As(p.Answer.Err, &unusable) || p.Target.Managed || !unusable.Stuck(p.Target.Given) {
		message := fmt.Sprintf("%s does not answer: %v.", p.Target.Origin, p.Answer.Err)
		switch {
		case p.Target.Managed && unusable != nil && unusable.Cause == prometheus.Unauthorized: // Nobody can put another one there.
			message = fmt.Sprintf("%s refuses the token of Secret %s/%s: a new one reaches its pods within two minutes.", p.Target.Origin,
				o.Facts.Namespace, cluster.ManagedSecret)
			return unmet(v1alpha1.ReasonUnreachable, message+kept)
		case p.Target.Managed:
			return unmet(v1alpha1.ReasonUnreachable, message+" How it starts, the condition ComponentsReady says; a new certificate "+
				"reaches its pods within two minutes."+kept)
		}
		if unusable != nil && unusable.Cause == prometheus.Silent {
			message += filtered(o)
		}
		return unmet(v1alpha1.ReasonUnreachable, message+kept)
	}
	message := fmt.Sprintf("%s cannot be queried: %v.", p.Target.Origin, p.Answer.Err) + kept
	switch unusable.Cause {
	case prometheus.Unauthorized:
		return stalled(v1alpha1.ReasonUnauthorized, message)
	case prometheus.Redirected:
		return stalled(v1alpha1.ReasonRedirected, message)
	case prometheus.HostUnknown:
		return stalled(v1alpha1.ReasonHostUnknown, message)
	default:
		return stalled(v1alpha1.ReasonUnreachable, message)
	}
}

// filtered names what most often drops the packets to a Prometheus in the cluster: kube-prometheus comes with a NetworkPolicy that
// admits its own namespace alone. The operator may not list the policies of other namespaces, so it cannot be sure.
func filtered(o Observation) string {
	target := o.Facts.Prometheus.Target
	parsed, err := url.Parse(target.URL)
	if err != nil || target.Namespace == "" {
		return ""
	}
	return fmt.Sprintf(" A NetworkPolicy in namespace %s is the likely cause, such as that of kube-prometheus; add one there that "+
		"admits TCP %s from the pods of namespace %s with the label app.kubernetes.io/name=%s (the operator) and those with %s=%s "+
		"(its components).", target.Namespace, parsed.Port(), o.Facts.Namespace, operatorName,
		v1alpha1.ManagedLabel, v1alpha1.SingletonName)
}

// probing is undecided after a start: the previous condition stays until the Prometheus answers otherwise.
func probing(o Observation) finding {
	p := o.Facts.Prometheus
	f := unclear(v1alpha1.ReasonProbing, fmt.Sprintf("%s is being queried at %s.", p.Target.Origin, p.Target.URL))
	before := meta.FindStatusCondition(o.previous.Conditions, v1alpha1.ConditionPrometheusReady)
	unqueried := []string{v1alpha1.ReasonNotRequired, v1alpha1.ReasonAuthMissing, v1alpha1.ReasonAuthOverHTTP}
	queried := before != nil && !slices.Contains(unqueried, before.Reason)
	f.undecided = queried && o.previous.Prometheus != nil && o.previous.Prometheus.URL == p.Target.URL
	return f
}
