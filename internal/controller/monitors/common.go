// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// inCommon is the request for what all namespaces have in common and for the snapshot.
var inCommon = reconcile.Request{}

func requestFor(namespace string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: namespace}}
}

// reconcileCommon finds out what the monitors of all namespaces have in common, requests every namespace when that is another
// than before, and publishes the snapshot. It is all that the event of a CRD or a Prometheus costs when nothing follows from it.
func (r *Reconciler) reconcileCommon(ctx context.Context) (ctrl.Result, error) {
	served := r.watches.Ensure(ctx)
	result := ctrl.Result{RequeueAfter: served.RequeueAfter}
	pipeline, err := r.pipeline(ctx)
	if pipeline == nil {
		if err == nil {
			r.stop() //nolint:contextcheck // reflectors outlive the reconcile
		}
		return result, ignoreUnreadable(err)
	}
	s, err := r.settings(ctx, pipeline, served)
	if cluster.IsPending(err) {
		return result, nil
	}
	if err != nil {
		s = newSettings(pipeline)
		s.served = served.Has(kinds.ServiceMonitorCRD) && served.Has(kinds.PodMonitorCRD)
		s.keep(v1alpha1.ReasonMonitorsFailed, fmt.Sprintf("Monitors are left as they are: %v.", err))
	}
	r.adopt(ctx, s)
	if err == nil {
		err = r.tidy(ctx, s)
	}
	r.publish(ctx, s)
	if s.pending && (result.RequeueAfter == 0 || r.pendingRetry < result.RequeueAfter) {
		result.RequeueAfter = r.pendingRetry
	}
	return result, ignoreUnreadable(err)
}

// ignoreUnreadable drops an error about a kind that cannot be read: an event follows when it can.
func ignoreUnreadable(err error) error {
	var unreadable *cluster.UnreadableError
	if errors.As(err, &unreadable) {
		return nil
	}
	return err
}

// pipeline reads the pipeline; nil when there is none or it is being deleted.
func (r *Reconciler) pipeline(ctx context.Context) (*v1alpha1.MetricsPipeline, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	err := r.client.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
	if apierrors.IsNotFound(err) || err == nil && !pipeline.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the MetricsPipeline: %w", err)
	}
	return pipeline, nil
}

// stop ends the reflectors. Garbage collection deletes the monitors with the pipeline, which owns them.
func (r *Reconciler) stop() {
	r.common.Store(nil)
	r.digest = ""
	clear(r.failures)
	clear(r.accepted)
	clear(r.looks)
	clear(r.sightings)
	clear(r.limited)
	r.shards.forget()
	r.reasons, r.asked = nil, asked{asking: r.asked.asking, began: r.asked.began}
	r.reflectors.follow(nil, "")
	r.withdraw()
}

// adopt makes settings those that namespaces are reconciled by, and requests all of them when their monitors depend on what has
// changed.
func (r *Reconciler) adopt(ctx context.Context, s *settings) {
	spec := fmt.Sprintf("%s %d", s.pipeline.UID, s.pipeline.Generation)
	r.applier.NewSpec(spec)
	r.shards.applier.NewSpec(spec)
	r.index.JudgeBy(s.rules()) // Before the first list, in which nothing is new after a start.
	r.common.Store(s)
	r.reflectors.follow(s.follows(), s.config.Prefix) //nolint:contextcheck // they outlive the reconcile
	digest := r.digestOf(s)
	if digest == r.digest {
		return
	}
	r.digest = digest
	for name, last := range r.looks { // What they found stays until the next, which waits for nothing.
		r.looks[name] = look{targets: last.targets, behind: last.behind}
	}
	for _, request := range r.all(ctx, s) {
		r.refusals.Reset(request.Name)
		r.queue.Add(request)
	}
}

// digestOf changes with all that the monitors of a namespace depend on beside the namespace.
func (r *Reconciler) digestOf(s *settings) string {
	text, err := json.Marshal(struct {
		Of                   string
		Config               scrape.Config
		Services, Pods       map[string]string
		Retain, Off, Pending bool
		Plain, Served        bool
		Listed               bool
		Blind                []bool
	}{Of(s.pipeline), s.config, s.services, s.pods, s.retain, s.off, s.pending, s.plain, s.served,
		r.listed(s), []bool{r.blind(index.Service), r.blind(index.Pod), r.blind(index.HostPod)}})
	if err != nil {
		return time.Now().String() // What was read can be written.
	}
	return string(text)
}

// all requests every namespace with apps or with monitors, or where they failed: what failed may be gone.
func (r *Reconciler) all(ctx context.Context, s *settings) []reconcile.Request {
	names := r.concerned()
	for _, kind := range kinds.Monitors {
		if !s.served {
			break // The kind is not served.
		}
		monitors := &metav1.PartialObjectMetadataList{}
		monitors.SetGroupVersionKind(kind.GroupVersionKind)
		// What is wrong comes up in the snapshot.
		if err := r.monitors.List(ctx, monitors); err == nil {
			for _, monitor := range monitors.Items {
				names.Insert(monitor.Namespace)
			}
		}
	}
	// Where ConfigMaps cannot be read, the settings of a Prometheus that reads them say so.
	if configured, err := r.shards.namespaces(ctx); err == nil {
		names.Insert(configured...)
	}
	var all []reconcile.Request
	for name := range names {
		all = append(all, requestFor(name))
	}
	return all
}

// needed returns the kinds without which no monitor can be written.
func (r *Reconciler) needed(s *settings) []schema.GroupVersionKind {
	needed := []schema.GroupVersionKind{kinds.Namespace.GroupVersionKind}
	for _, kind := range kinds.Monitors {
		needed = append(needed, kind.GroupVersionKind)
	}
	if ref := s.pipeline.Spec.Prometheus.Ref; !s.off && prometheus.Needed(s.pipeline.Spec.Prometheus) {
		needed = append(needed, kinds.Prometheus.GroupVersionKind)
		if ref != nil && ref.Kind == v1alpha1.KindPrometheusAgent {
			needed[len(needed)-1] = kinds.PrometheusAgent.GroupVersionKind
		}
	}
	return needed
}

// aboutToBeServed is true when the CRD of a kind of monitors is there, and the API server does not serve it yet.
func (r *Reconciler) aboutToBeServed(served cluster.Served) bool {
	for _, kind := range kinds.Monitors {
		if served.State(kind.GroupVersionKind) == cluster.Pending {
			return true
		}
	}
	return false
}
