// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// TestOneBackend: an API that two components have is served by the one that the spec wants, and the other keeps it only while our
// APIService leads there.
func TestOneBackend(t *testing.T) {
	torch := fake{name: "torch", apis: []metricsapi.API{metricsapi.Resource}}
	leaving := func(p *operand.Proposal) { p.Leaving = p.Component.APIs }
	retained := func(p *operand.Proposal) { p.Component, p.Retained = nil, "the source is unknown." }
	both := func(p *operand.Proposal) { retained(p); p.Leaving = lamp.apis }
	for name, tc := range map[string]struct {
		lamp, torch fake
		leads       string
		want        []string
		// backend and leaves are the components that are to serve the API, and that serve it until then.
		backend, leaves string
	}{
		"the new one does not serve yet": {lamp.proposing(leaving), torch, "lamp",
			[]string{lampRuns + " leaving", "torch stored v1beta1.metrics.k8s.io"}, "torch", "lamp"},
		"the other way round": {lamp, torch.proposing(leaving), "torch",
			[]string{lampRuns, "torch stored v1beta1.metrics.k8s.io leaving"}, "lamp", "torch"},
		"the new one serves": {lamp.proposing(leaving), torch, "torch", []string{"lamp", "torch stored v1beta1.metrics.k8s.io"}, "torch", ""},
		"a last good form has it, and it led there": {lamp, torch.proposing(retained), "torch",
			[]string{lampRuns, "torch retained stored v1beta1.metrics.k8s.io leaving"}, "lamp", "torch"},
		"a last good form has it, and it leads elsewhere": {lamp, torch.proposing(retained), "lamp",
			[]string{lampRuns, "torch retained stored"}, "lamp", ""},
		"one is leaving it in its last good form": {lamp, torch.proposing(both), "torch",
			[]string{lampRuns, "torch retained stored v1beta1.metrics.k8s.io leaving"}, "lamp", "torch"},
		"both in their last good form": {lamp.proposing(retained), torch.proposing(retained), "torch",
			[]string{"lamp retained stored", "torch retained stored v1beta1.metrics.k8s.io"}, "torch", ""},
		"the new one cannot run": {lamp.proposing(leaving), torch.proposing(func(p *operand.Proposal) { *p = operand.Proposal{} }), "lamp",
			[]string{lampRuns + " leaving"}, "lamp", "lamp"},
		"nobody knows": {lamp, torch, "", []string{lampRuns, "torch stored"}, "lamp", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(tc.lamp, tc.torch)
			r.LastGood["torch"] = torch.stored()
			if strings.Contains(tc.want[0], "lamp retained") {
				r.LastGood["lamp"] = lamp.stored()
			}
			if tc.leads != "" {
				r.Facts.APIServices = registered(tc.leads, metricsapi.Resource)
			}
			plan := operand.For(r)
			if diff := cmp.Diff(tc.want, summary(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			backend, _ := plan.Backend(metricsapi.Resource)
			leaves, _ := plan.Leaving(metricsapi.Resource)
			if backend.Name != tc.backend || leaves.Name != tc.leaves {
				t.Errorf("%q is to serve it, and %q does until then; want %q and %q", backend.Name, leaves.Name, tc.backend, tc.leaves)
			}
		})
	}
}

// TestOmissionOfWhatIsLeft stays in the plan: it says what the API waits for to be switched.
func TestOmissionOfWhatIsLeft(t *testing.T) {
	waits := metricsapi.Omission{Reason: v1alpha1.ReasonWaitingForBackend, Message: "There is no source."}
	torch := fake{name: "torch", apis: lamp.apis}.proposing(func(p *operand.Proposal) {
		*p = operand.Proposal{Omitted: metricsapi.Omissions{metricsapi.Resource.Name(): waits}}
	})
	r := request(lamp.proposing(func(p *operand.Proposal) { p.Leaving = p.Component.APIs }), torch)
	r.Facts.APIServices = registered("lamp", metricsapi.Resource)
	plan := operand.For(r)
	if diff := cmp.Diff(waits, plan.Omitted[metricsapi.Resource.Name()]); diff != "" {
		t.Errorf("omitted (-want +got):\n%s", diff)
	}
}
