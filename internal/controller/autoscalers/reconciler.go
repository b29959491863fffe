// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package autoscalers has HPAs that fail examined, and publishes a snapshot for the report. An HPA that works costs nothing but its place
// in an index.
package autoscalers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/pace"
)

// Examine explains why an HPA fails. again is after how long to examine it again although nothing has changed; 0 for the usual. The error
// is collect.ErrNotNow, or what the operator may not read; what was found all the same comes back with it.
type Examine func(context.Context, *autoscalingv2.HorizontalPodAutoscaler) (found diagnose.Diagnosis, again time.Duration, err error)

var (
	// inCommon is the request for what all examinations depend on, and for the snapshot.
	inCommon = reconcile.Request{}
	// examining is the request that takes in the answer of an examination and begins the next one.
	examining = reconcile.Request{NamespacedName: client.ObjectKey{Name: "examine"}}
	// asking is the request that says that HPAs ask for something else.
	asking = reconcile.Request{NamespacedName: client.ObjectKey{Name: "asked"}}
)

// gather is how long changes of what HPAs ask for are gathered: users of namespaces may write HPAs at any rate.
const gather = 2 * time.Second

// requests is the part of the controller's queue that is used beside its sources.
type requests interface {
	Add(request reconcile.Request)
	AddAfter(request reconcile.Request, after time.Duration)
}

// ensurer begins and ends watches, and says what there is.
type ensurer interface {
	Ensure(ctx context.Context) cluster.Served
}

// following fills the index while there is a pipeline.
type following interface {
	follow(ctx context.Context)
	stop()
	// err is why HPAs cannot be followed; nil where they can, or are not.
	err() *cluster.UnreadableError
}

// Reconciler has HPAs that fail examined, one at a time. The network stays out of its worker: an examination runs beside it.
type Reconciler struct {
	// client reads the pipeline from the manager's cache, live an HPA from the API server.
	client  client.Reader
	live    client.Reader
	watches ensurer
	index   *autoscaler.Index
	hpas    following
	examine Examine
	queue   requests
	ctx     context.Context //nolint:containedctx // the controller's: examinations outlive the reconcile that begins them
	// spawn runs an examination, in another goroutine.
	spawn func(func())
	send  sendEvent
	// announce is called when there is another snapshot, asked when HPAs ask for something else.
	announce func()
	asked    func()
	clock    clock.PassiveClock
	// counts gathers changes for one snapshot, and reports is how often one is announced.
	counts  time.Duration
	reports *rate.Limiter
	// budget is how many examinations there are.
	budget *rate.Limiter
	// patience is how long an HPA has to fail before it is said to.
	patience time.Duration

	snapshot atomic.Pointer[Snapshot]
	arrived  atomic.Pointer[answer]
	// These are the worker's. pipeline is nil while there is none.
	pipeline *v1alpha1.MetricsPipeline
	schedule schedule
	running  bool
}

// Reconcile looks at what all examinations depend on and publishes the snapshot, or takes the answer of an examination in and begins the
// next one that is due.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if request == asking {
		r.asked()
		return ctrl.Result{}, nil
	}
	if request == examining {
		return ctrl.Result{RequeueAfter: r.examineNext()}, nil //nolint:contextcheck // an examination outlives the reconcile
	}
	served := r.watches.Ensure(ctx)
	result := ctrl.Result{RequeueAfter: served.RequeueAfter}
	pipeline := &v1alpha1.MetricsPipeline{}
	err := r.client.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
	switch {
	case apierrors.IsNotFound(err), err == nil && !pipeline.DeletionTimestamp.IsZero():
		r.stop()
		return result, nil
	case err != nil:
		var unreadable *cluster.UnreadableError
		if errors.As(err, &unreadable) {
			return result, nil // An event follows when it can be read.
		}
		return result, fmt.Errorf("read the MetricsPipeline: %w", err)
	}
	if r.pipeline != nil && r.pipeline.UID != pipeline.UID {
		r.stop()
	}
	r.pipeline, r.schedule.patience = pipeline, r.patience
	r.schedule.adopt(pipeline)
	r.hpas.follow(r.ctx) //nolint:contextcheck // a reflector outlives the reconcile
	r.sync()
	r.publish()
	r.queue.Add(examining)
	return result, nil
}

// stop forgets everything: there is no pipeline to report on.
func (r *Reconciler) stop() {
	r.hpas.stop()
	r.pipeline, r.schedule = nil, schedule{}
	if r.snapshot.Swap(nil) != nil {
		r.announce()
	}
}

// answer is the outcome of an examination.
type answer struct {
	of autoscaler.Failure
	// gone is true where the HPA does not exist, or works, as is about to be seen in the index.
	gone     bool
	evidence uint64
	found    diagnose.Diagnosis
	again    time.Duration
	err      error
}

// examineNext begins the examination that is due, and returns after how long to look again; 0 where an event does.
func (r *Reconciler) examineNext() time.Duration {
	now := r.clock.Now()
	if answer := r.arrived.Swap(nil); answer != nil {
		r.running = false
		if r.schedule.takeIn(answer, now) {
			r.recount()
		}
	}
	if !r.sync() || r.running {
		return 0
	}
	next, wait := r.schedule.next(now)
	if next == nil {
		return wait
	}
	if wait := pace.Wait(r.budget, now); wait > 0 {
		return wait
	}
	r.budget.AllowN(now, 1)
	r.running = true
	r.begin(next.failure)
	return 0 // The answer requests the next.
}

// sync takes up which HPAs fail now, and sends the Events that follow. It returns false while that is not known.
func (r *Reconciler) sync() bool {
	if r.pipeline == nil || !r.index.Listed() {
		return false
	}
	if r.schedule.sync(r.index.Failing(mostOfNamespace, mostInAll), r.index.State, r.clock.Now()) {
		r.recount()
	}
	for _, notice := range r.schedule.events() {
		r.send(notice)
	}
	return true
}

// longestExamination bounds one.
const longestExamination = 20 * time.Second

// begin examines an HPA, and requests that the answer is taken in.
func (r *Reconciler) begin(of autoscaler.Failure) {
	r.spawn(func() {
		ctx, cancel := context.WithTimeout(r.ctx, longestExamination)
		defer cancel()
		answer := r.ask(ctx, of)
		r.arrived.Store(answer)
		r.queue.Add(examining)
	})
}

// ask reads an HPA, which is not cached, and examines it.
func (r *Reconciler) ask(ctx context.Context, of autoscaler.Failure) (result *answer) {
	result = &answer{of: of, evidence: of.Evidence}
	defer func() {
		// What a tenant wrote goes through parsers that are not ours.
		if fault := recover(); fault != nil {
			ctrl.LoggerFrom(ctx).Error(fmt.Errorf("panic: %v", fault), "The examination of a HorizontalPodAutoscaler panicked",
				"namespace", of.Namespace, "name", of.Name, "stack", string(debug.Stack()))
			result.found = diagnose.Diagnosis{Failing: true, Chains: []diagnose.Chain{{Finding: &diagnose.Finding{
				Reason: v1alpha1.AutoscalerUnexplained, Cause: "The HorizontalPodAutoscaler could not be examined: that panicked.",
				Remedy: "Report it with the operator's log."}}}}
		}
	}()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Name}, hpa)
	switch {
	case apierrors.IsNotFound(err), err == nil && hpa.UID != of.UID, err == nil && !autoscaler.Failing(hpa) && !autoscaler.Pending(hpa):
		result.gone = true
		return result
	case err != nil:
		result.err = fmt.Errorf("read HorizontalPodAutoscaler %s: %w", of.Key(), err)
		return result
	}
	result.evidence = autoscaler.Evidence(hpa)
	result.found, result.again, result.err = r.examine(ctx, hpa)
	return result
}

// recount has the snapshot computed soon, once for all that happens until then.
func (r *Reconciler) recount() {
	r.queue.AddAfter(inCommon, max(r.counts, pace.Wait(r.reports, r.clock.Now())))
}

// reference names an HPA for an Event.
func reference(of autoscaler.Failure) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: autoscalingv2.SchemeGroupVersion.String(), Kind: kind, Namespace: of.Namespace,
		Name: of.Name, UID: of.UID}
}
