// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// input is that of a spec which wants every API that the operand serves, on a cluster where it can.
func input() operand.Input {
	return operand.Input{Spec: operandtest.Spec(), Facts: operandtest.Facts(), Image: "example.com/adapter:1"}
}

// newOperand returns the operand, and the clock by which it repeats checks.
func newOperand() (*Operand, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	return with(clock), clock
}

// plan returns what a new operand wants, as after a restart.
func plan(t *testing.T, in operand.Input) operand.Proposal {
	t.Helper()
	fresh, _ := newOperand()
	return planAgain(t, fresh, in)
}

// planAgain returns what an operand wants that may have planned before.
func planAgain(t *testing.T, o *Operand, in operand.Input) operand.Proposal {
	t.Helper()
	proposal, err := o.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return proposal
}

// component returns the one that a new operand wants.
func component(t *testing.T, in operand.Input) operand.Component {
	t.Helper()
	proposal := plan(t, in)
	if proposal.Component == nil {
		t.Fatalf("nothing is to run: %+v", proposal)
	}
	return *proposal.Component
}

// applied is the form that is stored once what was planned for an input runs.
func applied(t *testing.T, in operand.Input) *operand.LastGood {
	t.Helper()
	proposal := plan(t, in)
	if proposal.Component == nil {
		t.Fatalf("nothing is to run: %+v", proposal)
	}
	args := []any{"--v=2"}
	for _, arg := range operandtest.Args(t, *proposal.Component) {
		args = append(args, arg)
	}
	annotations := operandtest.ValueAt(t, *proposal.Component, "/spec/template/metadata/annotations")
	return &operand.LastGood{
		Component: *proposal.Component, Memory: proposal.Memory,
		Objects: []*unstructured.Unstructured{service(), deployed(annotations, args)},
	}
}

func service() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": Name}}}
}

// deployed is a Deployment of the adapter.
func deployed(annotations any, args []any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": Name},
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": annotations},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": Name, "args": args}}},
		}},
	}}
}

// states returns what became of each rule, by API and id.
func states(proposal operand.Proposal) map[string]v1alpha1.RuleState {
	all := map[string]v1alpha1.RuleState{}
	for _, rule := range slices.Concat(proposal.Rules, proposal.Removed) {
		all[rule.API+"/"+rule.ID] = rule.State
	}
	return all
}

// apis returns the names of the metrics APIs that a component serves.
func apis(c *operand.Component) []string {
	if c == nil {
		return nil
	}
	var names []string
	for _, api := range c.APIs {
		names = append(names, api.Name())
	}
	slices.Sort(names)
	return names
}
