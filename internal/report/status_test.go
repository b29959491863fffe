// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/prometheus"
)

func TestStatus(t *testing.T) {
	_, got := statusOf(func(o *Observation) {
		served(o, foreign(metricsapi.External, apiregv1.ConditionTrue, "Passed"))
		unregister(o, metricsapi.CustomV1Beta1, &metricsapi.Omission{Reason: v1alpha1.ReasonNoRules, Message: "no rule."})
		stands(o, rulesServer, starting(rulesServer))
		o.Authorities = []Authority{{CertificateStatus: v1alpha1.CertificateStatus{Name: "metricspipeline-ca", Provider: v1alpha1.CertificatesBuiltIn}}}
		o.Plan.Rules = append(o.Plan.Rules, rule("errors", v1alpha1.RuleRejected, "bad"))
	})

	at := metav1.NewTime(moment)
	want := v1alpha1.MetricsPipelineStatus{
		ObservedGeneration: 3,
		Version:            "v1.2.3",
		Prometheus: &v1alpha1.PrometheusStatus{URL: "http://prometheus-operated.monitoring.svc:9090",
			Origin: "Prometheus monitoring/k8s"},
		Scrape: &v1alpha1.ScrapeStatus{Services: 3, Pods: 1, Monitors: 2}, Autoscalers: &v1alpha1.AutoscalersStatus{},
		Components: []v1alpha1.ComponentStatus{
			{Name: "usage-server", Version: "v7", Ready: 2, Desired: 2},
			{Name: "rules-server", Version: "v7", Ready: 1, Desired: 2, Message: "Available: 1/2."},
		},
		Certificates: []v1alpha1.CertificateStatus{
			{Name: "metricspipeline-ca", Provider: v1alpha1.CertificatesBuiltIn},
			{Name: "usage-server-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: &at},
			{Name: "rules-server-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: &at},
		},
		APIServices: []v1alpha1.APIServiceStatus{
			{Name: "v1beta1.metrics.k8s.io", Group: "metrics.k8s.io", Version: "v1beta1", Owner: "MetricsPipeline default",
				Backend: "usage-server", Available: metav1.ConditionTrue, Reason: "Passed", Message: "said kube-aggregator",
				LastTransitionTime: &at, ServingCertificateExpiry: &at},
			{Name: "v1beta1.custom.metrics.k8s.io", Group: "custom.metrics.k8s.io", Version: "v1beta1",
				Available: metav1.ConditionUnknown, Reason: "NoRules", Message: "no rule."},
			{Name: "v1beta2.custom.metrics.k8s.io", Group: "custom.metrics.k8s.io", Version: "v1beta2", Owner: "MetricsPipeline default",
				Backend: "rules-server", Available: metav1.ConditionTrue, Reason: "Passed", Message: "said kube-aggregator",
				LastTransitionTime: &at, ServingCertificateExpiry: &at},
			{Name: "v1beta1.external.metrics.k8s.io", Group: "external.metrics.k8s.io", Version: "v1beta1",
				Owner: "helm (service vendor/metrics-apiserver)", Available: metav1.ConditionTrue, Reason: "Passed",
				Message: "said kube-aggregator", LastTransitionTime: &at},
		},
		Rules: []v1alpha1.RuleStatus{
			rule("errors", v1alpha1.RuleRejected, "bad"),
			rule("requests", v1alpha1.RuleInUse, ""),
			{ID: "queue", API: "external.metrics.k8s.io", State: v1alpha1.RuleInUse},
		},
		RulesTotal: v1alpha1.RuleTotals{InUse: 2, Rejected: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(v1alpha1.MetricsPipelineStatus{}, "Conditions")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// TestSteadyStateChangesNothing: a status that differs each time would be a write each time.
func TestSteadyStateChangesNothing(t *testing.T) {
	for name, tc := range conditionCases() {
		o, status := statusOf(tc.change)
		first := settled(status)
		if diff := cmp.Diff(first, Status(o, first)); diff != "" {
			t.Errorf("%s: the same observation again (-first +second):\n%s", name, diff)
		}
	}
}

// TestTransitionTimes move with the status of a condition and with nothing else.
func TestTransitionTimes(t *testing.T) {
	_, status := statusOf()
	first := settled(status)
	o, _ := statusOf(func(o *Observation) {
		o.Generation = 4
		for _, id := range []string{"a", "b", "c"} {
			o.Plan.Rules = append(o.Plan.Rules, rule(id, v1alpha1.RuleInUse, ""))
		}
		o.Facts.Prometheus.Answer.Err = errors.New("refused")
	})
	second := Status(o, first)
	for _, condition := range second.Conditions {
		was := meta.FindStatusCondition(first.Conditions, condition.Type)
		moved := !condition.LastTransitionTime.Equal(&was.LastTransitionTime)
		if turned := condition.Status != was.Status; moved != turned {
			t.Errorf("%s: turned %v, and its transition time moved %v", condition.Type, turned, moved)
		}
	}
	if ready := meta.FindStatusCondition(first.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
		t.Errorf("the previous status was changed: %+v", ready)
	}
	accepted := meta.FindStatusCondition(second.Conditions, v1alpha1.ConditionRulesAccepted)
	if accepted.Message != "All 5 rules are in use." {
		t.Errorf("RulesAccepted: %s", accepted.Message)
	}
}

// TestStatusSharesNothing: the status that is written must not change with what is observed next, nor the one before with
// the one after.
func TestStatusSharesNothing(t *testing.T) {
	o, first := statusOf(func(o *Observation) {
		o.Scrape.Status.Rejected = []v1alpha1.RejectedApp{{Kind: "Service", Namespace: "shop", Name: "web", Reason: "bad"}}
	})
	before := first.DeepCopy()
	o.Scrape.Status.Services, o.Scrape.Status.Rejected = 9, nil
	o.Plan.Rules[0].Message = "changed"
	if second := Status(o, first); second.Scrape.Services != 9 || second.Scrape.Rejected != nil {
		t.Errorf("the second status: %+v", second.Scrape)
	}
	if diff := cmp.Diff(*before, first); diff != "" {
		t.Errorf("the first status was changed (-before +after):\n%s", diff)
	}
}

// TestMessagesFit: the API server refuses a whole status for one message of more than 32768 characters, and a patch may
// have 65536.
func TestMessagesFit(t *testing.T) {
	_, status := statusOf(func(o *Observation) {
		o.Failures = []*Failure{FailureOf(errors.New("spec.patches[0] does not apply: " + strings.Repeat("é", 40000)))}
	})
	for _, condition := range status.Conditions {
		if len(condition.Message) > 32768 || !utf8.ValidString(condition.Message) {
			t.Errorf("%s: %d bytes, valid UTF-8: %v", condition.Type, len(condition.Message), utf8.ValidString(condition.Message))
		}
		if condition.Type == v1alpha1.ConditionReady && !strings.HasPrefix(condition.Message, "spec.patches[0] does not apply") {
			t.Errorf("Ready: %.80s", condition.Message)
		}
	}
}

// TestComponentStatus sums up the workloads of a component, and says of each what is missing.
func TestComponentStatus(t *testing.T) {
	two := []cluster.Workload{{Name: "controller", Deployment: starting("controller")}, {Name: "shards", Deployment: starting("shards")}}
	absent := []cluster.Workload{{Name: "controller", Deployment: deployment("controller")}, {Name: "shards"}}
	for name, tc := range map[string]struct {
		workloads []cluster.Workload
		want      v1alpha1.ComponentStatus
	}{
		"two workloads": {two, v1alpha1.ComponentStatus{Name: usageServer, Version: "v7", Ready: 2, Desired: 4,
			Message: "controller: Available: 1/2. shards: Available: 1/2."}},
		"one of two is absent": {absent, v1alpha1.ComponentStatus{Name: usageServer, Version: "v7", Ready: 2, Desired: 2,
			Message: "shards: The Deployment does not exist yet."}},
		"they could not be read": {nil, v1alpha1.ComponentStatus{Name: usageServer, Version: "v7", Ready: 2, Desired: 2}},
	} {
		_, before := statusOf()
		o, _ := statusOf(func(o *Observation) { o.Workloads[usageServer] = tc.workloads })
		if diff := cmp.Diff(tc.want, Status(o, before).Components[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestChosenPrometheus: the status records which Prometheus object was chosen, and keeps it while that does not exist.
func TestChosenPrometheus(t *testing.T) {
	k8s, other := &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}, &v1alpha1.PrometheusReference{Namespace: "a", Name: "b"}
	chosen := func(o *Observation) { o.Facts.Prometheus.Chosen, o.Facts.Prometheus.Target.Chosen = k8s, k8s }
	others := func(o *Observation) { o.Facts.Prometheus.Target.Others = true }
	gone := func(remembered *v1alpha1.PrometheusReference) func(*Observation) {
		return func(o *Observation) {
			o.Facts.Prometheus.Chosen, o.Facts.Prometheus.Target = remembered, prometheus.Target{}
			o.Facts.Prometheus.NotFound = &prometheus.NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: "It is gone."}
		}
	}
	recorded := &v1alpha1.PrometheusStatus{
		URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s", Chosen: k8s}
	_, before := statusOf(chosen)
	if diff := cmp.Diff(recorded, before.Prometheus); diff != "" {
		t.Errorf("status.prometheus (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   *v1alpha1.PrometheusStatus
		says   string
	}{
		"it exists, and others do": {func(o *Observation) { chosen(o); others(o) }, recorded,
			"Prometheus monitoring/k8s answers at http://prometheus-operated.monitoring.svc:9090. It stays in use although there are " +
				"other Prometheus objects; to use one of them, name it in spec.prometheus.ref."},
		"it is gone":                    {gone(k8s), recorded, "It is gone."},
		"a ref leads to nothing":        {gone(nil), nil, "It is gone."},
		"it is gone, and was not known": {gone(other), nil, "It is gone."},
	} {
		o, _ := statusOf(tc.change)
		after := Status(o, before)
		if diff := cmp.Diff(tc.want, after.Prometheus); diff != "" {
			t.Errorf("%s: status.prometheus (-want +got):\n%s", name, diff)
		}
		if ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionPrometheusReady); ready.Message != tc.says {
			t.Errorf("%s: %s", name, ready.Message)
		}
	}
}

// TestPrometheusVersion: it is what the object states, or the tag of the image that the operator runs, and never that of another
// Prometheus than the one at the URL.
func TestPrometheusVersion(t *testing.T) {
	stated := func(o *Observation) { o.Facts.Prometheus.Target.Version = "v3.4.0" }
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   string
	}{
		"its object states none": {func(*Observation) {}, ""},
		"its object states it":   {stated, "v3.4.0"},
		"the object scrapes, and another answers": {func(o *Observation) {
			stated(o)
			o.Facts.Prometheus.Target.Given = true
		}, ""},
		"the operator runs it": {func(o *Observation) {
			o.Facts.Prometheus.Target.Managed, o.Facts.Prometheus.Target.ScrapeConfigs = true, true
			planOf(o, usageServer).Name = prometheus.ManagedName
			o.Workloads[prometheus.ManagedName] = o.Workloads[usageServer]
		}, "v7"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, status := statusOf(tc.change); status.Prometheus.Version != tc.want {
				t.Errorf("version %q, want %q", status.Prometheus.Version, tc.want)
			}
		})
	}
}

// TestRulesOfAForeignAPI: rules that another owner of the API keeps from being served are not silent, unless the policy asks for that.
func TestRulesOfAForeignAPI(t *testing.T) {
	const said = "said kube-aggregator. What is in spec.externalMetrics.rules is not served, because the API has this owner: set " +
		"spec.externalMetrics.policy to TakeOver, which takes the API from it, or have it serve these metrics and remove the rules."
	for name, test := range map[string]struct {
		policy v1alpha1.APIPolicy
		rules  []v1alpha1.ExternalMetricRule
		want   string
	}{
		"rules that nothing serves": {v1alpha1.PolicyAuto, []v1alpha1.ExternalMetricRule{{}}, said},
		"a schema without defaults": {"", []v1alpha1.ExternalMetricRule{{}}, said},
		"no rules":                  {v1alpha1.PolicyAuto, nil, "said kube-aggregator"},
		"an API that is observed":   {v1alpha1.PolicyObserve, []v1alpha1.ExternalMetricRule{{}}, "said kube-aggregator"},
		"an API that is disabled":   {v1alpha1.PolicyDisabled, []v1alpha1.ExternalMetricRule{{}}, "said kube-aggregator"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := statusOf(func(o *Observation) {
				served(o, foreign(metricsapi.External, apiregv1.ConditionTrue, "Passed"))
				o.Spec.ExternalMetrics.Policy, o.Spec.ExternalMetrics.Rules = test.policy, test.rules
			})
			for _, api := range got.APIServices {
				if api.Name == metricsapi.External.Name() && api.Message != test.want {
					t.Errorf("message %q, want %q", api.Message, test.want)
				}
			}
		})
	}
}
