// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Plan is what should exist.
type Plan struct {
	// Components to run.
	Components []Planned
	// Omitted says why metrics APIs are not registered by us.
	Omitted metricsapi.Omissions
	// Rules of the spec, and what became of each.
	Rules []v1alpha1.RuleStatus
	// Removed are rules that serve although the spec does not have them any more.
	Removed []v1alpha1.RuleStatus
	// Series are selectors whose series Prometheus is to count for a later plan, and Uncounted the rules that wait for that.
	Series    []prometheus.Selector
	Uncounted []RuleName
	// Derived are the rules that follow from what HorizontalPodAutoscalers ask for, Derivation is how they do, and Names are the selectors
	// that this takes.
	Derived    []v1alpha1.RuleStatus
	Derivation *derive.State
	Names      []prometheus.Selector
	// Findings of the operands.
	Findings []Finding
	// RequeueAfter is when to plan again where nothing brings an event; 0 is never.
	RequeueAfter time.Duration
}

// planAgain is when an operand that could not plan plans again: what was missing, such as an answer of the API server's discovery,
// may bring no event.
const planAgain = 30 * time.Second

// Planned is a component of a plan.
type Planned struct {
	Component
	// Leaving are those of its metrics APIs that another component of the plan, or one that cannot run yet, is to serve: they lead
	// here until that one does.
	Leaving []metricsapi.API
	// Retained says why the component is kept in its last good form; empty where it is what the spec wants.
	Retained string
	// LastGood is the form that is stored; nil for none. A retained component without one stays as it runs.
	LastGood *LastGood
	// Access is the data of its AccessSecret; nil where that stays as it is.
	Access map[string][]byte
	// Memory to store with the form.
	Memory []byte
	// Kubelets is how the component reads the kubelets; nil where it does not, and where it is retained.
	Kubelets *kubelet.Access
}

// AccessObject returns the Secret with what the component presents to what it queries. It has the operator's label, so nothing in a
// spec may name it.
func (p Planned) AccessObject() *unstructured.Unstructured {
	data := map[string]any{}
	for key, value := range p.Access {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"name": p.AccessSecret, "namespace": p.Namespace},
		"type":       string(corev1.SecretTypeOpaque),
		"data":       data,
	}}
	object.SetLabels(ownership.Labels(p.Name))
	return object
}

// Request is what a plan is made from.
type Request struct {
	Spec     v1alpha1.MetricsPipelineSpec
	Facts    cluster.Facts
	Operands []Operand
	// Images are the default images, by the operand's name.
	Images map[string]string
	// LastGood are the stored forms, and Running is true of components of which something runs, by name.
	LastGood map[string]*LastGood
	Running  map[string]bool
}

// For returns what should exist. An operand that cannot plan retains what it has, and the others are planned.
func For(request Request) Plan {
	withheld := metricsapi.Withhold(request.Spec, request.Facts.Foreign())
	plan := Plan{Omitted: maps.Clone(withheld)}
	input := Input{Spec: metricsapi.InForce(request.Spec), Facts: request.Facts, Omitted: withheld}
	for _, operand := range request.Operands {
		catalog := operand.Describe().Catalog
		name := catalog.Name
		input.Image, input.LastGood = request.Images[name], request.LastGood[name]
		proposal, err := operand.Plan(input)
		if err != nil {
			proposal = unplanned(name, catalog.APIs, withheld, err)
		}
		if request.Facts.Incomplete && proposal.Component != nil && input.LastGood != nil {
			proposal.Retained = name + ": what the cluster offers is not known in full, see the condition ComponentsReady."
		}
		maps.Copy(plan.Omitted, proposal.Omitted)
		plan.Rules = append(plan.Rules, proposal.Rules...)
		plan.Removed = append(plan.Removed, proposal.Removed...)
		plan.Series = append(plan.Series, proposal.Series...)
		plan.Uncounted = append(plan.Uncounted, proposal.Uncounted...)
		plan.Derived = append(plan.Derived, proposal.Derived...)
		plan.Names = append(plan.Names, proposal.Names...)
		if proposal.Derivation != nil {
			plan.Derivation = proposal.Derivation
		}
		plan.Findings = append(plan.Findings, proposal.Findings...)
		plan.RequeueAfter = Sooner(plan.RequeueAfter, proposal.RequeueAfter)
		switch {
		case proposal.Retained != "":
			if kept, ok := retained(catalog, input, request.Running[name], plan.Omitted); ok {
				kept.Retained, kept.Access, kept.Leaving = proposal.Retained, proposal.Access, proposal.Leaving
				plan.Components = append(plan.Components, kept)
			}
		case proposal.Component != nil:
			plan.Components = append(plan.Components,
				Planned{Component: *proposal.Component, Leaving: proposal.Leaving, LastGood: input.LastGood, Access: proposal.Access,
					Memory: proposal.Memory, Kubelets: proposal.Kubelets})
		}
	}
	plan.Components = oneBackend(plan.Components, request.Facts)
	for _, c := range plan.Components {
		for _, api := range c.APIs {
			if !slices.Contains(c.Leaving, api) {
				delete(plan.Omitted, api.Name()) // What worked is retained.
			}
		}
	}
	return plan
}

// oneBackend gives each metrics API one backend. Another component that has it keeps it as long as our APIService leads there, since
// the API must not be without one that serves, and is leaving it.
func oneBackend(all []Planned, facts cluster.Facts) []Planned {
	settled := slices.Clone(all)
	for i, c := range all {
		settled[i].APIs, settled[i].Leaving = nil, nil
		for _, api := range c.APIs {
			succeeded := false
			for j, other := range all {
				succeeded = succeeded || j != i && slices.Contains(other.APIs, api) && succeeds(other, c, api, facts, j < i)
			}
			if succeeded && !facts.Leads(api, c.Service) {
				continue
			}
			settled[i].APIs = append(settled[i].APIs, api)
			if succeeded || slices.Contains(c.Leaving, api) {
				settled[i].Leaving = append(settled[i].Leaving, api)
			}
		}
	}
	return settled
}

// succeeds is true where an API that two components have is to be the first one's: the second is leaving it, or has it from its last
// good form alone. Where that is so of both, what is wanted is not known, and the API stays where it leads.
func succeeds(first, second Planned, api metricsapi.API, facts cluster.Facts, before bool) bool {
	for _, differs := range []func(Planned) bool{
		func(c Planned) bool { return !slices.Contains(c.Leaving, api) },
		func(c Planned) bool { return c.Retained == "" },
		func(c Planned) bool { return facts.Leads(api, c.Service) },
	} {
		if differs(first) != differs(second) {
			return differs(first)
		}
	}
	return before
}

// unplanned is the proposal of an operand that could not plan: what it has is retained, unless it is there for metrics APIs alone
// of which the operator is to serve none.
func unplanned(name string, apis []metricsapi.API, withheld metricsapi.Omissions, err error) Proposal {
	unwithheld := slices.DeleteFunc(slices.Clone(apis), withheld.Withheld)
	if len(apis) > 0 && len(unwithheld) == 0 {
		return Proposal{}
	}
	message := fmt.Sprintf("%s: what should run is not known: %v.", name, err)
	return Proposal{Retained: message, RequeueAfter: planAgain, Findings: []Finding{{
		Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonRetained, Message: message}}}
}

// retained is a component in its last good form, or as it runs where none is stored; false where there is neither. It keeps
// serving what is still wanted of it.
func retained(catalog Component, input Input, running bool, omitted metricsapi.Omissions) (Planned, bool) {
	kept := Planned{Component: catalog, LastGood: input.LastGood}
	kept.Namespace = input.Facts.Namespace
	switch {
	case input.LastGood != nil:
		kept.Component, kept.Memory = input.LastGood.Component, input.LastGood.Memory
	case running:
		kept.APIs = input.Facts.Registered(catalog.Name)
	default:
		return Planned{}, false
	}
	kept.APIs = slices.DeleteFunc(slices.Clone(kept.APIs), omitted.Unwanted)
	return kept, true
}

// Backend returns the component that is to serve an API, if one of the plan is, or else one that is leaving it.
func (p Plan) Backend(api metricsapi.API) (Planned, bool) {
	for _, c := range p.Components {
		if slices.Contains(c.APIs, api) && !slices.Contains(c.Leaving, api) {
			return c, true
		}
	}
	return p.Leaving(api)
}

// Leaving returns the component that serves an API until another one does; false for none.
func (p Plan) Leaving(api metricsapi.API) (Planned, bool) {
	index := slices.IndexFunc(p.Components, func(c Planned) bool { return slices.Contains(c.Leaving, api) })
	if index < 0 {
		return Planned{}, false
	}
	return p.Components[index], true
}

// Component returns the component of a name, if the plan has it.
func (p Plan) Component(name string) (Planned, bool) {
	index := slices.IndexFunc(p.Components, func(c Planned) bool { return c.Name == name })
	if index < 0 {
		return Planned{}, false
	}
	return p.Components[index], true
}

// Catalog returns the components with everything that a spec could want of them: what a patch may be about.
func Catalog(operands []Operand) []Component {
	var all []Component
	for _, operand := range operands {
		all = append(all, operand.Describe().Catalog)
	}
	return all
}

// Authorities returns the certificate authorities that the operands' sections of a spec name, by field.
func Authorities(operands []Operand) func(v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority {
	return func(spec v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority {
		all := map[string]*v1alpha1.CertificateAuthority{}
		for _, operand := range operands {
			if of := operand.Describe().Authorities; of != nil {
				maps.Copy(all, of(spec))
			}
		}
		return all
	}
}

// DNSNames returns the names of all serving certificates that there can be in a namespace, in order.
func DNSNames(operands []Operand, namespace string) []string {
	var names []string
	for _, c := range Catalog(operands) {
		if c.Serving != "" {
			c.Namespace = namespace
			names = append(names, c.DNSNames()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Images returns the default images by the operand's name; getenv returns an environment variable.
func Images(operands []Operand, getenv func(string) string) map[string]string {
	references := map[string]string{}
	for _, operand := range operands {
		d := operand.Describe()
		if d.Image == "" {
			continue // Nothing runs.
		}
		references[d.Catalog.Name] = d.Image
		if replaced := getenv(d.ImageVariable); replaced != "" {
			references[d.Catalog.Name] = replaced
		}
	}
	return references
}

// Sooner returns the shorter of two waits, of which 0 is none.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
