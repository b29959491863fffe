// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/health"
)

// The pace of onUnavailable: Deregister.
const (
	// patience is how long a backend may be unavailable before its APIService goes, and how long a new APIService has.
	patience = 5 * time.Minute
	// firstPause follows the first deregistration, longestPause the later ones, each twice as long as the one before.
	firstPause, longestPause = 5 * time.Minute, time.Hour
	// recovery is how long an API has to be available for the pauses to begin anew.
	recovery = 10 * time.Minute
	// firstLook is how long kube-aggregator may take to look at a new APIService. One that turned unavailable later was
	// available before.
	firstLook = time.Minute
)

// registration is what no object says of an APIService and onUnavailable needs. A restart forgets it.
type registration struct {
	// since is when this process has registered the API; zero where an earlier one did.
	since time.Time
	// everAvailable is true when this process has seen it available, and availableSince is since when it is.
	everAvailable  bool
	availableSince time.Time
	// away is the UID of the APIService that was deregistered, empty once it is registered again; until is when that may be
	// at the earliest.
	away  types.UID
	until time.Time
	// times is the number of deregistrations without a recovery.
	times int
}

// look takes in how an APIService of ours stands, and returns when it is due for deregistration; false where it is not
// unavailable, or never was anything else.
func (m *registration) look(apiService *apiregv1.APIService, now time.Time) (time.Time, bool) {
	condition, looked := health.Availability(apiService)
	if !looked {
		return time.Time{}, false
	}
	changed := condition.LastTransitionTime.Time
	if condition.Status == apiregv1.ConditionTrue {
		m.everAvailable, m.availableSince = true, changed
		if now.Sub(changed) >= recovery {
			m.times = 0
		}
		return time.Time{}, false
	}
	if !m.availableSince.IsZero() && changed.Sub(m.availableSince) >= recovery {
		m.times = 0
	}
	if condition.Status != apiregv1.ConditionFalse {
		return time.Time{}, false // The API server cannot tell.
	}
	m.availableSince = time.Time{}
	// One that was taken over is older than it is ours.
	ours := latest(apiService.CreationTimestamp.Time, m.since)
	if !m.everAvailable && changed.Sub(ours) <= firstLook {
		return time.Time{}, false
	}
	return latest(changed, ours).Add(patience), true
}

// registered notes that the APIService was made or taken over.
func (m *registration) registered(now time.Time) {
	m.since, m.away = now, ""
}

// deregistered notes that it was taken away.
func (m *registration) deregistered(uid types.UID, now time.Time) {
	pause := longestPause
	if m.times < 4 { // 5, 10, 20 and 40 minutes.
		pause = firstPause << m.times
	}
	m.times++
	m.away, m.until = uid, now.Add(pause)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// registrationOf returns what is remembered of an API. There is one worker, so it needs no lock.
func (r *Reconciler) registrationOf(api component.API) *registration {
	if r.registrations == nil {
		r.registrations = map[string]*registration{}
	}
	if r.registrations[api.Name()] == nil {
		r.registrations[api.Name()] = &registration{}
	}
	return r.registrations[api.Name()]
}

// deregister deletes the APIServices whose backends have been unavailable for too long, where the user prefers a clean
// discovery to a metrics API that may come back. The backends stay.
func (r *Reconciler) deregister(ctx context.Context, s *scope) error {
	now := r.clock.Now()
	for _, api := range component.APIs() {
		apiService := s.apiServices[api.Name()]
		if apiService == nil || !health.Ours(apiService) {
			continue
		}
		memory := r.registrationOf(api)
		if memory.away == apiService.UID && memory.away != "" {
			delete(s.apiServices, api.Name()) // The cache has not seen that it is gone.
			continue
		}
		due, unavailable := memory.look(apiService, now)
		if !unavailable || !deregisters(s.pipeline.Spec, api) {
			continue
		}
		if wait := due.Sub(now); wait > 0 {
			s.lookAgain(wait)
			continue
		}
		deleted, err := r.unregister(ctx, apiService)
		if err != nil {
			return err
		}
		delete(s.apiServices, api.Name())
		if !deleted {
			continue
		}
		memory.deregistered(apiService.UID, now)
		condition, _ := health.Availability(apiService)
		s.observed.deregistered = append(s.observed.deregistered, change{api.Name(), condition.Reason + ": " + condition.Message})
	}
	return nil
}

func deregisters(spec v1alpha1.MetricsPipelineSpec, api component.API) bool {
	return component.Options(spec, api).OnUnavailable == v1alpha1.UnavailableDeregister
}

// keptAway says why an API that was deregistered is not registered again yet; false where nothing of the kind keeps it.
// waiting is what its backend lacks.
func (r *Reconciler) keptAway(s *scope, api component.API, waiting string) (string, bool) {
	memory, now := r.registrationOf(api), r.clock.Now()
	if memory.away == "" || !deregisters(s.pipeline.Spec, api) {
		return "", false
	}
	const deleted = "The APIService was deleted because its backend had been unavailable for 5 minutes. "
	if wait := memory.until.Sub(now); wait > 0 {
		s.lookAgain(wait)
		return deleted + fmt.Sprintf("It is made again when the backend serves, at %s at the earliest.",
			memory.until.UTC().Format(time.RFC3339)), true
	}
	return deleted + waiting, waiting != ""
}
