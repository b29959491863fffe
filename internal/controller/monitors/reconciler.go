// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitors keeps a bounded number of monitors for the annotated Services and Pods of each namespace, and publishes a
// snapshot for the report.
package monitors

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// monitorName is the name of a namespace's grouped monitors; those of single Services have the Service's behind it.
const monitorName = "metricspipeline-annotated"

const (
	// longestRefusal is the longest wait after a write that the API server refused.
	longestRefusal = 15 * time.Minute
	// longestTaken is the longest wait for a foreign monitor to go.
	longestTaken = 5 * time.Minute
)

// requests is the part of the controller's queue that is used beside its sources.
type requests interface {
	Add(request reconcile.Request)
	AddAfter(request reconcile.Request, after time.Duration)
}

// Reconciler keeps the monitors of the namespace that a request names. The request without a name is for what all namespaces
// have in common, and for the snapshot.
type Reconciler struct {
	// namespace of the operator.
	namespace string
	// client reads the pipeline and namespaces from the manager's cache.
	client client.Client
	// monitors reads and writes monitors in every namespace; prometheuses reads Prometheus objects.
	monitors     client.Client
	prometheuses client.Reader
	applier      *apply.Applier
	watches      *cluster.Watches
	index        *index.Index
	schemas      *cluster.Schemas
	reflectors   reflectors
	queue        requests
	announce     func()
	// shards have the scrape configurations of a Prometheus that reads no monitors, and limited is why those of a namespace that are about
	// to be written leave something out.
	shards  *shards
	limited map[string]*limitError
	// common is nil until the first request without a name, and while there is no pipeline; events of the index read it as well.
	// digest is of what monitors depend on of it.
	common   atomic.Pointer[settings]
	digest   string
	snapshot atomic.Pointer[Snapshot]
	// These are by namespace, and need no lock because there is one worker: why the monitors could not be written, the Namespace as
	// it was last reconciled, when monitors were last written, and the problem that was last reported, which is nil before a first
	// report. None of them remembers a namespace that is gone.
	failures map[string]error
	// accepted are the namespaces whose monitors were as desired when they were last reconciled.
	accepted map[string]bool
	seen     map[string]sight
	wrote    map[string]time.Time
	reasons  map[string]string
	// looks are what the Services of a namespace select, where that matters, which pieces lists. lookEvery is the least time between two
	// in one namespace.
	looks     map[string]look
	pieces    pieces
	lookEvery time.Duration
	// sightings are the workloads of a namespace that have the annotation of their template.
	sightings map[string]sighting
	// rest is the least time between two rounds of writes in one namespace. Each round has prometheus-operator write
	// Prometheus' configuration and Prometheus load it, so apps that come one right after the other share a round. The
	// first has none to wait for.
	rest  time.Duration
	clock clock.PassiveClock
	// refusals space the attempts of a namespace whose monitors the API server refuses, and taken those of one with a foreign monitor.
	refusals, taken *flowcontrol.Backoff
	// send sends Events at a rate, and reports is the rate of snapshots that users of namespaces cause.
	send    sendEvent
	reports *rate.Limiter
	// heard is whom to ask for targets, which another controller says and sourceChanged announces; asked is what is known of them, and
	// arrived the answer of a survey. spawn runs a survey outside of the worker, and surveyEvery is the least time between two.
	heard         atomic.Pointer[heard]
	sourceChanged chan event.GenericEvent
	asked         asked
	arrived       atomic.Pointer[arrival]
	spawn         func(func())
	surveyEvery   time.Duration
	// pendingRetry looks again at a CRD that the API server is about to serve, which brings no event; counts gathers changes of
	// the counts for one snapshot.
	pendingRetry, counts time.Duration
}

// sight is what a Namespace was when it was reconciled.
type sight struct {
	uid    types.UID
	labels string
}

// Reconcile writes the monitors that a namespace should have, and then deletes the others; or it looks at what its Services select.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if request == inCommon {
		return r.reconcileCommon(ctx)
	}
	if request == asking {
		return r.askForTargets(ctx)
	}
	if request.Namespace == looking {
		return r.lookInto(ctx, request.Name)
	}
	if request.Namespace == flushing {
		return r.flush(ctx, request.Name)
	}
	if request.Namespace == nearing {
		return r.lookIntoWorkloads(ctx, request.Name)
	}
	ns, err := r.namespaceOf(ctx, request.Name)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return ctrl.Result{}, err
	}
	s := r.common.Load()
	if gone || !ns.DeletionTimestamp.IsZero() {
		r.forget(request.Name)
		if gone && s != nil && !s.retain {
			r.unconfigure(ctx, s, request.Name)
		}
		return ctrl.Result{}, nil // Deleted, or being deleted with all that is in it.
	}
	if s == nil || s.retain || s.pending || !r.listed(s) {
		return ctrl.Result{}, nil // A change of that requests every namespace.
	}
	r.look(ns)
	if wait := r.rest - r.clock.Since(r.wrote[request.Name]); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if s.plain {
		return r.configure(ctx, s, ns)
	}
	desired, err := r.desired(s, ns)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err = r.write(ctx, request.Name, desired); err == nil {
		r.unconfigure(ctx, s, request.Name)
	}
	return r.outcome(ctx, request.Name, err, err == nil && len(desired) > 0)
}

// look has the snapshot computed when the labels of a Namespace are new, and forgets what was known of an earlier one of its name.
func (r *Reconciler) look(ns *metav1.PartialObjectMetadata) {
	now := sight{ns.UID, labels.FormatLabels(ns.Labels)}
	last, known := r.seen[ns.Name]
	if known && last == now {
		return
	}
	if known && last.uid != now.uid {
		r.forget(ns.Name)
	}
	r.seen[ns.Name] = now
	if services, pods := r.index.Count(ns.Name, true); known && services+pods > 0 {
		r.queue.Add(inCommon) // The Prometheus may select namespaces by their labels.
		return
	}
	r.recount()
}

// forget drops what is known of a deleted namespace.
func (r *Reconciler) forget(namespace string) {
	delete(r.seen, namespace)
	delete(r.wrote, namespace)
	delete(r.looks, namespace)
	delete(r.sightings, namespace)
	delete(r.limited, namespace)
	r.applier.Forget(namespace)
	r.refusals.DeleteEntry(namespace)
	r.taken.DeleteEntry(namespace)
	r.note(namespace, nil, false)
}

// outcome notes what became of a namespace's writes, and returns when to try again.
func (r *Reconciler) outcome(ctx context.Context, namespace string, err error, stands bool) (ctrl.Result, error) {
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil // The CRD or the namespace was deleted meanwhile, which brings an event.
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, err // A conflict is not reported.
	}
	r.note(namespace, err, stands)
	var contested *apply.ContestedError
	var taken *apply.NameTakenError
	var limit *limitError
	switch {
	case errors.As(err, &limit):
		return ctrl.Result{}, nil // Another attempt would meet it as well.
	case errors.As(err, &contested):
		return ctrl.Result{RequeueAfter: contested.RetryAfter}, nil
	case errors.As(err, &taken): // No event says when a foreign monitor goes.
		r.wrote[namespace] = r.clock.Now() // Each attempt reads from the API server, and users bring on as many as they like.
		r.taken.Next(namespace, r.taken.Clock.Now())
		return ctrl.Result{RequeueAfter: r.taken.Get(namespace)}, nil
	case apply.IsRefused(err), err != nil && exceedsStorage(err):
		// To write again soon costs a request for each namespace, and meets the same answer.
		ctrl.LoggerFrom(ctx).Error(err, "The API server refuses the monitors", "namespace", namespace)
		r.wrote[namespace] = r.clock.Now() // Further events of the namespace's apps are no reason to hurry.
		r.refusals.Next(namespace, r.refusals.Clock.Now())
		return ctrl.Result{RequeueAfter: r.refusals.Get(namespace)}, nil
	case err == nil:
		r.refusals.Reset(namespace)
		r.taken.Reset(namespace)
	}
	return ctrl.Result{}, err
}

// listed is true once all apps are known that can be: before, a namespace without apps may be one whose apps are still to come.
func (r *Reconciler) listed(s *settings) bool { return r.allListed(s.apps()) }

func (r *Reconciler) allListed(kinds []index.Kind) bool {
	return !slices.ContainsFunc(kinds, func(kind index.Kind) bool { return !r.index.Listed(kind) && !r.blind(kind) })
}

// blind is true for a kind of apps that has never been listed and cannot be. Its monitors are retained.
func (r *Reconciler) blind(kind index.Kind) bool {
	err := r.reflectors.err(kind)
	return err != nil && !err.Pending && !err.Stale
}

// write applies the monitors first and deletes the others after, so that a change of granularity leaves no gap. A monitor that
// another writer keeps changing is left alone and reported at the end.
func (r *Reconciler) write(ctx context.Context, namespace string, desired []*unstructured.Unstructured) error {
	kept, changed := map[string]bool{}, false
	var contested *apply.ContestedError
	defer func() {
		if changed {
			r.wrote[namespace] = r.clock.Now()
			r.recount()
			r.unsettle()
		}
	}()
	for _, monitor := range desired {
		kept[ownership.Identity(monitor)] = true
		result, err := r.applier.Apply(ctx, monitor)
		if err != nil && !errors.As(err, &contested) {
			return err
		}
		changed = changed || result != apply.Unchanged
	}
	var readable []kinds.Kind
	for i, apps := range [][]index.Kind{{index.Service}, {index.Pod, index.HostPod}} {
		if !slices.ContainsFunc(apps, r.blind) {
			readable = append(readable, kinds.Monitors[i])
		}
	}
	deleted, err := r.applier.Prune(ctx, readable, func(object client.Object) bool {
		ofComponent := object.GetNamespace() == r.namespace && object.GetLabels()[v1alpha1.ComponentLabel] != ownership.MonitorsComponent
		return ofComponent || kept[ownership.Identity(object)]
	}, client.InNamespace(namespace))
	changed = changed || len(deleted) > 0
	if err == nil && contested != nil {
		return contested
	}
	return err
}
