// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// token has spec.prometheus name a token.
func token(in *operand.Input) {
	in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "prometheus", Key: "token"}}
	in.Facts.Prometheus.Access.Token = []byte("one")
}

// TestSourceChange: a mistake in an address or a token that is not valid yet must not take a working metrics API away.
func TestSourceChange(t *testing.T) {
	no, unknown := probe.Answer{Known: true, Err: errors.New("connection refused")}, probe.Answer{}
	elsewhere := func(in *operand.Input) { in.Facts.Prometheus.Target.URL = "https://thanos.monitoring.svc" }
	another := func(in *operand.Input) { in.Facts.Prometheus.Access.Token = []byte("two") }
	answer := func(a probe.Answer) func(*operand.Input) {
		return func(in *operand.Input) { in.Facts.Prometheus.Answer = a }
	}
	unstored := func(in *operand.Input) { in.LastGood = nil }
	for name, tc := range map[string]struct {
		change []func(*operand.Input)
		says   string
	}{
		"nothing changed":                        {nil, ""},
		"nothing changed, the answer is unknown": {[]func(*operand.Input){answer(unknown)}, ""},
		"nothing changed, it does not answer":    {[]func(*operand.Input){answer(no)}, ""},
		"another Prometheus answers":             {[]func(*operand.Input){elsewhere}, ""},
		"another Prometheus does not":            {[]func(*operand.Input){elsewhere, answer(no)}, "until https://thanos.monitoring.svc answers"},
		"the answer of another is unknown":       {[]func(*operand.Input){elsewhere, answer(unknown)}, "until https://thanos.monitoring.svc answers"},
		"another Prometheus, nothing stored":     {[]func(*operand.Input){elsewhere, unstored}, ""},
		"nothing stored, it does not answer":     {[]func(*operand.Input){unstored, answer(no)}, "credentials of spec.prometheus.auth once"},
		"nothing stored, it redirects": {[]func(*operand.Input){unstored, answer(probe.Answer{Known: true,
			Err: &prometheus.UnusableError{Cause: prometheus.Redirected}})}, "credentials of spec.prometheus.auth once"},
		"nothing stored, the answer is unknown": {[]func(*operand.Input){unstored, answer(unknown)}, "credentials of spec.prometheus.auth once"},
		"nothing stored, no answer, no credentials": {[]func(*operand.Input){unstored, answer(no),
			func(in *operand.Input) { in.Spec.Prometheus.Auth = nil }}, ""},
		"it redirects by now": {[]func(*operand.Input){answer(probe.Answer{Known: true,
			Err: &prometheus.UnusableError{Cause: prometheus.Redirected}})}, ""},
		"the credentials must not be sent": {[]func(*operand.Input){func(in *operand.Input) {
			in.Facts.Prometheus.CredentialsWithheld = "spec.prometheus.auth is not sent over http"
			in.Facts.Prometheus.Access, in.Facts.Prometheus.Answer = prometheus.Access{}, unknown
		}}, "not known which Prometheus to query, or with what"},
		"another token is accepted":              {[]func(*operand.Input){another}, ""},
		"another token is not":                   {[]func(*operand.Input){another, answer(no)}, "answers, see the condition PrometheusReady"},
		"the answer to another token is unknown": {[]func(*operand.Input){another, answer(unknown)}, "answers, see the condition PrometheusReady"},
		"a credential is missing": {[]func(*operand.Input){func(in *operand.Input) {
			in.Facts.Prometheus.CredentialsMissing = "spec.prometheus.auth.bearerToken: there is no Secret"
		}}, "not known which Prometheus to query"},
		"no Prometheus": {[]func(*operand.Input){func(in *operand.Input) { in.Facts.Prometheus = cluster.Prometheus{} }},
			"not known which Prometheus to query"},
		"no usable rule": {[]func(*operand.Input){func(in *operand.Input) {
			in.Spec.ExternalMetrics.Rules = nil
			in.Spec.CustomMetrics.Rules[0].MetricsQuery, in.LastGood.Memory = "sum(", nil
		}}, "no rule is usable"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			token(&in)
			in.LastGood = applied(t, in)
			for _, change := range tc.change {
				change(&in)
			}
			proposal := plan(t, in)
			if tc.says == "" {
				if proposal.Retained != "" || proposal.Component == nil {
					t.Errorf("retained: %q, component %v", proposal.Retained, proposal.Component)
				}
				return
			}
			if !strings.Contains(proposal.Retained, tc.says) || !strings.HasSuffix(proposal.Retained, ".") ||
				!strings.HasPrefix(proposal.Retained, Name+": ") {
				t.Errorf("retained: %q does not say %q", proposal.Retained, tc.says)
			}
			if proposal.Component != nil {
				t.Error("it is retained, and another form of it is to run")
			}
		})
	}
}

// TestNotRetained: where the operator is not to serve what the adapter could, it is not retained, whatever else is wrong.
func TestNotRetained(t *testing.T) {
	foreign := metricsapi.Withhold(v1alpha1.MetricsPipelineSpec{}, map[string]bool{
		metricsapi.CustomV1Beta1.Group: true, metricsapi.External.Group: true})
	withoutSource := func(in *operand.Input) { in.Facts.Prometheus = cluster.Prometheus{} }
	for name, change := range map[string]func(*operand.Input){
		"no rule": func(in *operand.Input) { in.Spec.CustomMetrics.Rules, in.Spec.ExternalMetrics.Rules = nil, nil },
		"another owner serves both groups": func(in *operand.Input) {
			in.Omitted = foreign
		},
		"the same, and no Prometheus": func(in *operand.Input) {
			in.Omitted = foreign
			withoutSource(in)
		},
		"no rule, and no Prometheus": func(in *operand.Input) {
			in.Spec.CustomMetrics.Rules, in.Spec.ExternalMetrics.Rules = nil, nil
			withoutSource(in)
		},
	} {
		in := input()
		in.LastGood = applied(t, in)
		change(&in)
		if proposal := plan(t, in); proposal.Retained != "" || proposal.Component != nil {
			t.Errorf("%s: retained %q, component %v", name, proposal.Retained, proposal.Component)
		}
	}
}

// TestOneGroupWithheld: only rules of a group that the adapter is to serve decide whether it is retained.
func TestOneGroupWithheld(t *testing.T) {
	in := input()
	in.LastGood = applied(t, in)
	in.LastGood.Memory = nil
	in.Omitted = metricsapi.Withhold(in.Spec, map[string]bool{metricsapi.CustomV1Beta1.Group: true})
	in.Spec.ExternalMetrics.Rules[0].MetricsQuery = "sum("
	proposal := plan(t, in)
	if proposal.Component != nil || !strings.Contains(proposal.Retained, "no rule is usable") {
		t.Errorf("retained %q, component %v", proposal.Retained, proposal.Component)
	}
	if diff := cmp.Diff(map[string]v1alpha1.RuleState{custom + "requests": inUse, external + "depth": rejected}, states(proposal)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
