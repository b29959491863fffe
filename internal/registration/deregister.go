// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// The pace of onUnavailable: Deregister.
const (
	// patience is how long a backend may be unavailable before its APIService is deleted, counted anew for a new APIService.
	patience = 5 * time.Minute
	// firstPause follows the first deregistration; each later pause is twice as long, up to longestPause.
	firstPause, longestPause = 5 * time.Minute, time.Hour
	// recovery is how long an API must be available for the pauses to begin anew.
	recovery = 10 * time.Minute
)

// Deleter deletes an object by UID; false where it was deleted already.
type Deleter interface {
	Delete(ctx context.Context, object client.Object) (bool, error)
}

// Registrar registers and deregisters APIServices. A restart forgets their history. Its methods are for one goroutine.
type Registrar struct {
	deleter Deleter
	clock   clock.PassiveClock
	known   map[string]*history
}

// New returns a registrar.
func New(deleter Deleter, clock clock.PassiveClock) *Registrar {
	return &Registrar{deleter: deleter, clock: clock, known: map[string]*history{}}
}

// history is what is remembered of one APIService.
type history struct {
	// since is when this process registered the API; zero where an earlier one did.
	since time.Time
	// availableSince is since when it is available; zero where it is not.
	availableSince time.Time
	// away is the UID of the APIService that was deregistered, empty once it is registered again, which is not before until, the
	// end of the pause.
	away  types.UID
	until time.Time
	pause time.Duration
}

// Change is an APIService and why it changed.
type Change struct{ APIService, Why string }

// Deregistration is what Deregister did.
type Deregistration struct {
	// Gone are the names of APIServices that are deleted, which the cache may still have.
	Gone []string
	// Deleted are those that were deleted now, and why kube-aggregator had them unavailable.
	Deleted []Change
	// RequeueAfter is when the next one is due; 0 is never.
	RequeueAfter time.Duration
}

// Deregister deletes the APIServices whose backends have been unavailable for too long, where onUnavailable says so. The
// backends stay. An error about one does not keep the others from being deleted.
func (r *Registrar) Deregister(ctx context.Context, facts cluster.Facts, spec v1alpha1.MetricsPipelineSpec) (Deregistration, error) {
	var done Deregistration
	var failures []error
	now := r.clock.Now()
	for _, api := range metricsapi.All() {
		apiService := facts.Ours(api)
		if apiService == nil {
			continue
		}
		known := r.of(api)
		if known.away == apiService.UID && known.away != "" {
			done.Gone = append(done.Gone, api.Name()) // The cache has not seen the deletion.
			continue
		}
		due, unavailable := r.look(api, apiService)
		if !unavailable || !deregisters(spec, api) {
			continue
		}
		if wait := due.Sub(now); wait > 0 {
			done.RequeueAfter = operand.Sooner(done.RequeueAfter, wait)
			continue
		}
		deleted, err := r.Unregister(ctx, apiService)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		done.Gone = append(done.Gone, api.Name())
		if deleted {
			r.deregistered(api, apiService.UID)
			condition := aggregator.GetAPIServiceConditionByType(apiService, apiregv1.Available) // look has found it.
			done.Deleted = append(done.Deleted, Change{api.Name(), condition.Reason + ": " + condition.Message})
		}
	}
	return done, errors.Join(failures...)
}

// Unregister deletes an APIService; false where it is deleted or being deleted already.
func (r *Registrar) Unregister(ctx context.Context, apiService *apiregv1.APIService) (bool, error) {
	if !apiService.DeletionTimestamp.IsZero() {
		return false, nil
	}
	return r.deleter.Delete(ctx, apiService)
}

// Registered records that an APIService was made or taken over.
func (r *Registrar) Registered(api metricsapi.API) {
	known := r.of(api)
	known.since, known.away = r.clock.Now(), ""
}

// Forget forgets everything: there is no pipeline.
func (r *Registrar) Forget() { clear(r.known) }

// KeptAway returns why an API that was deregistered is not registered again yet, and the requeueAfter; false where it may be
// registered. waiting is what its backend must do first.
func (r *Registrar) KeptAway(api metricsapi.API, spec v1alpha1.MetricsPipelineSpec, waiting string) (string, time.Duration, bool) {
	known := r.of(api)
	if known.away == "" || !deregisters(spec, api) {
		return "", 0, false
	}
	const deleted = "The APIService was deleted because its backend had been unavailable for 5 minutes. "
	if wait := known.until.Sub(r.clock.Now()); wait > 0 {
		return deleted + fmt.Sprintf("It is made again when the backend serves, at %s at the earliest.",
			known.until.UTC().Format(time.RFC3339)), wait, true
	}
	return deleted + waiting, 0, waiting != ""
}

// look records the availability of an APIService of ours, and returns when it is due for deregistration; false where it is not
// unavailable. One that was never available is due as well: a backend that the API server cannot reach blocks namespaces as
// much as one that has failed.
func (r *Registrar) look(api metricsapi.API, apiService *apiregv1.APIService) (time.Time, bool) {
	condition := aggregator.GetAPIServiceConditionByType(apiService, apiregv1.Available)
	if condition == nil { // kube-aggregator has not looked yet.
		return time.Time{}, false
	}
	known, now, changed := r.of(api), r.clock.Now(), condition.LastTransitionTime.Time
	if condition.Status == apiregv1.ConditionTrue {
		known.availableSince = changed
		if now.Sub(changed) >= recovery {
			known.pause = 0
		}
		return time.Time{}, false
	}
	if !known.availableSince.IsZero() && changed.Sub(known.availableSince) >= recovery {
		known.pause = 0
	}
	if condition.Status != apiregv1.ConditionFalse {
		return time.Time{}, false // Unknown.
	}
	known.availableSince = time.Time{}
	// One that was taken over has been ours since then only.
	ours := latest(apiService.CreationTimestamp.Time, known.since)
	return latest(changed, ours).Add(patience), true
}

// deregistered records a deregistration, and begins the pause after it.
func (r *Registrar) deregistered(api metricsapi.API, uid types.UID) {
	known, now := r.of(api), r.clock.Now()
	if now.Sub(known.until.Add(-known.pause)) > 2*longestPause {
		known.pause = 0 // The last deregistration is too long ago to count.
	}
	known.pause = min(max(firstPause, 2*known.pause), longestPause)
	known.away, known.until = uid, now.Add(known.pause)
}

func (r *Registrar) of(api metricsapi.API) *history {
	if r.known[api.Name()] == nil {
		r.known[api.Name()] = &history{}
	}
	return r.known[api.Name()]
}

func deregisters(spec v1alpha1.MetricsPipelineSpec, api metricsapi.API) bool {
	return metricsapi.Options(spec, api.Group).OnUnavailable == v1alpha1.UnavailableDeregister
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
