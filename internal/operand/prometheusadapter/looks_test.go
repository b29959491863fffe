// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// withoutWidgets is a cluster without the CRD.
func withoutWidgets() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)
	return mapper
}

// counting is a mapper that counts how often it is queried.
type counting struct {
	meta.RESTMapper
	queries int
}

func (c *counting) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	c.queries++
	return c.RESTMapper.KindFor(resource)
}

// waiting is the input with one rule, for a resource that the mapper does not know.
func waiting() (operand.Input, *counting) {
	in, mapper := input(), &counting{RESTMapper: withoutWidgets()}
	in.Spec.ExternalMetrics.Rules = nil
	in.Spec.CustomMetrics.Rules[0].Resources = v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
		"namespace": {Resource: "namespace"}, "widget": {Group: "example.com", Resource: "widgets"}}}
	in.Facts.Mapper = mapper
	return in, mapper
}

// TestUnservedResourceIsLookedForAgain with growing waits and not for ever: no event says when the API server serves the
// resource of a CRD.
func TestUnservedResourceIsLookedForAgain(t *testing.T) {
	in, mapper := waiting()
	o, clock := newOperand()
	var waits []time.Duration
	for {
		proposal := planAgain(t, o, in)
		if proposal.RequeueAfter == 0 {
			break
		}
		if waits = append(waits, proposal.RequeueAfter); len(waits) > 10 {
			t.Fatalf("it never ends: %s", waits)
		}
		queries := mapper.queries
		clock.Step(proposal.RequeueAfter / 2)
		if left := planAgain(t, o, in).RequeueAfter; left != proposal.RequeueAfter-proposal.RequeueAfter/2 || mapper.queries != queries {
			t.Errorf("half way through %s: %s are left, and %d queries were sent", proposal.RequeueAfter, left, mapper.queries-queries)
		}
		clock.Step(proposal.RequeueAfter)
	}
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	queries := mapper.queries
	clock.Step(24 * time.Hour)
	if planAgain(t, o, in); mapper.queries != queries {
		t.Error("it keeps looking")
	}
}

// TestUnservedResourceIsServed: the rule is in use at the next look after its resource is served.
func TestUnservedResourceIsServed(t *testing.T) {
	in, mapper := waiting()
	o, clock := newOperand()
	wait := planAgain(t, o, in).RequeueAfter
	mapper.RESTMapper = operandtest.Mapper()
	if diff := cmp.Diff(map[string]v1alpha1.RuleState{custom + "requests": rejected}, states(planAgain(t, o, in))); diff != "" {
		t.Errorf("before the time (-want +got):\n%s", diff)
	}
	clock.Step(wait)
	proposal := planAgain(t, o, in)
	if diff := cmp.Diff(map[string]v1alpha1.RuleState{custom + "requests": inUse}, states(proposal)); diff != "" || proposal.RequeueAfter != 0 {
		t.Errorf("requeue after %s (-want +got):\n%s", proposal.RequeueAfter, diff)
	}
}

// TestCRDComesLater: any CRD that is created or deleted has the rules checked at once, and the looks begin anew.
func TestCRDComesLater(t *testing.T) {
	in, mapper := waiting()
	o, clock := newOperand()
	for wait := time.Hour; wait > 0; {
		wait = planAgain(t, o, in).RequeueAfter
		clock.Step(wait)
	}
	in.Facts.Served = cluster.Serving("gadgets.example.com")
	if proposal := planAgain(t, o, in); proposal.RequeueAfter != firstLook {
		t.Errorf("after another CRD the next look is in %s, want %s", proposal.RequeueAfter, firstLook)
	}
	mapper.RESTMapper = operandtest.Mapper()
	in.Facts.Served = cluster.Serving("gadgets.example.com", "widgets.example.com")
	proposal := planAgain(t, o, in)
	if diff := cmp.Diff(map[string]v1alpha1.RuleState{custom + "requests": inUse}, states(proposal)); diff != "" {
		t.Errorf("after its CRD (-want +got):\n%s", diff)
	}
}

// TestRulesAreCheckedOnce while nothing changes that they depend on.
func TestRulesAreCheckedOnce(t *testing.T) {
	in, o := input(), New()
	in.Spec.CustomMetrics.Rules[0].Resources = v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
		"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}}
	mapper := &counting{RESTMapper: operandtest.Mapper()}
	in.Facts.Mapper = mapper
	first := planAgain(t, o, in)
	queries := mapper.queries
	if diff := cmp.Diff(first, planAgain(t, o, in)); diff != "" || mapper.queries != queries {
		t.Errorf("%d more queries (-first +second):\n%s", mapper.queries-queries, diff)
	}
	in.Spec.CustomMetrics.Rules[0].MetricsQuery = "max(x)"
	if planAgain(t, o, in); mapper.queries == queries {
		t.Error("another rule was not checked")
	}
}

// unreachable is a mapper whose API server does not answer.
type unreachable struct{ meta.RESTMapper }

var errNetwork = errors.New("dial tcp: connection refused")

func (unreachable) KindFor(schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	return schema.GroupVersionKind{}, errNetwork
}

// TestUnreachableAPIServer: it is not known what should run, which is no rule's fault, and the next time it is tried again.
func TestUnreachableAPIServer(t *testing.T) {
	in, _ := waiting()
	in.Facts.Mapper = unreachable{}
	o, _ := newOperand()
	proposal, err := o.Plan(in)
	if !errors.Is(err, errNetwork) || !strings.Contains(err.Error(), "rule requests of spec.customMetrics") {
		t.Errorf("error %v, want that of the network, with the rule", err)
	}
	if diff := cmp.Diff(operand.Proposal{}, proposal); diff != "" {
		t.Errorf("a proposal from what could not be checked (-want +got):\n%s", diff)
	}
	in.Facts.Mapper = operandtest.Mapper()
	if got := states(planAgain(t, o, in))[custom+"requests"]; got != inUse {
		t.Errorf("once it answers the rule is %s", got)
	}
}

// unanswered counts the requests that are not answered.
type unanswered struct {
	unreachable
	requests *int
}

func (u unanswered) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	*u.requests++
	return u.unreachable.KindFor(resource)
}

// TestUnreachableIsFoundOnce: a request of discovery may take long to fail, and the others would as well.
func TestUnreachableIsFoundOnce(t *testing.T) {
	in, _ := waiting()
	other := in.Spec.CustomMetrics.Rules[0]
	other.ID = "other"
	in.Spec.CustomMetrics.Rules = append(in.Spec.CustomMetrics.Rules, other)
	requests := 0
	in.Facts.Mapper = unanswered{requests: &requests}
	o, _ := newOperand()
	if _, err := o.Plan(in); !errors.Is(err, errNetwork) || requests != 1 {
		t.Errorf("%d requests, error %v", requests, err)
	}
}

// TestUnreachableForLastGood: as long as it is not known whether a last good form can serve, the adapter is not rolled without
// it.
func TestUnreachableForLastGood(t *testing.T) {
	for name, edit := range map[string]func(*v1alpha1.CustomMetricRule){
		"edited":         func(r *v1alpha1.CustomMetricRule) { r.MetricsQuery = "sum(" },
		"under a new id": func(r *v1alpha1.CustomMetricRule) { r.ID, r.MetricsQuery = "new", "sum(" },
	} {
		in, _ := waiting()
		in.Facts.Mapper = operandtest.Mapper()
		in.LastGood = applied(t, in)
		edit(&in.Spec.CustomMetrics.Rules[0])
		in.Facts.Mapper = unreachable{}
		o, _ := newOperand()
		if _, err := o.Plan(in); !errors.Is(err, errNetwork) {
			t.Errorf("%s: error %v, want that of the network", name, err)
		}
	}
}

// TestLastGoodIsLookedForAgain, as the rule itself is, where its resource is not served yet.
func TestLastGoodIsLookedForAgain(t *testing.T) {
	in, mapper := waiting()
	in.Facts.Mapper = operandtest.Mapper()
	in.LastGood = applied(t, in)
	in.Facts.Mapper = mapper
	in.Spec.CustomMetrics.Rules[0].MetricsQuery = "sum("
	if proposal := plan(t, in); proposal.RequeueAfter != firstLook || states(proposal)[custom+"requests"] != rejected {
		t.Errorf("next look in %s, want %s; %v", proposal.RequeueAfter, firstLook, states(proposal))
	}
}
