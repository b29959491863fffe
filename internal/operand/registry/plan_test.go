// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/managedprometheus"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// badRules makes the custom rules of a spec unusable, and the external ones where all are to be.
func badRules(spec v1alpha1.MetricsPipelineSpec, all bool) v1alpha1.MetricsPipelineSpec {
	spec.CustomMetrics.Rules[0].MetricsQuery = "sum("
	if all {
		spec.ExternalMetrics.Rules[0].MetricsQuery = "sum("
	}
	return spec
}

// TestPlan says, for each state of the cluster, what is deployed, which APIs that serves, and why others are left out.
func TestPlan(t *testing.T) {
	all := []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"}
	custom, external := all[:2], all[2:]
	omitted := func(reason string, names ...string) map[string]string {
		reasons := map[string]string{}
		for _, name := range names {
			reasons[name] = reason
		}
		return reasons
	}
	merged := func(first, second map[string]string) map[string]string {
		maps.Copy(first, second)
		return first
	}
	rules := operandtest.Spec()
	onlyCustom := v1alpha1.MetricsPipelineSpec{CustomMetrics: rules.CustomMetrics}
	onlyExternal := v1alpha1.MetricsPipelineSpec{ExternalMetrics: rules.ExternalMetrics}
	server := []string{"v1beta1.metrics.k8s.io"}
	serverAlone := map[string][]string{metricsserver.Name: server}
	with := func(adapter []string) map[string][]string {
		return map[string][]string{metricsserver.Name: server, prometheusadapter.Name: adapter}
	}

	for name, tc := range map[string]struct {
		spec    v1alpha1.MetricsPipelineSpec
		change  func(*cluster.Facts)
		deploys map[string][]string
		omits   map[string]string
	}{
		"an empty spec":       {deploys: serverAlone, omits: omitted(v1alpha1.ReasonNoRules, all...)},
		"rules of both kinds": {spec: rules, deploys: with(all)},
		"only custom rules":   {spec: onlyCustom, deploys: with(custom), omits: omitted(v1alpha1.ReasonNoRules, external...)},
		"only external rules": {spec: onlyExternal, deploys: with(external), omits: omitted(v1alpha1.ReasonNoRules, custom...)},
		"no usable custom rule": {
			spec: badRules(operandtest.Spec(), false), deploys: with(external),
			omits: omitted(v1alpha1.ReasonConfigurationInvalid, custom...)},
		"no usable rule at all": {
			spec: badRules(operandtest.Spec(), true), deploys: serverAlone,
			omits: omitted(v1alpha1.ReasonConfigurationInvalid, all...)},
		"no Prometheus": {
			spec: rules, change: func(f *cluster.Facts) { f.Prometheus = cluster.Prometheus{} },
			deploys: serverAlone, omits: omitted(v1alpha1.ReasonWaitingForBackend, all...)},
		"another owner serves metrics.k8s.io": {
			change:  func(f *cluster.Facts) { foreign(f, "metrics.k8s.io") },
			deploys: map[string][]string{},
			omits:   merged(omitted(v1alpha1.ReasonServedByOther, server...), omitted(v1alpha1.ReasonNoRules, all...))},
		"another owner serves external.metrics.k8s.io": {
			spec: rules, change: func(f *cluster.Facts) { foreign(f, "external.metrics.k8s.io") },
			deploys: with(custom), omits: omitted(v1alpha1.ReasonServedByOther, external...)},
		"another owner serves both of the adapter's groups": {
			spec: rules, change: func(f *cluster.Facts) { foreign(f, "custom.metrics.k8s.io", "external.metrics.k8s.io") },
			deploys: serverAlone, omits: omitted(v1alpha1.ReasonServedByOther, all...)},
		"another owner serves one group and the other has no rule": {
			spec: onlyCustom, change: func(f *cluster.Facts) { foreign(f, "custom.metrics.k8s.io") },
			deploys: serverAlone,
			omits:   merged(omitted(v1alpha1.ReasonServedByOther, custom...), omitted(v1alpha1.ReasonNoRules, external...))},
		"one group without a usable rule, the other without a rule": {
			spec:    badRules(v1alpha1.MetricsPipelineSpec{CustomMetrics: operandtest.Spec().CustomMetrics}, false),
			deploys: serverAlone,
			omits:   merged(omitted(v1alpha1.ReasonConfigurationInvalid, custom...), omitted(v1alpha1.ReasonNoRules, external...))},
	} {
		t.Run(name, func(t *testing.T) {
			facts := operandtest.Facts()
			if tc.change != nil {
				tc.change(&facts)
			}
			p := plan(tc.spec, facts)
			if diff := cmp.Diff(tc.deploys, deployed(t, p)); diff != "" {
				t.Errorf("deployed (-want +got):\n%s", diff)
			}
			omits := map[string]string{}
			for name, omission := range p.Omitted {
				omits[name] = omission.Reason
				if !strings.HasSuffix(omission.Message, ".") {
					t.Errorf("%s is left out without a sentence that says why: %q", name, omission.Message)
				}
			}
			if tc.omits == nil {
				tc.omits = map[string]string{}
			}
			if diff := cmp.Diff(tc.omits, omits); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// deployed returns the APIs of each component, and fails where the plan names another backend for one.
func deployed(t *testing.T, p operand.Plan) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, c := range p.Components {
		for _, api := range c.APIs {
			all[c.Name] = append(all[c.Name], api.Name())
			if backend, ok := p.Backend(api); !ok || backend.Name != c.Name {
				t.Errorf("Backend(%s) = %q, %v, want %s", api.Name(), backend.Name, ok, c.Name)
			}
		}
	}
	return all
}

// TestPolicies says what each policy deploys, by whether another owner serves the group.
func TestPolicies(t *testing.T) {
	const (
		auto, takeOver     = v1alpha1.PolicyAuto, v1alpha1.PolicyTakeOver
		observe, disabled  = v1alpha1.PolicyObserve, v1alpha1.PolicyDisabled
		other, none        = v1alpha1.ReasonServedByOther, v1alpha1.ReasonNotServed
		off, ours, foreign = v1alpha1.ReasonDisabled, "served", true
	)
	type policies = [3]v1alpha1.APIPolicy
	adapter := []string{prometheusadapter.Name}
	for name, tc := range map[string]struct {
		policies policies
		foreign  bool
		// want is the reason for which each group is left out, or that we serve it.
		want     [3]string
		deployed []string
	}{
		"unset":                         {policies{}, false, [3]string{ours, ours, ours}, both},
		"unset, foreign":                {policies{}, foreign, [3]string{other, other, other}, nil},
		"Auto":                          {policies{auto, auto, auto}, false, [3]string{ours, ours, ours}, both},
		"Auto, foreign":                 {policies{auto, auto, auto}, foreign, [3]string{other, other, other}, nil},
		"TakeOver":                      {policies{takeOver, takeOver, takeOver}, false, [3]string{ours, ours, ours}, both},
		"TakeOver, foreign":             {policies{takeOver, takeOver, takeOver}, foreign, [3]string{ours, ours, ours}, both},
		"Observe":                       {policies{observe, observe, observe}, false, [3]string{none, none, none}, nil},
		"Observe, foreign":              {policies{observe, observe, observe}, foreign, [3]string{other, other, other}, nil},
		"Disabled":                      {policies{disabled, disabled, disabled}, false, [3]string{off, off, off}, nil},
		"Disabled, foreign":             {policies{disabled, disabled, disabled}, foreign, [3]string{off, off, off}, nil},
		"the adapter for one group":     {policies{observe, disabled, auto}, false, [3]string{none, off, ours}, adapter},
		"the adapter for the other":     {policies{disabled, auto, observe}, false, [3]string{off, ours, none}, adapter},
		"taking over one of its groups": {policies{disabled, takeOver, auto}, foreign, [3]string{off, ours, other}, adapter},
	} {
		t.Run(name, func(t *testing.T) {
			facts := operandtest.Facts()
			if tc.foreign {
				makeForeign(&facts)
			}
			p := plan(policied(tc.policies), facts)
			got := map[string]string{}
			for _, api := range metricsapi.All() {
				if _, served := p.Backend(api); served {
					got[api.Name()] = ours
				} else {
					got[api.Name()] = p.Omitted[api.Name()].Reason
				}
			}
			want := map[string]string{
				metricsapi.Resource.Name(): tc.want[0], metricsapi.CustomV1Beta1.Name(): tc.want[1],
				metricsapi.CustomV1Beta2.Name(): tc.want[1], metricsapi.External.Name(): tc.want[2],
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("APIs (-want +got):\n%s", diff)
			}
			var deployed []string
			for _, c := range p.Components {
				deployed = append(deployed, c.Name)
			}
			if diff := cmp.Diff(tc.deployed, deployed); diff != "" {
				t.Errorf("deployed (-want +got):\n%s", diff)
			}
		})
	}
}

func makeForeign(facts *cluster.Facts) { foreign(facts, groups()...) }

// policied is a spec that wants every API, with a policy for each of the three groups.
func policied(policies [3]v1alpha1.APIPolicy) v1alpha1.MetricsPipelineSpec {
	spec := operandtest.Spec()
	spec.ResourceMetrics.Policy, spec.CustomMetrics.Policy, spec.ExternalMetrics.Policy = policies[0], policies[1], policies[2]
	return spec
}

// TestCatalog compares the list of what patches may be about with what is really deployed.
func TestCatalog(t *testing.T) {
	facts := operandtest.Facts()
	facts.Served = cluster.Serving(kinds.ServiceMonitorCRD, kinds.PrometheusRuleCRD)
	facts.Prometheus.Demands = map[string]probe.Answer{prometheusadapter.Name: {Known: true}}
	type contents struct {
		Name, Service, Serving string
		Workloads, Variants    []string
		Files                  []string
		APIs                   []metricsapi.API
	}
	of := func(c operand.Component) contents {
		return contents{c.Name, c.Service, c.Serving, c.Workloads, c.Variants, slices.Sorted(maps.Keys(c.Files)), c.APIs}
	}
	var deployed, catalog []contents
	facts.Prometheus.Managed = prometheus.Managed{Namespace: facts.Namespace, Plain: true}
	spec := operandtest.Spec()
	spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
	for _, c := range plan(spec, facts).Components {
		if c.Name == managedprometheus.Name {
			c.Variants = everyVariant(t, spec, facts)
		}
		if c.Name == prometheusadapter.Name {
			c.Component = operandtest.Find(t, plan(fromPrometheus(), facts), c.Name)
		}
		deployed = append(deployed, of(c.Component))
	}
	for _, c := range operand.Catalog(Operands()) {
		catalog = append(catalog, of(c))
	}
	if diff := cmp.Diff(deployed, catalog); diff != "" {
		t.Errorf("catalog (-deployed +catalog):\n%s", diff)
	}
}

// everyVariant joins what two pods have with what a volume has, which exclude one another.
func everyVariant(t *testing.T, spec v1alpha1.MetricsPipelineSpec, facts cluster.Facts) []string {
	t.Helper()
	var all []string
	for _, managed := range []v1alpha1.ManagedPrometheusSpec{
		{Replicas: ptr.To[int32](2)}, {Storage: &v1alpha1.ManagedPrometheusStorage{Size: "1Gi"}},
	} {
		spec.Prometheus.Managed = &managed
		all = append(all, operandtest.Find(t, plan(spec, facts), managedprometheus.Name).Variants...)
	}
	return all
}

// fromPrometheus is a spec that wants every metrics API of the adapter.
func fromPrometheus() v1alpha1.MetricsPipelineSpec {
	spec := operandtest.Spec()
	spec.ResourceMetrics.Backend = v1alpha1.BackendPrometheusAdapter
	return spec
}

// TestNames that the serving certificate has. The assets mount the Secret by its name.
func TestNames(t *testing.T) {
	c := operandtest.Find(t, plan(v1alpha1.MetricsPipelineSpec{}, operandtest.Facts()), metricsserver.Name)
	if diff := cmp.Diff([]string{"metrics-server", "metrics-server.metrics", "metrics-server.metrics.svc"}, c.DNSNames()); diff != "" {
		t.Errorf("DNS names (-want +got):\n%s", diff)
	}
	if c.ServerName() != "metrics-server.metrics.svc" || c.Serving != "metrics-server-tls" {
		t.Errorf("server name %q, serving Secret %q", c.ServerName(), c.Serving)
	}
}

func TestOmissionsNameTheField(t *testing.T) {
	p := plan(v1alpha1.MetricsPipelineSpec{}, operandtest.Facts())
	for _, api := range metricsapi.All()[1:] {
		field := "spec.customMetrics.rules"
		if api == metricsapi.External {
			field = "spec.externalMetrics.rules"
		}
		if message := p.Omitted[api.Name()].Message; !strings.Contains(message, field) {
			t.Errorf("%s: %q does not name %s", api.Name(), message, field)
		}
	}
	if _, ok := p.Backend(metricsapi.External); ok {
		t.Error("an API that is left out has a backend")
	}
}
