// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// unplannable is what is observed where it cannot be known who serves the metrics APIs.
func unplannable(err error) Observation {
	o := Observation{Generation: 4, Version: "v2", Facts: cluster.Facts{RequestHeaderCA: true, Unplannable: err}}
	problem(&o, err)
	return o
}

// TestUnplannedScrapeStaysAside: a condition that is kept from before still leaves Ready to the others.
func TestUnplannedScrapeStaysAside(t *testing.T) {
	_, before := statusOf(func(o *Observation) {
		o.Scrape = &Scrape{Current: true, Reason: v1alpha1.ReasonCRDsMissing, Message: "no CRDs."}
	})
	after := Status(unplannable(errors.New("the API server is away")), before)
	ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonApplyFailed {
		t.Errorf("Ready speaks of %s: %s", ready.Reason, ready.Message)
	}
}

// TestUnplannedKeepsWhatWasKnown: an API server that is away for a moment must not empty the status, and a missing permission is
// named.
func TestUnplannedKeepsWhatWasKnown(t *testing.T) {
	_, before := statusOf(func(o *Observation) {
		o.Plan.Rules = append(o.Plan.Rules, rule("errors", v1alpha1.RuleRejected, "bad"))
	})
	for name, tc := range map[string]struct {
		err  error
		want map[string]string
	}{
		"the API server is away": {errors.New("the API server is away"), map[string]string{
			v1alpha1.ConditionRulesAccepted:        "False RulesRejected",
			v1alpha1.ConditionPrometheusReady:      "True Reachable",
			v1alpha1.ConditionComponentsReady:      "False ApplyFailed",
			v1alpha1.ConditionAPIServicesAvailable: "True AllAvailable",
		}},
		"APIServices cannot be read": {
			fmt.Errorf("read APIService v1beta1.metrics.k8s.io: %w", unreadable(kinds.APIService.GroupVersionKind, "apiservices")),
			map[string]string{
				v1alpha1.ConditionRulesAccepted:        "False RulesRejected",
				v1alpha1.ConditionPrometheusReady:      "True Reachable",
				v1alpha1.ConditionComponentsReady:      "True AllAvailable",
				v1alpha1.ConditionAPIServicesAvailable: "False Unreadable",
			}},
	} {
		after := Status(unplannable(tc.err), before)
		ignored := cmpopts.IgnoreFields(v1alpha1.MetricsPipelineStatus{}, "Conditions", "ObservedGeneration", "Version")
		if diff := cmp.Diff(before, after, ignored); diff != "" {
			t.Errorf("%s: forgotten (-before +after):\n%s", name, diff)
		}
		if after.ObservedGeneration != 4 || after.Version != "v2" {
			t.Errorf("%s: generation %d, version %s", name, after.ObservedGeneration, after.Version)
		}
		wantConditions(t, after, tc.want)
	}
}

// TestUnplannableFromTheStart: where nothing was known before, the condition names what cannot be read all the same.
func TestUnplannableFromTheStart(t *testing.T) {
	status := Status(unplannable(unreadable(kinds.APIService.GroupVersionKind, "apiservices")), v1alpha1.MetricsPipelineStatus{})
	wantConditions(t, status, map[string]string{
		v1alpha1.ConditionReady:                "False Unreadable",
		v1alpha1.ConditionStalled:              "True Unreadable",
		v1alpha1.ConditionComponentsReady:      "Unknown Progressing",
		v1alpha1.ConditionAPIServicesAvailable: "False Unreadable",
	})
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if !strings.Contains(ready.Message, `cannot list resource "apiservices"`) {
		t.Errorf("Ready: %s", ready.Message)
	}
}

// TestUnreadableIsSaidOnce, although a fact and the failure to read it both say it.
func TestUnreadableIsSaidOnce(t *testing.T) {
	_, status := statusOf(unreadableCases()["Prometheus objects cannot be read"].change)
	found := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPrometheusReady)
	if count := strings.Count(found.Message, "cannot list"); count != 1 {
		t.Errorf("said %d times: %s", count, found.Message)
	}
}

// restarts are what an operator observes that has just started, or met a conflict, of a pipeline about which nothing changed.
func restarts() map[string]func(*Observation) {
	unscraped := func(o *Observation) { o.Scrape = nil }
	unqueried := func(o *Observation) { o.Facts.Prometheus.Answer.Known = false }
	// A conflict ends the ladder, and is no failure.
	conflict := func(o *Observation) {
		o.Authorities = nil
		for i := range o.Outcomes {
			o.Outcomes[i] = Outcome{Component: o.Outcomes[i].Component}
		}
	}
	return map[string]func(*Observation){
		"the annotated apps have not been read":   unscraped,
		"Prometheus has not been queried":         unqueried,
		"a conflict while certificates were read": conflict,
		"all of them": func(o *Observation) {
			unscraped(o)
			unqueried(o)
			conflict(o)
		},
	}
}

// TestAtRestNothingChanges: a restart or a conflict changes no word of the status and sends no Event, whether everything works or
// something does not.
func TestAtRestNothingChanges(t *testing.T) {
	stood := map[string]func(*Observation){
		"everything works": func(*Observation) {},
		"an API waits for its backend": func(o *Observation) {
			waits(o, metricsapi.Resource, v1alpha1.ReasonWaitingForBackend, "The Service has no ready endpoint yet.")
		},
		"an API was deregistered":    func(o *Observation) { waits(o, metricsapi.Resource, v1alpha1.ReasonDeregistered, "deleted.") },
		"Prometheus does not answer": func(o *Observation) { o.Facts.Prometheus.Answer.Err = errors.New("refused") },
		"Prometheus has shards":      func(o *Observation) { o.Facts.Prometheus.Target.Shards = 2 },
		"a certificate is overdue":   func(o *Observation) { outcomeOf(o, usageServer).Certificate.Overdue = true },
		"there are no CRDs of monitors": func(o *Observation) {
			o.Scrape = &Scrape{Current: true, Reason: v1alpha1.ReasonCRDsMissing, Message: "no CRDs."}
		},
		"another owner serves a group": func(o *Observation) {
			served(o, foreign(metricsapi.External, apiregv1.ConditionTrue, "Passed"))
		},
	}
	authority := func(o *Observation) {
		o.Authorities = []Authority{{CertificateStatus: v1alpha1.CertificateStatus{Name: "metricspipeline-ca"}}}
	}
	for state, stands := range stood {
		_, status := statusOf(authority, stands)
		before := settled(status)
		for name, restart := range restarts() {
			o, _ := statusOf(authority, stands, restart)
			after := Status(o, before)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s, %s (-before +after):\n%s", state, name, diff)
			}
			if events := Transitions(before, after); len(events) > 0 {
				t.Errorf("%s, %s: events %v", state, name, events)
			}
		}
	}
}

// TestProbingIsSaid of a Prometheus that has not been queried before.
func TestProbingIsSaid(t *testing.T) {
	for name, was := range map[string]func(*Observation){
		"another Prometheus":            func(o *Observation) { o.Facts.Prometheus.Target.URL = "http://elsewhere" },
		"a credential is missing":       func(o *Observation) { o.Facts.Prometheus.CredentialsMissing = "no Secret" },
		"the credentials were withheld": func(o *Observation) { o.Facts.Prometheus.CredentialsWithheld = "not over http" },
		"no rule queries it":            func(o *Observation) { o.Facts.Prometheus.Required = false },
	} {
		_, before := statusOf(was)
		o, _ := statusOf(func(o *Observation) { o.Facts.Prometheus.Answer.Known = false })
		t.Run(name, func(t *testing.T) {
			wantConditions(t, Status(o, before), map[string]string{v1alpha1.ConditionPrometheusReady: "Unknown Probing"})
		})
	}
}

// TestAFaultStaysInItsPart: whatever ends the ladder of one component, all else is reported as before.
func TestAFaultStaysInItsPart(t *testing.T) {
	_, status := statusOf()
	before := settled(status)
	for name, tc := range map[string]struct {
		change func(*Observation)
		// condition that says it, and what it says.
		condition, says string
	}{
		"a patch does not apply": {fails(usageServer, Unrendered(errors.New("spec.patches[0] does not apply"))),
			v1alpha1.ConditionComponentsReady, "spec.patches[0] does not apply."},
		"an object is refused": {fails(usageServer, FailureOf(forbidden("patch", "services"))),
			v1alpha1.ConditionComponentsReady, `cannot patch resource "services".`},
		"a certificate cannot be stored": {func(o *Observation) {
			outcomeOf(o, usageServer).Certificate = Certificate{}
			fails(usageServer, Unissued(errors.New("no entropy")))(o)
		}, v1alpha1.ConditionCertificatesReady, "no entropy."},
		"a credential is missing": {func(o *Observation) { o.Facts.Prometheus.CredentialsMissing = "there is no Secret x" },
			v1alpha1.ConditionPrometheusReady, "there is no Secret x."},
		"it is contested": {func(o *Observation) {
			outcomeOf(o, usageServer).Contested = append(outcomeOf(o, usageServer).Contested, contested("Deployment metrics/usage-server"))
		}, v1alpha1.ConditionComponentsReady, "Deployment metrics/usage-server: "},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := statusOf(tc.change)
			after := Status(o, before)
			ignored := cmp.FilterPath(func(path cmp.Path) bool { return path.Last().String() == ".Message" }, cmp.Ignore())
			if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(v1alpha1.MetricsPipelineStatus{}, "Conditions"), ignored); diff != "" {
				t.Errorf("status (-before +after):\n%s", diff)
			}
			for _, part := range parts {
				was, is := meta.FindStatusCondition(before.Conditions, part.condition), meta.FindStatusCondition(after.Conditions, part.condition)
				if part.condition != tc.condition && is.Status != was.Status {
					t.Errorf("%s: %s %s", part.condition, is.Status, is.Message)
				}
				if part.condition == tc.condition && !strings.Contains(is.Message, tc.says) {
					t.Errorf("%s: %s", part.condition, is.Message)
				}
			}
		})
	}
}

// TestConditionsOfAnotherVersionGo: after a step back to an earlier version nobody writes them any more.
func TestConditionsOfAnotherVersionGo(t *testing.T) {
	_, before := statusOf(func(*Observation) {})
	known := len(before.Conditions)
	meta.SetStatusCondition(&before.Conditions, metav1.Condition{Type: "LampReady", Status: metav1.ConditionFalse, Reason: "Dark"})
	after := Status(unplannable(errors.New("the API server is away")), before)
	if len(after.Conditions) != known || meta.FindStatusCondition(after.Conditions, "LampReady") != nil {
		t.Errorf("conditions: %v", after.Conditions)
	}
}
