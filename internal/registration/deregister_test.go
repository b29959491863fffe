// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
)

const yes, no = apiregv1.ConditionTrue, apiregv1.ConditionFalse

// began is when each test begins.
var began = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }

// seen returns an APIService of ours that was made at one minute and turned at another.
func seen(api metricsapi.API, made, turned int, available apiregv1.ConditionStatus) *apiregv1.APIService {
	return &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: api.Name(), UID: "uid", CreationTimestamp: metav1.NewTime(minute(made)),
			Labels: ownership.Labels("backend")},
		Spec: apiregv1.APIServiceSpec{Group: api.Group, Version: api.Version},
		Status: apiregv1.APIServiceStatus{Conditions: []apiregv1.APIServiceCondition{{Type: apiregv1.Available, Status: available,
			Reason: "MissingEndpoints", Message: "no endpoints", LastTransitionTime: metav1.NewTime(minute(turned))}}},
	}
}

// deleter is an API server that deletes what it does not refuse.
type deleter struct {
	refuse  map[string]error
	deleted []string
}

func (d *deleter) Delete(_ context.Context, object client.Object) (bool, error) {
	if err := d.refuse[object.GetName()]; err != nil {
		return false, err
	}
	d.deleted = append(d.deleted, object.GetName())
	return true, nil
}

// world is a registrar, its clock and what it looks at.
type world struct {
	*testing.T
	*Registrar
	deleter *deleter
	clock   *clocktesting.FakePassiveClock
	spec    v1alpha1.MetricsPipelineSpec
	facts   cluster.Facts
}

func newWorld(t *testing.T, apiServices ...*apiregv1.APIService) *world {
	t.Helper()
	w := &world{T: t, deleter: &deleter{}, clock: clocktesting.NewFakePassiveClock(began),
		facts: cluster.Facts{APIServices: map[string]*apiregv1.APIService{}}}
	w.Registrar = New(w.deleter, w.clock)
	for _, apiService := range apiServices {
		w.facts.APIServices[apiService.Name] = apiService
	}
	w.spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	w.spec.ExternalMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	return w
}

// at deregisters at a minute.
func (w *world) at(n int) Deregistration {
	w.Helper()
	w.clock.SetTime(minute(n))
	done, err := w.Deregister(w.Context(), w.facts, w.spec)
	if err != nil {
		w.Fatal(err)
	}
	return done
}

// left are the names of the APIServices that are not gone.
func (w *world) left(done Deregistration) []string {
	var names []string
	for name := range w.facts.Without(done.Gone).APIServices {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestDueForDeregistration(t *testing.T) {
	for name, tc := range map[string]struct {
		// registered is when this process registered the API, 0 for not at all.
		registered int
		object     *apiregv1.APIService
		// due is the minute; -1 for never.
		due int
	}{
		"available":                         {0, seen(metricsapi.Resource, 0, 0, yes), -1},
		"unavailable for some time":         {0, seen(metricsapi.Resource, 0, 20, no), 25},
		"never available":                   {0, seen(metricsapi.Resource, 0, 0, no), 5},
		"never available, late first look":  {0, seen(metricsapi.Resource, 0, 1, no), 6},
		"available before a restart":        {0, seen(metricsapi.Resource, 0, 2, no), 7},
		"made anew, unavailable all along":  {30, seen(metricsapi.Resource, 30, 30, no), 35},
		"taken over while unavailable":      {30, seen(metricsapi.Resource, 0, 10, no), 35},
		"taken over, then turned available": {30, seen(metricsapi.Resource, 0, 31, yes), -1},
		"taken over, then unavailable":      {30, seen(metricsapi.Resource, 0, 32, no), 37},
		"the status is Unknown":             {0, seen(metricsapi.Resource, 0, 20, apiregv1.ConditionUnknown), -1},
	} {
		w := newWorld(t)
		if tc.registered > 0 {
			w.clock.SetTime(minute(tc.registered))
			w.Registered(metricsapi.Resource)
		}
		w.clock.SetTime(minute(100))
		due, unavailable := w.look(metricsapi.Resource, tc.object)
		if unavailable != (tc.due >= 0) || unavailable && !due.Equal(minute(tc.due)) {
			t.Errorf("%s: due %s, %v; want minute %d", name, due, unavailable, tc.due)
		}
	}
	unseen := seen(metricsapi.Resource, 0, 0, no)
	unseen.Status.Conditions = nil
	if _, unavailable := newWorld(t).look(metricsapi.Resource, unseen); unavailable {
		t.Error("due although kube-aggregator has not looked")
	}
}

// TestPausesGrow, so that an API whose backend comes and goes is not registered ever again, until it has recovered.
func TestPausesGrow(t *testing.T) {
	w := newWorld(t)
	pause := func() time.Duration {
		w.deregistered(metricsapi.Resource, "uid")
		return w.of(metricsapi.Resource).until.Sub(w.clock.Now())
	}
	look := func(now, turned int, available apiregv1.ConditionStatus) {
		w.clock.SetTime(minute(now))
		w.look(metricsapi.Resource, seen(metricsapi.Resource, 0, turned, available))
	}
	for _, want := range []int{5, 10, 20, 40, 60, 60, 60} {
		if got := pause(); got != time.Duration(want)*time.Minute || w.of(metricsapi.Resource).away == "" {
			t.Errorf("pause %s, want %d minutes", got, want)
		}
		w.Registered(metricsapi.Resource)
	}
	look(109, 100, yes)
	if got := pause(); got != time.Hour {
		t.Errorf("pause %s after nine minutes in which it was available", got)
	}
	look(110, 100, yes)
	if got := pause(); got != 5*time.Minute {
		t.Errorf("pause %s after a recovery", got)
	}
	// The operator did not look while it was available, and it was for long.
	pause()
	look(200, 200, yes)
	look(236, 230, no)
	if got := pause(); got != 5*time.Minute {
		t.Errorf("pause %s after a recovery that was not looked at", got)
	}
	w.deregistered(metricsapi.External, "uid")
	if got := w.of(metricsapi.External).until.Sub(w.clock.Now()); got != 5*time.Minute {
		t.Errorf("pause %s of another API, want one of its own", got)
	}
	pause()
	w.Forget()
	if got := pause(); got != 5*time.Minute {
		t.Errorf("pause %s for a new pipeline", got)
	}
}

// deregisterable is a world with an unavailable API of ours, one that is to be kept, and a foreign one.
func deregisterable(t *testing.T) *world {
	t.Helper()
	foreign := seen(metricsapi.External, 8, 10, no)
	foreign.Labels = nil
	return newWorld(t, seen(metricsapi.Resource, 0, 10, no), seen(metricsapi.CustomV1Beta2, 8, 10, no), foreign)
}

// TestDeregister deletes what is ours, unavailable for long enough and not to be kept, and comes back for the rest.
func TestDeregister(t *testing.T) {
	w := deregisterable(t)
	done := w.at(14)
	if len(w.left(done)) != 3 || done.RequeueAfter != time.Minute || done.Deleted != nil {
		t.Errorf("after 4 minutes %q are left, requeueAfter %s", w.left(done), done.RequeueAfter)
	}
	done = w.at(15)
	want := []Change{{metricsapi.Resource.Name(), "MissingEndpoints: no endpoints"}}
	if diff := cmp.Diff(want, done.Deleted); diff != "" {
		t.Errorf("after 5 minutes deleted (-want +got):\n%s", diff)
	}
	if left := w.left(done); len(left) != 2 || slices.Contains(left, metricsapi.Resource.Name()) {
		t.Errorf("after 5 minutes %q are left", left)
	}
	if !slices.Equal(w.deleter.deleted, []string{metricsapi.Resource.Name()}) {
		t.Errorf("deleted %q", w.deleter.deleted)
	}
	// The cache may show it for a moment longer. What is gone must not be written as if it were there, whatever the policy is now.
	w.spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableKeep
	if done = w.at(15); slices.Contains(w.left(done), metricsapi.Resource.Name()) || done.Deleted != nil {
		t.Errorf("with a stale cache %q are left, deleted %v", w.left(done), done.Deleted)
	}
	w.spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	w.facts = w.facts.Without(done.Gone)
	if done = w.at(16); len(w.left(done)) != 2 || done.Deleted != nil {
		t.Errorf("the others: %q are left, deleted %v", w.left(done), done.Deleted)
	}
	if len(w.deleter.deleted) != 1 {
		t.Errorf("deleted %q", w.deleter.deleted)
	}
}

// TestKeptAway: what was deregistered comes back after the pause, once its backend serves.
func TestKeptAway(t *testing.T) {
	w := deregisterable(t)
	w.at(15)
	away := func(n int, waiting string) (string, time.Duration, bool) {
		t.Helper()
		w.clock.SetTime(minute(n))
		return w.KeptAway(metricsapi.Resource, w.spec, waiting)
	}
	message, wait, kept := away(19, "")
	if !kept || wait != time.Minute || !strings.Contains(message, minute(20).Format(time.RFC3339)) {
		t.Errorf("registered before the pause is over: %q, %s, %v", message, wait, kept)
	}
	const waiting = "The Service has no ready endpoint yet."
	if message, _, kept := away(20, waiting); !kept || !strings.HasSuffix(message, waiting) {
		t.Errorf("without a backend: %q, %v", message, kept)
	}
	if message, _, kept := away(20, ""); kept {
		t.Errorf("with a backend, after the pause: %q", message)
	}
	if message, _, kept := w.KeptAway(metricsapi.External, w.spec, ""); kept {
		t.Errorf("an API that was not deregistered: %q", message)
	}
	w.spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableKeep
	if message, _, kept := away(16, ""); kept {
		t.Errorf("although it is to be kept now: %q", message)
	}
}

// TestOneThatCannotBeDeleted keeps none of the others.
func TestOneThatCannotBeDeleted(t *testing.T) {
	w := newWorld(t, seen(metricsapi.Resource, 0, 10, no), seen(metricsapi.External, 0, 10, no))
	refused := errors.New("the API server refuses")
	w.deleter.refuse = map[string]error{metricsapi.Resource.Name(): refused}
	w.clock.SetTime(minute(20))
	done, err := w.Deregister(t.Context(), w.facts, w.spec)
	if !errors.Is(err, refused) || !slices.Equal(done.Gone, []string{metricsapi.External.Name()}) || len(done.Deleted) != 1 {
		t.Errorf("gone %q, deleted %v, error %v", done.Gone, done.Deleted, err)
	}
}
