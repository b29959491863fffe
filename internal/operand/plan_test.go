// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// fake is an operand that this test alone knows.
type fake struct {
	name string
	apis []metricsapi.API
	// plan replaces what Plan returns; nil runs the catalog's component.
	plan func(operand.Input) (operand.Proposal, error)
}

func (f fake) Describe() operand.Description {
	return operand.Description{
		Catalog: operand.Component{Name: f.name, Workloads: []string{f.name}, Service: f.name, APIs: f.apis},
		Image:   "example.com/" + f.name + ":1", ImageVariable: "RELATED_IMAGE_" + strings.ToUpper(f.name),
	}
}

func (f fake) Plan(in operand.Input) (operand.Proposal, error) {
	if f.plan != nil {
		return f.plan(in)
	}
	c := f.Describe().Catalog
	c.Namespace, c.Images = in.Facts.Namespace, map[string]string{f.name: in.Image}
	return operand.Proposal{Component: &c, Memory: []byte("new " + f.name)}, nil
}

// proposing is an operand that proposes something else.
func (f fake) proposing(change func(*operand.Proposal)) fake {
	plain := f
	f.plan = func(in operand.Input) (operand.Proposal, error) {
		proposal, err := plain.Plan(in)
		change(&proposal)
		return proposal, err
	}
	return f
}

// failing is an operand that cannot plan.
func (f fake) failing() fake {
	f.plan = func(operand.Input) (operand.Proposal, error) {
		return operand.Proposal{}, errors.New("discovery is away")
	}
	return f
}

var (
	lamp  = fake{name: "lamp", apis: []metricsapi.API{metricsapi.Resource}}
	radio = fake{name: "radio", apis: []metricsapi.API{metricsapi.CustomV1Beta1, metricsapi.CustomV1Beta2, metricsapi.External}}
	// fan serves no metrics API.
	fan = fake{name: "fan"}
)

// request is one for a spec that wants every API, without stored forms.
func request(operands ...operand.Operand) operand.Request {
	return operand.Request{Spec: operandtest.Spec(), Facts: operandtest.Facts(), Operands: operands,
		Images:   operand.Images(operands, func(string) string { return "" }),
		LastGood: map[string]*operand.LastGood{}, Running: map[string]bool{}}
}

// stored is the last good form of a fake operand.
func (f fake) stored() *operand.LastGood {
	return &operand.LastGood{Component: operand.Component{Name: f.name, Namespace: "metrics", Service: f.name, APIs: f.apis, Workloads: []string{"old"}},
		Memory: []byte("old " + f.name)}
}

// summary of a plan: each component, with why it is retained and the APIs that it serves.
func summary(plan operand.Plan) []string {
	var lines []string
	for _, c := range plan.Components {
		line := c.Name
		if c.Retained != "" {
			line += " retained"
		}
		if c.LastGood != nil {
			line += " stored"
		}
		for _, api := range c.APIs {
			line += " " + api.Name()
		}
		if len(c.Leaving) > 0 {
			line += " leaving"
		}
		lines = append(lines, line)
	}
	return lines
}

const (
	lampRuns  = "lamp v1beta1.metrics.k8s.io"
	radioAPIs = " v1beta1.custom.metrics.k8s.io v1beta2.custom.metrics.k8s.io v1beta1.external.metrics.k8s.io"
)

// TestFakeOperands: what stands in the list of operands is planned, and nothing else need know it.
func TestFakeOperands(t *testing.T) {
	r := request(lamp, radio, fan)
	r.LastGood["radio"] = radio.stored()
	plan := operand.For(r)
	if diff := cmp.Diff([]string{lampRuns, "radio stored" + radioAPIs, "fan"}, summary(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	found, ok := plan.Component("radio")
	if !ok || found.Images["radio"] != "example.com/radio:1" || string(found.Memory) != "new radio" || found.Namespace != "metrics" {
		t.Errorf("the plan has %+v", found)
	}
	if backend, ok := plan.Backend(metricsapi.External); !ok || backend.Name != "radio" {
		t.Errorf("the backend of %s is %q", metricsapi.External.Name(), backend.Name)
	}
	if _, ok := plan.Component("kettle"); ok {
		t.Error("the plan has a component that no operand has")
	}
}

// TestOperandThatCannotPlan is retained, and the others go on.
func TestOperandThatCannotPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		operands []operand.Operand
		change   func(*operand.Request)
		want     []string
	}{
		"with a stored form": {[]operand.Operand{radio.failing(), lamp},
			func(r *operand.Request) { r.LastGood["radio"] = radio.stored() }, []string{"radio retained stored" + radioAPIs, lampRuns}},
		"with a stored form, running": {[]operand.Operand{lamp, radio.failing()}, func(r *operand.Request) {
			r.LastGood["radio"], r.Running["radio"] = radio.stored(), true
		}, []string{lampRuns, "radio retained stored" + radioAPIs}},
		"running, without a stored form": {[]operand.Operand{radio.failing(), lamp}, func(r *operand.Request) {
			r.Running["radio"] = true
			r.Facts.APIServices = registered("radio", metricsapi.External)
		}, []string{"radio retained v1beta1.external.metrics.k8s.io", lampRuns}},
		"neither": {[]operand.Operand{radio.failing(), lamp}, nil, []string{lampRuns}},
		"of no use, as others serve all that it could": {[]operand.Operand{lamp.failing(), radio}, func(r *operand.Request) {
			r.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
			r.LastGood["lamp"] = lamp.stored()
		}, []string{"radio" + radioAPIs}},
		"without metrics APIs": {[]operand.Operand{fan.failing(), lamp},
			func(r *operand.Request) { r.LastGood["fan"] = fan.stored() }, []string{"fan retained stored", lampRuns}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(tc.operands...)
			if tc.change != nil {
				tc.change(&r)
			}
			plan := operand.For(r)
			if diff := cmp.Diff(tc.want, summary(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			for _, c := range plan.Components {
				if c.Retained != "" && c.Retained != c.Name+": what should run is not known: discovery is away." {
					t.Errorf("retained: %q", c.Retained)
				}
			}
			for _, f := range plan.Findings {
				if f.Condition != v1alpha1.ConditionComponentsReady || f.Reason != v1alpha1.ReasonRetained || f.Stalled ||
					!strings.Contains(f.Message, "discovery is away") {
					t.Errorf("found %+v", f)
				}
			}
		})
	}
}

// registered are the APIServices of ours that lead to a component.
func registered(component string, apis ...metricsapi.API) map[string]*apiregv1.APIService {
	return operandtest.Registered("metrics", component, apis...)
}

// TestRetainedForm is what is stored, not what the catalog says.
func TestRetainedForm(t *testing.T) {
	r := request(radio.proposing(func(p *operand.Proposal) { p.Component, p.Retained = nil, "radio: the source is unknown." }))
	r.LastGood["radio"] = radio.stored()
	kept := operand.For(r).Components[0]
	if kept.Retained != "radio: the source is unknown." || string(kept.Memory) != "old radio" || !slices.Equal(kept.Workloads, []string{"old"}) {
		t.Errorf("kept %+v", kept)
	}
	delete(r.LastGood, "radio")
	r.Running["radio"] = true
	kept = operand.For(r).Components[0]
	if kept.LastGood != nil || kept.Memory != nil || kept.Namespace != "metrics" || !slices.Equal(kept.Workloads, []string{"radio"}) {
		t.Errorf("without a stored form it kept %+v", kept)
	}
}

// TestRetainedAPIs: a retained component keeps serving what it served, but for what the spec does without or another owner serves.
// What it keeps serving is not omitted.
func TestRetainedAPIs(t *testing.T) {
	external := []string{"v1beta1.external.metrics.k8s.io"}
	both := []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"}
	for reason, want := range map[string][]string{
		v1alpha1.ReasonNoRules: external, v1alpha1.ReasonDisabled: external, v1alpha1.ReasonServedByOther: external,
		v1alpha1.ReasonNotServed: external, v1alpha1.ReasonConfigurationInvalid: both, v1alpha1.ReasonWaitingForBackend: both,
	} {
		for _, stored := range []bool{true, false} {
			r := request(radio.proposing(func(p *operand.Proposal) {
				p.Component, p.Retained = nil, "radio: the source is unknown."
				p.Omitted = metricsapi.Omissions{}
				for _, api := range radio.apis[:2] {
					p.Omitted[api.Name()] = metricsapi.Omission{Reason: reason, Message: "For a reason."}
				}
			}))
			if r.Running["radio"] = true; stored {
				r.LastGood["radio"] = radio.stored()
			} else {
				r.Facts.APIServices = registered("radio", radio.apis...)
			}
			plan := operand.For(r)
			var got []string
			for _, api := range plan.Components[0].APIs {
				got = append(got, api.Name())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, stored %t (-want +got):\n%s", reason, stored, diff)
			}
			for _, api := range radio.apis {
				if _, omitted := plan.Omitted[api.Name()]; omitted == slices.Contains(got, api.Name()) {
					t.Errorf("%s, stored %t: %s is served or omitted, not both: omitted %t", reason, stored, api.Name(), omitted)
				}
			}
		}
	}
}

// TestIncompleteFacts: what runs well is not rolled to a form that was made without knowing all; what does not run yet begins with
// what is known.
func TestIncompleteFacts(t *testing.T) {
	gone := radio.proposing(func(p *operand.Proposal) { p.Component = nil })
	r := request(lamp, radio, gone)
	r.Operands[2] = fake{name: "kettle", plan: gone.plan}
	r.Facts.Incomplete = true
	r.LastGood["radio"], r.LastGood["kettle"] = radio.stored(), fake{name: "kettle"}.stored()
	plan := operand.For(r)
	if diff := cmp.Diff([]string{lampRuns, "radio retained stored" + radioAPIs}, summary(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if kept, _ := plan.Component("radio"); !strings.Contains(kept.Retained, "see the condition ComponentsReady") {
		t.Errorf("retained: %q", kept.Retained)
	}
}

// TestEachOperandsShare: findings, rules and omissions of all operands are in the plan, and the shortest wait.
func TestEachOperandsShare(t *testing.T) {
	with := func(f fake, id string, wait time.Duration) fake {
		return f.proposing(func(p *operand.Proposal) {
			p.Rules, p.Removed = []v1alpha1.RuleStatus{{ID: id}}, []v1alpha1.RuleStatus{{ID: id}}
			p.Findings = []operand.Finding{{Message: id}}
			p.RequeueAfter = wait
		})
	}
	plan := operand.For(request(with(lamp, "a", 0), with(radio, "b", time.Minute), with(fan, "c", time.Second)))
	var ids string
	for i := range plan.Rules {
		ids += plan.Rules[i].ID + plan.Removed[i].ID + plan.Findings[i].Message
	}
	if ids != "aaabbbccc" || plan.RequeueAfter != time.Second {
		t.Errorf("rules and findings %q, requeue after %s", ids, plan.RequeueAfter)
	}
}

func TestSooner(t *testing.T) {
	for _, tc := range [][3]time.Duration{{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 2, 1}, {2, 1, 1}} {
		if got := operand.Sooner(tc[0], tc[1]); got != tc[2] {
			t.Errorf("Sooner(%d, %d) = %d, want %d", tc[0], tc[1], got, tc[2])
		}
	}
}

// TestImagesByVariable: OLM and mirrors of registries replace the default images by environment variables.
func TestImagesByVariable(t *testing.T) {
	environment := map[string]string{"RELATED_IMAGE_RADIO": "mirror.example.com/radio@sha256:abc"}
	got := operand.Images([]operand.Operand{lamp, radio}, func(name string) string { return environment[name] })
	want := map[string]string{"lamp": "example.com/lamp:1", "radio": "mirror.example.com/radio@sha256:abc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}
