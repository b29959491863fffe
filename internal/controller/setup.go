// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/controller/optional"
	"github.com/metricspipeline/operator/internal/controller/scraping"
	"github.com/metricspipeline/operator/internal/probe"
)

// Options of the reconciler.
type Options struct {
	// Namespace of the operator, in which the components run.
	Namespace string
	// Version of the operator, for the status.
	Version string
	// Images are the default images by component name; nil for those that this release was tested with.
	Images map[string]string
	// Name of the controller; empty for metricspipeline. Two of one name cannot live in one process.
	Name string
	// Clock for certificates; nil for the real one.
	Clock clock.PassiveClock
}

const (
	// firstFailureDelay and lastFailureDelay bound the wait after a failed reconcile.
	firstFailureDelay = 50 * time.Millisecond
	lastFailureDelay  = 30 * time.Second
)

// Setup adds the reconciler to a manager, whose cache must have been made with CacheOptions.
func Setup(mgr ctrl.Manager, options Options) error {
	if options.Images == nil {
		options.Images = component.Images(func(string) string { return "" })
	}
	if options.Name == "" {
		options.Name = "metricspipeline"
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	// Prometheus objects belong to others and carry no label of ours, so the manager's cache would not show them.
	all, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("make the cache of Prometheus objects: %w", err)
	}
	if err := mgr.Add(all); err != nil {
		return fmt.Errorf("add the cache of Prometheus objects: %w", err)
	}

	answers := make(chan event.GenericEvent, 1)
	r := &Reconciler{
		Options:      options,
		client:       mgr.GetClient(),
		live:         mgr.GetAPIReader(),
		applier:      apply.New(mgr.GetClient(), mgr.GetAPIReader()),
		prober:       probe.New(func() { announceAnswer(answers) }),
		events:       mgr.GetEventRecorder("metricspipeline-operator"),
		clock:        options.Clock,
		prometheuses: all,
		optional:     optionalWatches(mgr, all),
	}
	if r.scraping, err = scraping.Setup(mgr, options.Name+"-scraping", all, func() { announceAnswer(answers) }); err != nil {
		return err
	}
	c, err := ctrl.NewControllerManagedBy(mgr).
		Named(options.Name).
		For(&v1alpha1.MetricsPipeline{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(answers, toPipeline)).
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstFailureDelay, lastFailureDelay),
		}).
		Build(r)
	if err != nil {
		return fmt.Errorf("build the controller: %w", err)
	}
	r.optional.Start(c)
	return watch(c, mgr.GetCache())
}

// optionalWatches are those on ServiceMonitors that carry our label, and on every Prometheus object.
func optionalWatches(mgr ctrl.Manager, all cache.Cache) *optional.Watches {
	return optional.New(mgr.GetClient(),
		optional.Kind{CRD: optional.ServiceMonitorCRD, GroupVersionKind: apply.ServiceMonitor.GroupVersionKind,
			Object: apply.ServiceMonitor.New(), Cache: mgr.GetCache(), Handler: toPipeline},
		optional.Kind{CRD: optional.PrometheusCRD,
			GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind),
			Object:           &monitoringv1.Prometheus{}, Cache: all, Handler: toPipeline})
}

// announceAnswer wakes the reconciler; when it has not yet seen the last call, that one serves for both.
func announceAnswer(answers chan<- event.GenericEvent) {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	select {
	case answers <- event.GenericEvent{Object: pipeline}:
	default:
	}
}

// watch adds the watches on everything that a reconcile depends on and that is always there.
func watch(c controller.Controller, objects cache.Cache) error {
	watched := []client.Object{
		&discoveryv1.EndpointSlice{},
		&corev1.Pod{},
		optional.CRDMetadata(),
	}
	for _, kind := range apply.Kinds {
		if !kind.Optional {
			watched = append(watched, kind.New())
		}
	}
	for _, object := range watched {
		if err := c.Watch(source.Kind(objects, object, toPipeline, relevant)); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return nil
}

// toPipeline maps every event to the one pipeline.
var toPipeline = handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: v1alpha1.SingletonName}}}
})

// relevant drops the events of APIServices that are no metrics APIs.
var relevant = predicate.NewPredicateFuncs(func(object client.Object) bool {
	known := func(api component.API) bool { return api.Name() == object.GetName() }
	return !isAPIService(object) || slices.ContainsFunc(component.APIs(), known)
})

// ImagesFrom returns the default images, replaced by RELATED_IMAGE_* environment variables; getenv returns one.
func ImagesFrom(getenv func(string) string) map[string]string { return component.Images(getenv) }
