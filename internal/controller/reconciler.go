// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller reconciles the MetricsPipeline: it puts the phases in order, watches what they depend on, and
// reports. What exists, how it is written and whether it is healthy is decided in the packages beside it.
package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	optional "github.com/metricspipeline/operator/internal/cluster"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/probe"
)

// Reconciler makes a cluster's metrics stack what the MetricsPipeline says.
type Reconciler struct {
	Options

	// client reads from the watch cache and writes to the API server.
	client client.Client
	// live reads from the API server, for the few decisions that a stale cache would get wrong.
	live    client.Reader
	applier *apply.Applier
	prober  *probe.Prober
	events  events.EventRecorder
	clock   clock.PassiveClock
	// prometheuses reads the cluster's Prometheus objects.
	prometheuses client.Reader
	// scraping keeps the monitors for annotated apps.
	scraping *scraping.Reconciler
	// optional starts and stops the watches on kinds of others.
	optional *optional.Watches

	// registrations is what is remembered of the APIServices, by name.
	registrations map[string]*registration
	// exported are the metrics about the pipeline.
	exported *exporter
	// reported is the status as it was last written.
	reported reported

	mu sync.Mutex
	// checked are the rules as last checked.
	checked checkedRules
}

// phase is one step of a reconcile. It never waits: what takes time brings its own event, or a later look is asked for
// in the scope.
type phase struct {
	name string
	run  func(context.Context, *scope) error
}

// phases in their order: what should exist, which APIServices have been dead for too long, certificates, what answers on the
// network, the objects, whom the API server trusts, the backends, then new APIServices, which come last, and what is no
// longer wanted, of which APIServices go first.
func (r *Reconciler) phases() []phase {
	return []phase{
		{"components", r.components},
		{"deregister", r.deregister},
		{"certificates", r.certificates},
		{"probe", r.probe},
		{"render", r.renderObjects},
		{"trust", r.trust},
		{"apply", r.applyBackends},
		{"apiservices", r.applyAPIServices},
		{"prune", r.prune},
	}
}

// Reconcile runs the phases until the first error, and reports in any case.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	terminating, err := r.terminating(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	pipeline := &v1alpha1.MetricsPipeline{}
	if err := r.client.Get(ctx, request.NamespacedName, pipeline); err != nil {
		if apierrors.IsNotFound(err) {
			r.prober.Stop()
			r.exported.clear()
			r.registrations = nil
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !pipeline.DeletionTimestamp.IsZero() {
		// Garbage collection is at work, in the order of the owner references; whatever we wrote now would hold it up.
		r.exported.clear()
		return ctrl.Result{}, nil
	}

	s := newScope(pipeline, r.Namespace)
	defer func() {
		if reportErr := r.report(ctx, s); reportErr != nil {
			err = errors.Join(err, reportErr)
		}
	}()
	if terminating {
		s.observed.terminate(r.Namespace)
		return ctrl.Result{}, nil
	}
	r.applier.NewSpec(fmt.Sprintf("%s %d", pipeline.UID, pipeline.Generation))
	for _, p := range r.phases() {
		if err := p.run(ctx, s); err != nil {
			return r.failed(ctx, s, p, err)
		}
	}
	return ctrl.Result{RequeueAfter: s.requeueAfter}, nil
}

// failed records why the phases ended and decides when to try again: what the user has to mend is terminal, a conflict
// is retried without a word, the rest is returned.
func (r *Reconciler) failed(ctx context.Context, s *scope, p phase, err error) (ctrl.Result, error) {
	s.observed.failure = asPhaseError(err)
	log := ctrl.LoggerFrom(ctx).WithValues("phase", p.name)
	switch {
	case apierrors.IsConflict(err):
		log.V(1).Info("Conflict, trying again", "error", err.Error())
		return ctrl.Result{RequeueAfter: r.Timing.Conflict}, nil
	case s.observed.failure.stalled:
		log.Info("Stalled until a person mends it", "error", err.Error())
		return ctrl.Result{RequeueAfter: r.Timing.Stalled}, nil
	default:
		return ctrl.Result{}, err
	}
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
