// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package prometheusadapter is the operand that serves custom.metrics.k8s.io and external.metrics.k8s.io from Prometheus, by
// rules, and metrics.k8s.io where the spec says so.
package prometheusadapter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// Name of the component, its Deployment and its Service.
const Name = "prometheus-adapter"

// Operand is prometheus-adapter.
type Operand struct {
	// checks remembers the last check of the rules, which may have to query the API server's discovery.
	checks memo
	// derived remembers the rules that follow from what HorizontalPodAutoscalers ask for.
	derived deriver
	// stored and written remember how rules were read and written last.
	stored  recollection
	written writing
}

var _ operand.Operand = (*Operand)(nil)

// New returns the operand.
func New() *Operand { return with(clock.RealClock{}) }

func with(clock clock.PassiveClock) *Operand {
	return &Operand{checks: memo{clock: clock}, derived: deriver{clock: clock}}
}

// Describe implements operand.Operand.
func (*Operand) Describe() operand.Description {
	return operand.Description{
		Catalog: operand.Component{Name: Name, Workloads: []string{Name}, Service: Name, Serving: Name + "-tls",
			AccessSecret: accessSecret, APIs: metricsapi.All(),
			Images: map[string]string{Name: Name}, Files: map[string]string{rules.ConfigFile: ""},
			Variants: []string{operand.HighAvailability, operand.Monitor},
			Guarded:  operand.AggregatedServerFlags()},
		Image:         "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.12.0",
		ImageVariable: "RELATED_IMAGE_PROMETHEUS_ADAPTER",
	}
}

// sections are the two lists of rules, each with the metrics APIs that it fills.
var sections = []struct {
	group string
	apis  []metricsapi.API
}{
	{metricsapi.CustomV1Beta1.Group, []metricsapi.API{metricsapi.CustomV1Beta1, metricsapi.CustomV1Beta2}},
	{metricsapi.External.Group, []metricsapi.API{metricsapi.External}},
}

// Plan implements operand.Operand: it runs when there is a rule, or metrics.k8s.io, for it to serve and a Prometheus to query.
func (o *Operand) Plan(in operand.Input) (operand.Proposal, error) {
	remembered, earlier := o.stored.recall(in.LastGood)
	checked, err := o.checks.check(in, remembered)
	if err != nil && without(in) {
		return operand.Proposal{}, nil
	} else if err != nil {
		return operand.Proposal{}, err
	}
	proposal := operand.Proposal{Omitted: metricsapi.Omissions{}, Removed: checked.removed, RequeueAfter: checked.requeueAfter}
	proposal.Rules, proposal.Uncounted, proposal.Series = checked.judged(in.Facts.Prometheus.Series)
	derived := o.derived.derive(in, checked, earlier).report(&proposal)
	component := o.Describe().Catalog
	resource := resourceMetrics(in)
	proposal.Findings, proposal.Leaving, component.APIs = resource.findings, resource.leaving, resource.apis
	if resource.omission.Reason != "" {
		proposal.Omitted[metricsapi.Resource.Name()] = resource.omission
	}
	total, apis := filled(in, derived.counted(checked.counts), proposal.Omitted)
	total.stated, total.usable = total.stated+resource.stated, total.usable+resource.usable
	component.APIs = append(component.APIs, apis...)
	if total.stated == 0 {
		return proposal, nil
	}
	proposal.Findings = slices.Concat(proposal.Findings, maxAgeFindings(in), accessFindings(in))
	data, err := accessData(in)
	if err != nil {
		return operand.Proposal{}, err
	}
	if proposal.Retained = retainedBecause(total, in); proposal.Retained != "" {
		if digest, _, found := pods(in.LastGood); found && digest == credentialsDigest(in) {
			proposal.Access = data // Of the form that is retained, too.
		}
		for _, api := range resource.apis {
			proposal.Omitted[api.Name()] = metricsapi.Omission{Reason: v1alpha1.ReasonWaitingForBackend, Message: proposal.Retained}
		}
		return proposal, nil
	}
	if proposal.Access = data; data == nil {
		component.AccessSecret = ""
	}
	var config string
	if config, proposal.Memory, err = o.written.write(derived, checked); err != nil {
		return operand.Proposal{}, err
	}
	if len(resource.apis) > 0 {
		if config, err = withResourceRules(config, window(in), in.Facts.Prometheus.Target.Managed); err != nil {
			return operand.Proposal{}, err
		}
	}
	component.Namespace, component.UserPatches = in.Facts.Namespace, in.Spec.Patches
	component.Images = map[string]string{Name: cmp.Or(in.Spec.PrometheusAdapter.Image, in.Image)}
	component.Variants = operand.Variants(in.Spec.PrometheusAdapter.ComponentOptions, in)
	component.Files = map[string]string{rules.ConfigFile: config}
	component.Patches = slices.Concat(
		[]operand.Patch{deployment(in, config).Patch(Name)},
		readerPatches(resource),
		operand.MonitorPatches(Name, in),
		egress(in),
		operand.DNSPatches(Name, in.Spec.NetworkPolicy.DNSPorts),
	)
	proposal.Component = &component
	return proposal, nil
}

// filled returns the metrics APIs that rules fill, and how many rules there are. Of the others it notes why they are omitted.
func filled(in operand.Input, rules map[string]counts, omitted metricsapi.Omissions) (total counts, apis []metricsapi.API) {
	for _, section := range sections {
		if in.Omitted.Withheld(section.apis[0]) {
			continue
		}
		count := rules[section.group]
		total.stated, total.usable = total.stated+count.stated, total.usable+count.usable
		omission, is := omission(section.group, count, in)
		if !is {
			apis = append(apis, section.apis...)
			continue
		}
		for _, api := range section.apis {
			omitted[api.Name()] = omission
		}
	}
	return total, apis
}

// omission returns why the APIs of a section are not registered, if they are not.
func omission(group string, count counts, in operand.Input) (metricsapi.Omission, bool) {
	field := metricsapi.Field(group) + ".rules"
	switch {
	case count.stated == 0:
		return metricsapi.Omission{
			Reason: v1alpha1.ReasonNoRules,
			Message: field + " is empty" + underived(group, in) + ", so the API is not registered and would serve nothing; add a rule to " +
				"register it.",
		}, true
	case count.usable == 0:
		return metricsapi.Omission{
			Reason: v1alpha1.ReasonConfigurationInvalid,
			Message: fmt.Sprintf("None of the %d rules in %s is usable, see status.rules; correct one to register the API.",
				count.stated, field),
		}, true
	}
	return sourceless(in)
}

// underived says that no rule is derived either; empty where none would be.
func underived(group string, in operand.Input) string {
	if !metricsapi.Derives(in.Spec, group) {
		return ""
	}
	return " and no rule follows from what HorizontalPodAutoscalers ask for"
}

// sourceless returns why no API can be served, where there is no Prometheus to query.
func sourceless(in operand.Input) (metricsapi.Omission, bool) {
	switch {
	case in.Facts.Prometheus.Target.URL == "":
		return metricsapi.Omission{
			Reason:  v1alpha1.ReasonWaitingForBackend,
			Message: "There is no Prometheus to query, see the condition PrometheusReady.",
		}, true
	case !in.Facts.Prometheus.Usable(), untried(in):
		return metricsapi.Omission{
			Reason:  v1alpha1.ReasonWaitingForBackend,
			Message: "There is no Prometheus that may be queried yet, see the condition PrometheusReady.",
		}, true
	}
	return metricsapi.Omission{}, false
}

// retainedBecause says why the adapter stays in its last good form although there are rules; empty where it need not. A mistake
// in an address or a token that is not valid yet must not take a working metrics API away.
func retainedBecause(total counts, in operand.Input) string {
	source := in.Facts.Prometheus
	switch {
	case total.usable == 0:
		return Name + ": no rule is usable, see status.rules."
	case !source.Usable():
		return Name + ": it is not known which Prometheus to query, or with what, see the condition PrometheusReady."
	case in.LastGood != nil && !source.Answer.Yes() && !queries(in.LastGood, in):
		present := "its present Prometheus"
		if _, args, found := pods(in.LastGood); found {
			present = strings.TrimPrefix(args[0], sourceFlag)
		}
		return fmt.Sprintf("%s: it keeps querying %s, with what it presents there, until %s answers, see the condition PrometheusReady.",
			Name, present, source.Target.URL)
	case untried(in):
		return fmt.Sprintf("%s: it is given the credentials of spec.prometheus.auth once %s answers, see the condition PrometheusReady.",
			Name, source.Target.URL)
	default:
		return ""
	}
}

// untried is true while the adapter would be the first to present credentials to what may answer with a redirect: it follows those,
// with the token, to any host. The operator, which follows none, queries first. What an adapter in its last good form already
// queries has answered before.
func untried(in operand.Input) bool {
	return in.Spec.Prometheus.Auth != nil && !in.Facts.Prometheus.Answer.Yes() && (in.LastGood == nil || !queries(in.LastGood, in))
}
