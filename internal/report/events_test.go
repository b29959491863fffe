// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/registration"
)

// said returns the events of a reconcile that observed o after the status before, as "Type Reason Note".
func said(o Observation, before v1alpha1.MetricsPipelineStatus) []string {
	var notes []string
	for _, e := range slices.Concat(Changes(o), Transitions(before, Status(o, before))) {
		notes = append(notes, strings.Join([]string{e.Type, e.Reason, e.Note}, " "))
	}
	return notes
}

func TestEventsOnTransitions(t *testing.T) {
	works := func(*Observation) {}
	down := func(o *Observation) { o.Facts.Prometheus.Answer.Err = errors.New("refused") }
	downOtherwise := func(o *Observation) { o.Facts.Prometheus.Answer.Err = errors.New("no route to host") }
	starts := func(o *Observation) { stands(o, usageServer, starting(usageServer)) }
	issuing := func(o *Observation) {
		outcomeOf(o, usageServer).Certificate = Certificate{Known: true, Waiting: true, Lacking: "Certificate x: pending"}
	}
	unlisted := func(o *Observation) { o.Autoscalers = nil }
	unserved := func(o *Observation) { o.Autoscalers = failed() }
	waits := func(o *Observation) { unregister(o, metricsapi.Resource, nil) }
	unavailable := func(o *Observation) {
		o.APIServices[metricsapi.Resource.Name()] = registered(metricsapi.Resource, usageServer, apiregv1.ConditionFalse, "MissingEndpoints")
	}
	const broke = "Warning Unreachable PrometheusReady turned False: Prometheus monitoring/k8s does not answer: refused."

	for name, tc := range map[string]struct {
		before, after func(*Observation)
		first         bool
		want          []string
	}{
		"nothing changed":         {before: works, after: works},
		"still down":              {before: down, after: down},
		"down for another reason": {before: down, after: downOtherwise},
		"in order from the start": {first: true, after: works},
		"Prometheus went away": {before: works, after: down,
			want: []string{broke, "Warning Unreachable Ready turned False: "}},
		"Prometheus does not answer, from the start": {first: true, after: down,
			want: []string{broke, "Warning Unreachable Ready turned False: "}},
		"Prometheus came back": {before: down, after: works, want: []string{
			"Normal Reachable PrometheusReady turned True: ", "Normal Ready Ready turned True: "}},
		"not ready yet, from the start": {first: true, after: starts, want: []string{
			"Normal Unavailable ComponentsReady turned False: ", "Normal Unavailable Ready turned False: "}},
		"not issued yet, from the start": {first: true, after: issuing, want: []string{
			"Normal Issuing CertificatesReady turned False: ", "Normal Issuing Ready turned False: "}},
		"a pod is missing": {before: works, after: starts, want: []string{
			"Warning Unavailable ComponentsReady turned False: ", "Warning Unavailable Ready turned False: "}},
		"HPAs are not known yet":         {first: true, after: unlisted},
		"HPAs are known, and served":     {before: unlisted, after: works},
		"HPAs are known, and not served": {before: unlisted, after: unserved, want: []string{"Warning Unserved AutoscalersServed turned False: "}},
		"HPAs are not served any more":   {before: works, after: unserved, want: []string{"Warning Unserved AutoscalersServed turned False: "}},
		"HPAs are served again":          {before: unserved, after: works, want: []string{"Normal Served AutoscalersServed turned True: "}},
		"an API became unavailable": {before: works, after: unavailable, want: []string{
			"Warning MissingEndpoints APIServicesAvailable turned False: ", "Warning MissingEndpoints Ready turned False: ",
			"Warning MissingEndpoints APIService v1beta1.metrics.k8s.io turned unavailable: said kube-aggregator"}},
		"an API became available": {before: waits, after: works, want: []string{
			"Normal AllAvailable APIServicesAvailable turned True: ", "Normal Ready Ready turned True: ",
			"Normal Passed APIService v1beta1.metrics.k8s.io turned available: said kube-aggregator"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := v1alpha1.MetricsPipelineStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady,
				Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending}}} // The default of the schema.
			if !tc.first {
				_, before = statusOf(tc.before)
			}
			after, _ := statusOf(tc.after)
			got := said(after, before)
			if len(got) != len(tc.want) {
				t.Fatalf("said %q, want %q", got, tc.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tc.want[i]) {
					t.Errorf("said %q, want %q", got[i], tc.want[i])
				}
			}
		})
	}
}

func TestEventsAboutWrites(t *testing.T) {
	o, before := statusOf(func(o *Observation) {
		o.Authorities = []Authority{
			{CertificateStatus: v1alpha1.CertificateStatus{Name: "metricspipeline-ca"}, Issued: "there is none yet"},
			{CertificateStatus: v1alpha1.CertificateStatus{Name: "unchanged-ca"}},
		}
		first, second := outcomeOf(o, usageServer), outcomeOf(o, rulesServer)
		first.Certificate.Issued = "it is due for renewal"
		first.Created, first.Repaired = []string{"Service metrics/usage-server"}, []string{"Deployment metrics/usage-server"}
		second.Created = []string{"ConfigMap metrics/rules-server"}
		second.APIs[2].TakenOverFrom = "helm (service vendor/metrics-apiserver)"
		o.Deregistered = []registration.Change{{APIService: "v1beta1.metrics.k8s.io", Why: "MissingEndpoints"}}
		o.Pruned = []string{"PodDisruptionBudget metrics/usage-server"}
	})
	want := []string{
		"Normal CertificateIssued Issued the certificate in Secret metricspipeline-ca (there is none yet), " +
			"usage-server-tls (it is due for renewal).",
		"Normal ObjectsCreated Created Service metrics/usage-server, ConfigMap metrics/rules-server.",
		"Warning DriftRepaired Repaired what another writer had changed or deleted: Deployment metrics/usage-server.",
		"Normal APITakenOver Took APIService v1beta1.external.metrics.k8s.io over from helm (service vendor/metrics-apiserver).",
		"Warning APIDeregistered Deleted APIService v1beta1.metrics.k8s.io, which has been unavailable for 5 minutes (MissingEndpoints).",
		"Normal ObjectsPruned Deleted what is no longer wanted: PodDisruptionBudget metrics/usage-server.",
	}
	if diff := cmp.Diff(want, said(o, before)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestEventsDiffer: client-go counts an event of the same kind, reason and action as a repetition and drops its note.
func TestEventsDiffer(t *testing.T) {
	_, before := statusOf()
	for name, tc := range conditionCases() {
		after, status := statusOf(tc.change)
		if len(after.Outcomes) > 0 {
			after.Outcomes[0].Created, after.Outcomes[0].Repaired = []string{"a"}, []string{}
		}
		seen := map[[3]string]bool{}
		for _, e := range append(Changes(after), Transitions(before, status)...) {
			key := [3]string{e.Type, e.Reason, e.Action}
			if seen[key] {
				t.Errorf("%s: two events %v", name, key)
			}
			seen[key] = true
		}
	}
}

// TestLongEventsFit: the API server refuses a note of more than 1024 bytes.
func TestLongEventsFit(t *testing.T) {
	o, before := statusOf()
	for i := range 100 {
		o.Outcomes[0].Created = append(o.Outcomes[0].Created, fmt.Sprintf("Deployment metrics/%d", i))
	}
	for offset := range 3 {
		o.Failures = []*Failure{FailureOf(errors.New(strings.Repeat("x", offset) + strings.Repeat("é", 2000)))}
		for _, event := range said(o, before) {
			note := strings.SplitN(event, " ", 3)[2]
			if len(note) > 1024 || !utf8.ValidString(note) {
				t.Errorf("%d bytes, valid UTF-8 %v: %.60s", len(note), utf8.ValidString(note), note)
			}
		}
	}
	if first := said(o, before)[0]; !strings.HasSuffix(first, "Deployment metrics/7 and 92 more.") {
		t.Errorf("many objects: %s", first)
	}
}
