// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pipeline reconciles the MetricsPipeline: facts about the cluster become a plan, each component of the plan climbs a
// ladder of its own, what is unwanted is pruned, and the outcome is reported.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/certs/provider"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/registration"
	"github.com/metricspipeline/operator/internal/render"
	"github.com/metricspipeline/operator/internal/report"
)

// Config is what a reconciler works with.
type Config struct {
	// Namespace and Version of the operator.
	Namespace, Version string
	// Operands that it deploys, and their default images by name.
	Operands []operand.Operand
	Images   map[string]string

	// Client reads from watch caches that never make a read wait, and writes to the API server. Live reads from the API server,
	// for the few decisions that a stale cache would get wrong.
	Client client.Client
	Live   client.Reader
	// Facts about the cluster.
	Facts *cluster.Source
	// Source is called with what is known of the Prometheus, for those who ask it beside the pipeline; nil for nobody.
	Source func(cluster.Prometheus)
	// Scrape returns what is known of annotated apps for a pipeline; nil before that has been looked at.
	Scrape func(*v1alpha1.MetricsPipeline) *report.Scrape
	// Autoscalers returns what is known of HPAs for a pipeline; nil before they have been looked at.
	Autoscalers func(*v1alpha1.MetricsPipeline) *report.Autoscalers

	Applier *apply.Applier
	// Asked returns the metrics that HorizontalPodAutoscalers ask for, and false while they are not known; nil where nobody knows. When
	// it returns something else than before, the reconciler has to be called. Derived is called with the rules that follow; nil for nobody.
	Asked   func() ([]autoscaler.Asked, bool)
	Derived func(derive.State)

	Prober *probe.Prober
	// Census counts the series of rules, and Names finds those that rules can be derived from.
	Census *prometheus.Census[int64]
	Names  *prometheus.Census[prometheus.Names]
	// Nodes finds out of which nodes there are metrics, and why not.
	Nodes    *Nodes
	Renderer *render.Renderer
	Events   events.EventRecorder
	Metrics  *report.Exporter
	Clock    clock.PassiveClock
	Timing   Timing
}

// Reconciler makes a cluster's metrics stack what the MetricsPipeline says.
type Reconciler struct {
	Config

	registrar *registration.Registrar
	// forms are the last good ones of the pipeline formsOf, by component. What is stored is read after a start only: whoever may
	// edit a ConfigMap does not say by that what runs.
	forms   map[string]*operand.LastGood
	formsOf types.UID
	// choice is which Prometheus object is in use where the spec names none.
	choice choice
	// switched is when a metrics API was switched from one component to another last.
	switched time.Time
	// conflicts is the backoff after conflicts.
	conflicts *flowcontrol.Backoff
	// reported is the status as it was last written.
	reported reported
	// blind is why the last status could not be written; nil where it was.
	blind problem
}

// New returns a reconciler.
func New(config Config) *Reconciler {
	return &Reconciler{Config: config, registrar: registration.New(config.Applier, config.Clock),
		conflicts: flowcontrol.NewBackOff(config.Timing.Conflict, config.Timing.LastFailure)}
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// Reconcile brings the cluster to the desired state, as far as that can be known and done, and reports in any case. An error of
// one stage or component ends only that.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	work, cancel := context.WithTimeout(ctx, r.Timing.Work)
	defer cancel()
	pipeline, err := r.get(work, request)
	if err != nil {
		return ctrl.Result{}, err
	}
	if pipeline == nil {
		return ctrl.Result{}, r.depart(work)
	}

	probes := r.Prober.Round()
	facts := r.read(work, pipeline, probes)
	if facts.Served.Waiting() {
		return ctrl.Result{RequeueAfter: facts.Served.RequeueAfter}, nil // Just started: the caches fill, and each brings an event.
	}
	if facts.Terminating {
		return r.leave(work, pipeline, facts)
	}
	if facts.Unplannable != nil {
		return r.finish(ctx, pipeline, round{facts: facts, outcomes: r.repair(work, pipeline, facts, probes)})
	}

	r.Applier.NewSpec(fmt.Sprintf("%s %d", pipeline.UID, pipeline.Generation))
	deregistered, deregisterErr := r.registrar.Deregister(work, facts, pipeline.Spec)
	facts = facts.Without(deregistered.Gone)
	plan, workloadsErr := r.plan(work, pipeline, facts)
	plan.RequeueAfter = operand.Sooner(plan.RequeueAfter, r.count(facts, plan))
	targetsErr := r.patchTargets(pipeline)
	plan = retainFor(targetsErr, plan)
	outcomes, authorities := r.climb(work, pipeline, facts, plan, probes)
	probes.Forget()
	pruned, pruneErr := r.prune(work, facts, plan, outcomes)
	plan.RequeueAfter = operand.Sooner(plan.RequeueAfter, r.settling())

	return r.finish(ctx, pipeline, round{
		facts: facts, plan: plan, planned: true, outcomes: outcomes, authorities: authorities,
		deregistered: deregistered, pruned: pruned, errs: slices.Concat(
			r.failed(report.PhaseDeregister, deregisterErr), r.failed(report.PhasePlan, workloadsErr),
			r.failed(report.PhasePrune, pruneErr), r.failed(report.PhaseRender, targetsErr))})
}

// failed counts the errors of a phase, and returns them one by one. A conflict is no error.
func (r *Reconciler) failed(phase report.Phase, err error) []error {
	all := apart(err)
	for _, one := range all {
		if !apierrors.IsConflict(one) {
			r.Metrics.Failed(phase)
		}
	}
	return all
}

// patchTargets returns what is wrong with the targets of patches.
func (r *Reconciler) patchTargets(pipeline *v1alpha1.MetricsPipeline) error {
	if err := r.Renderer.CheckTargets(pipeline.Spec.Patches); err != nil {
		return report.Unrendered(err)
	}
	return nil
}

// retainFor retains every component that has a last good form when the target of a patch is wrong: whichever it was meant for
// must not lose what the patch did before it was mistyped.
func retainFor(targets error, plan operand.Plan) operand.Plan {
	if targets == nil {
		return plan
	}
	plan.Components = slices.Clone(plan.Components)
	for i, c := range plan.Components {
		if c.LastGood != nil && c.Retained == "" {
			plan.Components[i].Retained = targets.Error()
		}
	}
	return plan
}

// round is what the stages of one reconcile returned.
type round struct {
	facts        cluster.Facts
	plan         operand.Plan
	planned      bool
	outcomes     []outcome
	authorities  []provider.Authority
	deregistered registration.Deregistration
	pruned       []string
	errs         []error
}

// apart returns joined errors one by one, so that a conflict hides none of them. What wraps several adds to them, and stays whole.
func apart(errs ...error) []error {
	var all []error
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all = append(all, apart(joined.Unwrap()...)...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// outcome is that of a component, and what the reconcile has to do about it.
type outcome struct {
	report.Outcome
	requeueAfter time.Duration
	conflict     bool
}

// get returns the pipeline; nil where it is deleted or being deleted: then garbage collection deletes its objects in the order
// of the owner references, and any write would delay it.
func (r *Reconciler) get(ctx context.Context, request ctrl.Request) (*v1alpha1.MetricsPipeline, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	err := r.Client.Get(ctx, request.NamespacedName, pipeline)
	switch {
	case apierrors.IsNotFound(err):
		r.blind.Store(nil)
		r.Prober.Stop()
		r.Nodes.Stop()
		r.registrar.Forget()
	case err != nil:
		err = fmt.Errorf("read MetricsPipeline %s: %w", request.Name, err)
		r.blind.Store(&err)
		return nil, err
	case pipeline.DeletionTimestamp.IsZero():
		return pipeline, nil
	}
	r.blind.Store(nil)
	r.Metrics.Clear()
	return nil, nil
}

// depart is leave without a pipeline to report on.
func (r *Reconciler) depart(ctx context.Context) error {
	terminating, err := r.Facts.Terminating(ctx)
	if err != nil || !terminating {
		return err
	}
	return r.unregister(ctx)
}

// leave deletes our APIServices, because the operator's namespace is being deleted: their backends are about to be deleted, in
// no order, and a dead APIService would block that very deletion and every other one (kubernetes/kubernetes#83332).
// kube-controller-manager begins to empty a namespace five seconds after its deletion.
func (r *Reconciler) leave(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, facts cluster.Facts) (ctrl.Result, error) {
	err := r.unregister(ctx)
	result, reportErr := r.finish(ctx, pipeline, round{facts: facts})
	return result, errors.Join(err, reportErr)
}

// unregister deletes our APIServices.
func (r *Reconciler) unregister(ctx context.Context) error {
	apiServices, err := r.Facts.MetricsAPIs(ctx)
	failures := []error{err}
	for _, apiService := range apiServices {
		if ownership.Ours(apiService) {
			_, err := r.registrar.Unregister(ctx, apiService)
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// finish reports, and decides when to try again: what waits for a person after Timing.Stalled, a conflict after its own backoff
// and without a report. Any other error is returned.
func (r *Reconciler) finish(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, in round) (ctrl.Result, error) {
	observation := r.observe(ctx, pipeline, in)
	var look time.Duration
	//nolint:contextcheck // a question outlives the reconcile, so it must not end with its context
	observation.Nodes, look = r.Nodes.Look(observation, pipeline.Status.Nodes)
	wait, err := r.report(ctx, pipeline, observation)
	result := ctrl.Result{RequeueAfter: wait}
	sooner := func(after time.Duration) { result.RequeueAfter = operand.Sooner(result.RequeueAfter, after) }
	for _, after := range []time.Duration{look, in.facts.Served.RequeueAfter, in.plan.RequeueAfter, in.deregistered.RequeueAfter} {
		sooner(after)
	}
	if in.facts.Served.Pending {
		sooner(r.Timing.Pending)
	}
	failures := observation.Failures
	conflict := apierrors.IsConflict(err)
	for _, o := range in.outcomes {
		sooner(o.requeueAfter)
		failures = append(failures, o.Failures...)
		conflict = conflict || o.conflict
	}
	for _, e := range in.errs {
		conflict = conflict || apierrors.IsConflict(e)
	}
	sooner(r.pace(conflict))
	if apierrors.IsConflict(err) {
		err = nil
	}
	for _, failure := range failures {
		if failure.Stalled {
			sooner(r.Timing.Stalled)
			continue
		}
		err = errors.Join(err, failure)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return result, nil
}

// pace returns when to try again after a conflict; 0 after none.
func (r *Reconciler) pace(conflict bool) time.Duration {
	const key = "pipeline"
	if !conflict {
		r.conflicts.Reset(key)
		return 0
	}
	r.conflicts.Next(key, time.Now())
	return r.conflicts.Get(key)
}
