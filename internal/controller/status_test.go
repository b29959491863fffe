// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/prometheus"
)

func TestStatus(t *testing.T) {
	o := working()
	replace(&o, foreign(component.ExternalMetricsBeta, apiregv1.ConditionTrue, "Passed"))
	unregister(&o, component.CustomMetricsBeta1, &component.Omission{Reason: v1alpha1.ReasonNoRules, Message: "no rule."})
	o.components[1].deployment = starting(component.PrometheusAdapter)
	got := computeStatus(o, v1alpha1.MetricsPipelineStatus{})

	at := metav1.NewTime(moment)
	want := v1alpha1.MetricsPipelineStatus{
		ObservedGeneration: 3,
		Version:            "v1.2.3",
		Prometheus: &v1alpha1.PrometheusStatus{
			URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s"},
		Scrape: &v1alpha1.ScrapeStatus{Services: 3, Pods: 1, Monitors: 2},
		Components: []v1alpha1.ComponentStatus{
			{Name: "metrics-server", Version: "v7", Ready: 2, Desired: 2},
			{Name: "prometheus-adapter", Version: "v7", Ready: 1, Desired: 2, Message: "Available: 1/2."},
		},
		APIServices: []v1alpha1.APIServiceStatus{
			{Name: "v1beta1.metrics.k8s.io", Group: "metrics.k8s.io", Version: "v1beta1", Owner: "MetricsPipeline default",
				Backend: "metrics-server", Available: metav1.ConditionTrue, Reason: "Passed", Message: "said kube-aggregator",
				LastTransitionTime: &at, ServingCertificateExpiry: &at},
			{Name: "v1beta1.custom.metrics.k8s.io", Group: "custom.metrics.k8s.io", Version: "v1beta1",
				Available: metav1.ConditionUnknown, Reason: "NoRules", Message: "no rule."},
			{Name: "v1beta2.custom.metrics.k8s.io", Group: "custom.metrics.k8s.io", Version: "v1beta2", Owner: "MetricsPipeline default",
				Backend: "prometheus-adapter", Available: metav1.ConditionTrue, Reason: "Passed", Message: "said kube-aggregator",
				LastTransitionTime: &at, ServingCertificateExpiry: &at},
			{Name: "v1beta1.external.metrics.k8s.io", Group: "external.metrics.k8s.io", Version: "v1beta1",
				Owner: "helm (service keda/keda-operator-metrics-apiserver)", Available: metav1.ConditionTrue, Reason: "Passed",
				Message: "said kube-aggregator", LastTransitionTime: &at},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(v1alpha1.MetricsPipelineStatus{}, "Conditions")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// TestSteadyStateChangesNothing: a status that differs each time would be a write each time.
func TestSteadyStateChangesNothing(t *testing.T) {
	for name, tc := range conditionCases() {
		o := working()
		tc.change(&o)
		first := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
		for i := range first.Conditions {
			first.Conditions[i].LastTransitionTime = metav1.NewTime(moment)
		}
		if diff := cmp.Diff(first, computeStatus(o, first)); diff != "" {
			t.Errorf("%s: the same observation again (-first +second):\n%s", name, diff)
		}
	}
}

// TestTransitionTimes move with the status of a condition and with nothing else.
func TestTransitionTimes(t *testing.T) {
	first := computeStatus(working(), v1alpha1.MetricsPipelineStatus{})
	for i := range first.Conditions {
		first.Conditions[i].LastTransitionTime = metav1.NewTime(moment)
	}
	o := working()
	o.generation, o.rules.stated = 4, 5
	o.prometheus.answer.Err = errors.New("refused")
	second := computeStatus(o, first)
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

// TestRulesWait: while the adapter is kept as it is, no rule is said to be in use that may not be.
func TestRulesWait(t *testing.T) {
	for name, change := range map[string]func(*prometheusObservation){
		"no Prometheus is known":      func(p *prometheusObservation) { p.notFound = &prometheus.NotFoundError{} },
		"a credential is missing":     func(p *prometheusObservation) { p.authMissing = "there is no Secret x" },
		"another one does not answer": func(p *prometheusObservation) { p.kept = true },
	} {
		o := working()
		change(&o.prometheus)
		status := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
		accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRulesAccepted)
		if accepted.Status != metav1.ConditionTrue || !strings.HasSuffix(accepted.Message, "in use as soon as PrometheusReady is True.") {
			t.Errorf("%s: %s %s", name, accepted.Status, accepted.Message)
		}
	}
}

// TestStatusSharesNothing: the status that is written must not change with what is observed next, nor the one before with
// the one after.
func TestStatusSharesNothing(t *testing.T) {
	o := working()
	o.scraped.Rejected = []v1alpha1.RejectedApp{{Kind: "Service", Namespace: "shop", Name: "web", Reason: "bad"}}
	first := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
	before := first.DeepCopy()
	o.scraped.Services, o.scraped.Rejected = 9, nil
	if second := computeStatus(o, first); second.Scrape.Services != 9 || second.Scrape.Rejected != nil {
		t.Errorf("the second status: %+v", second.Scrape)
	}
	if diff := cmp.Diff(*before, first); diff != "" {
		t.Errorf("the first status was changed (-before +after):\n%s", diff)
	}
}

// TestUnplannedScrapeStaysAside: a condition that is kept from before still leaves Ready to the others.
func TestUnplannedScrapeStaysAside(t *testing.T) {
	o := working()
	o.scrape = scraping.State{Reason: v1alpha1.ReasonCRDsMissing, Message: "no CRDs."}
	before := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
	after := computeStatus(observation{generation: 4, requestHeaderCA: true,
		failure: asPhaseError(errors.New("the API server is away"))}, before)
	ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonApplyFailed {
		t.Errorf("Ready speaks of %s: %s", ready.Reason, ready.Message)
	}
}

// TestUnplannedKeepsWhatWasKnown: an API server that is away for a moment must not empty the status.
func TestUnplannedKeepsWhatWasKnown(t *testing.T) {
	o := working()
	o.rules.rejected = []v1alpha1.RuleStatus{{ID: "requests", API: "custom.metrics.k8s.io", Message: "bad"}}
	before := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
	after := computeStatus(observation{generation: 4, version: "v2", requestHeaderCA: true,
		failure: asPhaseError(errors.New("the API server is away"))}, before)

	ignored := cmpopts.IgnoreFields(v1alpha1.MetricsPipelineStatus{}, "Conditions", "ObservedGeneration", "Version")
	if diff := cmp.Diff(before, after, ignored); diff != "" {
		t.Errorf("forgotten (-before +after):\n%s", diff)
	}
	if after.ObservedGeneration != 4 || after.Version != "v2" {
		t.Errorf("generation %d, version %s", after.ObservedGeneration, after.Version)
	}
	wantConditions(t, after, map[string]string{
		v1alpha1.ConditionRulesAccepted:        "False RulesRejected",
		v1alpha1.ConditionPrometheusReady:      "True Reachable",
		v1alpha1.ConditionComponentsReady:      "False ApplyFailed",
		v1alpha1.ConditionAPIServicesAvailable: "True AllAvailable",
	})
}

// TestRulesAreCapped: what needs attention has the places, and the totals count the rest.
func TestRulesAreCapped(t *testing.T) {
	for _, count := range []int{0, 1, 20, 21, 256} {
		o := working()
		o.rules.stated = 256
		for i := range count {
			o.rules.rejected = append(o.rules.rejected, v1alpha1.RuleStatus{ID: fmt.Sprintf("bad-%d", i), State: v1alpha1.RuleRejected})
		}
		for i := range 256 - count {
			o.rules.inUse = append(o.rules.inUse, v1alpha1.RuleStatus{ID: fmt.Sprintf("good-%d", i), State: v1alpha1.RuleInUse})
		}
		got := computeStatus(o, v1alpha1.MetricsPipelineStatus{})
		if want := (v1alpha1.RuleTotals{InUse: int32(256 - count), Rejected: int32(count)}); got.RulesTotal != want {
			t.Errorf("%d rejected: the totals are %+v, want %+v", count, got.RulesTotal, want)
		}
		if len(got.Rules) != 20 {
			t.Fatalf("%d rejected: %d are listed, want 20", count, len(got.Rules))
		}
		for i, rule := range got.Rules {
			want := v1alpha1.RuleStatus{ID: fmt.Sprintf("good-%d", i-count), State: v1alpha1.RuleInUse}
			if i < count {
				want = v1alpha1.RuleStatus{ID: fmt.Sprintf("bad-%d", i), State: v1alpha1.RuleRejected}
			}
			if rule != want {
				t.Errorf("%d rejected: place %d has %+v, want %+v", count, i, rule, want)
			}
		}
	}
}

// TestMessagesFit: the API server refuses a whole status for one message of more than 32768 characters, and a patch may
// have 65536.
func TestMessagesFit(t *testing.T) {
	o := working()
	o.failure = asPhaseError(errors.New("spec.patches[0] does not apply: " + strings.Repeat("é", 40000)))
	for _, condition := range computeStatus(o, v1alpha1.MetricsPipelineStatus{}).Conditions {
		if len(condition.Message) > 32768 || !utf8.ValidString(condition.Message) {
			t.Errorf("%s: %d bytes, valid UTF-8: %v", condition.Type, len(condition.Message), utf8.ValidString(condition.Message))
		}
		if condition.Type == v1alpha1.ConditionReady && !strings.HasPrefix(condition.Message, "spec.patches[0] does not apply") {
			t.Errorf("Ready: %.80s", condition.Message)
		}
	}
}

func TestImageVersion(t *testing.T) {
	for reference, want := range map[string]string{
		"registry.k8s.io/metrics-server/metrics-server:v0.9.0": "v0.9.0",
		"example.com:5000/metrics-server":                      "latest",
		"example.com:5000/metrics-server:v1":                   "v1",
		"example.com/metrics-server@sha256:abc":                "sha256:abc",
		"example.com:5000/metrics-server:v1@sha256:abc":        "v1",
		"metrics-server": "latest",
	} {
		if got := imageVersion(reference); got != want {
			t.Errorf("%s: %s, want %s", reference, got, want)
		}
	}
}

func TestLookAgain(t *testing.T) {
	s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
	for _, after := range []time.Duration{time.Hour, time.Minute, 2 * time.Hour} {
		s.lookAgain(after)
	}
	if s.requeueAfter != time.Minute {
		t.Errorf("looks again after %s, want the shortest", s.requeueAfter)
	}
}
