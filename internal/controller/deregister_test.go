// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// seen returns an APIService of ours that was made at one minute and turned at another, both after the moment.
func seen(made, turned int, available apiregv1.ConditionStatus) *apiregv1.APIService {
	apiService := registered(component.ResourceMetrics, component.MetricsServer, available, "MissingEndpoints")
	apiService.UID, apiService.CreationTimestamp = "uid", metav1.NewTime(minute(made))
	apiService.Status.Conditions[0].LastTransitionTime = metav1.NewTime(minute(turned))
	return apiService
}

func minute(n int) time.Time { return moment.Add(time.Duration(n) * time.Minute) }

func TestDueForDeregistration(t *testing.T) {
	const yes, no = apiregv1.ConditionTrue, apiregv1.ConditionFalse
	for name, tc := range map[string]struct {
		memory registration
		object *apiregv1.APIService
		// due is the minute; -1 for never.
		due int
	}{
		"available":                         {registration{}, seen(0, 0, yes), -1},
		"unavailable for some time":         {registration{everAvailable: true}, seen(0, 20, no), 25},
		"never available":                   {registration{}, seen(0, 0, no), -1},
		"never available, late first look":  {registration{}, seen(0, 1, no), -1},
		"available before a restart":        {registration{}, seen(0, 2, no), 7},
		"made anew, unavailable all along":  {registration{everAvailable: true, since: minute(30)}, seen(30, 30, no), 35},
		"taken over while unavailable":      {registration{since: minute(30)}, seen(0, 10, no), -1},
		"taken over, and available once":    {registration{since: minute(30), everAvailable: true}, seen(0, 10, no), 35},
		"taken over, then turned available": {registration{since: minute(30)}, seen(0, 31, yes), -1},
	} {
		due, unavailable := tc.memory.look(tc.object, minute(100))
		if unavailable != (tc.due >= 0) || unavailable && !due.Equal(minute(tc.due)) {
			t.Errorf("%s: due %s, %v; want minute %d", name, due, unavailable, tc.due)
		}
	}
	unseen := seen(0, 0, no)
	unseen.Status.Conditions = nil
	if _, unavailable := (&registration{everAvailable: true}).look(unseen, minute(100)); unavailable {
		t.Error("due although kube-aggregator has not looked")
	}
}

// TestPausesGrow, so that an API whose backend comes and goes is not registered ever again, until it has recovered.
func TestPausesGrow(t *testing.T) {
	m := &registration{}
	now := moment
	pause := func() time.Duration {
		m.deregistered("uid", now)
		return m.until.Sub(now)
	}
	for _, want := range []int{5, 10, 20, 40, 60, 60, 60} {
		if got := pause(); got != time.Duration(want)*time.Minute || m.away == "" {
			t.Errorf("pause %s, want %d minutes", got, want)
		}
		m.registered(now)
	}
	m.look(seen(0, 100, apiregv1.ConditionTrue), minute(109))
	if got := pause(); got != time.Hour {
		t.Errorf("pause %s after nine minutes in which it was available", got)
	}
	m.look(seen(0, 100, apiregv1.ConditionTrue), minute(110))
	if got := pause(); got != 5*time.Minute {
		t.Errorf("pause %s after a recovery", got)
	}
	// Nobody looked while it was available, and it was for long.
	pause()
	m.look(seen(0, 200, apiregv1.ConditionTrue), minute(200))
	m.look(seen(0, 230, apiregv1.ConditionFalse), minute(236))
	if got := pause(); got != 5*time.Minute {
		t.Errorf("pause %s after a recovery that was not looked at", got)
	}
}

// TestDeregister deletes what is ours, unavailable for long enough and not to be kept, and comes back for the rest.
func TestDeregister(t *testing.T) {
	r, clock := inMemory(t,
		seen(0, 10, apiregv1.ConditionFalse),
		aged(registered(component.CustomMetricsBeta2, component.PrometheusAdapter, apiregv1.ConditionFalse, "MissingEndpoints"), 10),
		aged(foreign(component.ExternalMetricsBeta, apiregv1.ConditionFalse, "MissingEndpoints"), 10))
	pipeline := &v1alpha1.MetricsPipeline{}
	pipeline.Spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	pipeline.Spec.ExternalMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	look := func(at time.Time) *scope {
		t.Helper()
		clock.SetTime(at)
		s := newScope(pipeline, "metrics")
		if err := r.readAPIServices(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := r.deregister(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}

	s := look(minute(14))
	if len(s.apiServices) != 3 || s.requeueAfter != time.Minute || s.observed.deregistered != nil {
		t.Errorf("after 4 minutes %d are left, looks again after %s", len(s.apiServices), s.requeueAfter)
	}
	s = look(minute(15))
	if s.apiServices[component.ResourceMetrics.Name()] != nil || len(s.apiServices) != 2 || len(s.observed.deregistered) != 1 {
		t.Errorf("after 5 minutes %d are left, deregistered %v", len(s.apiServices), s.observed.deregistered)
	}
	// The cache may show it for a moment longer. What is gone must not be written as if it were there, whatever the policy is now.
	kept := pipeline.DeepCopy()
	kept.Spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableKeep
	stale := newScope(kept, "metrics")
	stale.apiServices = map[string]*apiregv1.APIService{component.ResourceMetrics.Name(): seen(0, 10, apiregv1.ConditionFalse)}
	if err := r.deregister(t.Context(), stale); err != nil || len(stale.apiServices) > 0 || stale.observed.deregistered != nil {
		t.Errorf("with a stale cache: %v, %v, %v", err, stale.apiServices, stale.observed.deregistered)
	}
	if s = look(minute(16)); len(s.apiServices) != 2 || s.observed.deregistered != nil {
		t.Errorf("the others: %d are left, deregistered %v", len(s.apiServices), s.observed.deregistered)
	}

	away := func(at time.Time, waiting string) (string, bool) {
		t.Helper()
		clock.SetTime(at)
		return r.keptAway(newScope(pipeline, "metrics"), component.ResourceMetrics, waiting)
	}
	if message, kept := away(minute(19), ""); !kept || !strings.Contains(message, minute(20).Format(time.RFC3339)) {
		t.Errorf("registered before the pause is over: %q, %v", message, kept)
	}
	if message, kept := away(minute(20), "The Service has no ready endpoint yet."); !kept || !strings.HasSuffix(message, "no ready endpoint yet.") {
		t.Errorf("without a backend: %q, %v", message, kept)
	}
	if message, kept := away(minute(20), ""); kept {
		t.Errorf("with a backend, after the pause: %q", message)
	}
	pipeline.Spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableKeep
	if message, kept := away(minute(16), ""); kept {
		t.Errorf("although it is to be kept now: %q", message)
	}
}

// aged makes an APIService two minutes older than its last transition, at the given minute.
func aged(apiService *apiregv1.APIService, turned int) *apiregv1.APIService {
	apiService.CreationTimestamp = metav1.NewTime(minute(turned - 2))
	apiService.Status.Conditions[0].LastTransitionTime = metav1.NewTime(minute(turned))
	return apiService
}
