// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/events"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
)

// said returns the events of a reconcile that observed o after the status before, as "Type Reason Note".
func said(o observation, before v1alpha1.MetricsPipelineStatus) []string {
	recorder := events.NewFakeRecorder(100)
	r := &Reconciler{events: recorder}
	r.announce(&v1alpha1.MetricsPipeline{}, o, before, computeStatus(o, before))
	close(recorder.Events)
	var notes []string
	for note := range recorder.Events {
		notes = append(notes, note)
	}
	return notes
}

func statusAfter(changes ...func(*observation)) (observation, v1alpha1.MetricsPipelineStatus) {
	o := working()
	for _, change := range changes {
		change(&o)
	}
	return o, computeStatus(o, v1alpha1.MetricsPipelineStatus{})
}

func TestEventsOnTransitions(t *testing.T) {
	works := func(*observation) {}
	down := func(o *observation) { o.prometheus.answer.Err = errors.New("refused") }
	downOtherwise := func(o *observation) { o.prometheus.answer.Err = errors.New("no route to host") }
	starts := func(o *observation) { o.components[0].deployment = starting(component.MetricsServer) }
	waits := func(o *observation) { unregister(o, component.ResourceMetrics, nil) }
	unavailable := func(o *observation) {
		replace(o, registered(component.ResourceMetrics, component.MetricsServer, apiregv1.ConditionFalse, "MissingEndpoints"))
	}
	const broke = "Warning Unreachable PrometheusReady turned False: Prometheus monitoring/k8s does not answer: refused."

	for name, tc := range map[string]struct {
		before, after func(*observation)
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
		"a pod is gone": {before: works, after: starts, want: []string{
			"Warning Unavailable ComponentsReady turned False: ", "Warning Unavailable Ready turned False: "}},
		"an API became unavailable": {before: works, after: unavailable, want: []string{
			"Warning MissingEndpoints APIServicesAvailable turned False: ", "Warning MissingEndpoints Ready turned False: ",
			"Warning MissingEndpoints APIService v1beta1.metrics.k8s.io turned unavailable: said kube-aggregator"}},
		"an API became available": {before: waits, after: works, want: []string{
			"Normal AllAvailable APIServicesAvailable turned True: ", "Normal Ready Ready turned True: ",
			"Normal Passed APIService v1beta1.metrics.k8s.io turned available: said kube-aggregator"}},
	} {
		t.Run(name, func(t *testing.T) {
			var before v1alpha1.MetricsPipelineStatus
			if !tc.first {
				_, before = statusAfter(tc.before)
			}
			after, _ := statusAfter(tc.after)
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
	o, before := statusAfter()
	var s scope
	s.issued("metrics-server-tls", "there is none yet")
	s.issued("metricspipeline-ca", "")
	o.issuedCertificates = s.observed.issuedCertificates
	o.wrote("Service metrics/metrics-server", apply.Created)
	o.wrote("Deployment metrics/metrics-server", apply.Repaired)
	o.wrote("ConfigMap metrics/prometheus-adapter", apply.Configured)
	o.wrote("Secret metrics/metricspipeline-ca", apply.Unchanged)
	o.pruned = []string{"PodDisruptionBudget metrics/metrics-server"}
	want := []string{
		"Normal CertificateIssued Issued the certificate in Secret metrics-server-tls (there is none yet).",
		"Normal ObjectsCreated Created Service metrics/metrics-server.",
		"Warning DriftRepaired Repaired what somebody else had changed or deleted: Deployment metrics/metrics-server.",
		"Normal ObjectsPruned Deleted what is no longer wanted: PodDisruptionBudget metrics/metrics-server.",
	}
	if diff := cmp.Diff(want, said(o, before)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestEventsDiffer: client-go counts an event of the same kind, reason and action as a repetition and drops its note.
func TestEventsDiffer(t *testing.T) {
	_, before := statusAfter()
	for name, tc := range conditionCases() {
		after, status := statusAfter(tc.change)
		after.created, after.repaired = []string{"a"}, []string{}
		seen := map[[3]string]bool{}
		for _, e := range append(changed(after), transitions(before, status)...) {
			key := [3]string{e.kind, e.reason, e.action}
			if seen[key] {
				t.Errorf("%s: two events %v", name, key)
			}
			seen[key] = true
		}
	}
}

// TestLongEventsFit: the API server refuses a note of more than 1024 bytes.
func TestLongEventsFit(t *testing.T) {
	o, before := statusAfter()
	for i := range 100 {
		o.created = append(o.created, fmt.Sprintf("Deployment metrics/%d", i))
	}
	for offset := range 3 {
		o.failure = asPhaseError(errors.New(strings.Repeat("x", offset) + strings.Repeat("é", 2000)))
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
