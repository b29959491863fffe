// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// configure has the scrape configuration of a namespace written, and deletes its monitors once it is.
func (r *Reconciler) configure(ctx context.Context, s *settings, ns *metav1.PartialObjectMetadata) (ctrl.Result, error) {
	text, limited := r.text(s, ns)
	var limit *limitError
	if limited != nil && !errors.As(limited, &limit) {
		return r.outcome(ctx, ns.Name, limited, false)
	}
	changed, err := r.shards.set(ctx, s.pipeline.UID, ns.Name, text)
	if err != nil {
		return r.outcome(ctx, ns.Name, err, false)
	}
	if len(changed) > 0 {
		delete(r.limited, ns.Name)
		if limit != nil {
			r.limited[ns.Name] = limit
		}
		r.flushSoon(changed)
		return ctrl.Result{}, nil
	}
	if s.served {
		err = r.write(ctx, ns.Name, nil)
	}
	if err == nil && limit != nil {
		err = limit
	}
	return r.outcome(ctx, ns.Name, err, err == nil && text != "")
}

// unconfigure has what a namespace has of scrape configurations removed: there are monitors instead of it, or nothing is scraped. Where
// the ConfigMaps cannot be read, the monitors do not suffer from it.
func (r *Reconciler) unconfigure(ctx context.Context, s *settings, namespace string) {
	changed, err := r.shards.set(ctx, s.pipeline.UID, namespace, "")
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("Scrape configurations are left as they are", "namespace", namespace, "error", err.Error())
		return
	}
	r.flushSoon(changed)
}

// flushSoon has shards written, all that changes in them until then by one write.
func (r *Reconciler) flushSoon(changed []int) {
	for _, shard := range changed {
		r.queue.AddAfter(flushOf(shard), r.rest)
	}
}

// flush writes what is pending for a shard.
func (r *Reconciler) flush(ctx context.Context, name string) (ctrl.Result, error) {
	s := r.common.Load()
	shard, err := strconv.Atoi(name)
	if err != nil || s == nil || s.retain {
		return ctrl.Result{}, nil //nolint:nilerr // it is no request of ours; a change of the rest requests every namespace
	}
	if wait := r.rest - r.clock.Since(r.shards.wrote[shard]); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	pending := len(r.shards.pending[shard])
	outcomes, err := r.shards.flush(ctx, ownership.Pipeline(s.pipeline), shard)
	if err != nil {
		var again ctrl.Result
		for namespace := range r.shards.pending[shard] {
			again, _ = r.outcome(ctx, namespace, err, false)
		}
		if again.RequeueAfter > 0 {
			return again, nil
		}
		return again, client.IgnoreNotFound(err)
	}
	r.shards.wrote[shard] = r.clock.Now()
	for namespace, err := range outcomes {
		r.wrote[namespace] = r.clock.Now()
		if err != nil {
			r.queue.AddAfter(requestFor(namespace), longestTaken) // No event says when there is room.
		}
		if limit := r.limited[namespace]; err == nil && limit != nil {
			err = limit
		}
		if _, err := r.outcome(ctx, namespace, err, err == nil); err != nil {
			return ctrl.Result{}, err
		}
		delete(r.limited, namespace)
	}
	if pending > 0 {
		r.recount()
		r.unsettle()
	}
	return ctrl.Result{}, nil
}

// tidy deletes shards that nothing reads any more: those without a configuration, or all of them where the Prometheus is gone and no
// monitors can take their place. While it is retained, they are as well.
func (r *Reconciler) tidy(ctx context.Context, s *settings) error {
	switch {
	case s.plain:
		return nil
	case !s.retain:
		return r.shards.prune(ctx, false)
	case s.served || s.pending:
		return nil
	}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: prometheus.ManagedName}, kinds.Deployment.New())
	switch {
	case err == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read the Deployment %s: %w", prometheus.ManagedName, err)
	}
	return r.shards.prune(ctx, true)
}

// managedGone lets through that the Prometheus is deleted which reads the shards.
var managedGone = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
	DeleteFunc:  func(e event.DeleteEvent) bool { return e.Object.GetName() == prometheus.ManagedName },
}

// ofShards requests the namespaces of which a key has changed. The change may be our own: then there is nothing more to be written, but
// monitors to be deleted that it replaces.
func (r *Reconciler) ofShards() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	request := func(q queue, before, after *corev1.ConfigMap) {
		all := map[string]string{}
		maps.Copy(all, dataOf(before))
		maps.Copy(all, dataOf(after))
		relabeled := before != nil && after != nil && (!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.OwnerReferences, after.OwnerReferences))
		for key := range all {
			if namespace, ours := strings.CutSuffix(key, suffix); ours && (relabeled || dataOf(before)[key] != dataOf(after)[key]) {
				q.Add(requestFor(namespace))
			}
		}
		if len(dataOf(before)) != len(dataOf(after)) {
			r.recount() // The cache may show a configuration only after it was counted.
		}
		if len(dataOf(after)) == 0 {
			q.Add(inCommon) // It may go.
		}
	}
	shard := func(object client.Object) *corev1.ConfigMap {
		if one, ok := object.(*corev1.ConfigMap); ok && isShard(one) {
			return one
		}
		return nil
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			if one := shard(e.Object); one != nil {
				request(q, nil, one)
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if one := shard(e.ObjectNew); one != nil {
				request(q, shard(e.ObjectOld), one)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if one := shard(e.Object); one != nil {
				request(q, one, nil)
			}
		},
	}
}
