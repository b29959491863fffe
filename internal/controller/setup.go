// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
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
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	optional "github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/render"
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
	// Clock for certificates, contests and unavailable backends; nil for the real one.
	Clock clock.PassiveClock
	// Timing is how long it waits for what brings no event.
	Timing Timing
	// Renderer builds the objects; nil for one of its own. What it remembers depends on nothing but what it is asked, so
	// operators of one process may share it.
	Renderer *render.Renderer
	// NewClient makes the clients beside the manager's, which has been made by the same function; nil for client.New.
	NewClient client.NewClientFunc
	// NewCache makes the caches beside the manager's, in the same way; nil for cache.New.
	NewCache cache.NewCacheFunc
}

// orDefaults returns the options with the default of each that is not set.
func (o Options) orDefaults() Options {
	if o.Images == nil {
		o.Images = component.Images(func(string) string { return "" })
	}
	if o.Name == "" {
		o.Name = "metricspipeline"
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Renderer == nil {
		o.Renderer = &render.Renderer{}
	}
	if o.NewClient == nil {
		o.NewClient = client.New
	}
	if o.NewCache == nil {
		o.NewCache = cache.New
	}
	o.Timing = o.Timing.orDefaults()
	return o
}

// Setup adds the reconciler to a manager, whose cache must have been made with CacheOptions.
func Setup(mgr ctrl.Manager, options Options) error {
	options = options.orDefaults()
	watches := optional.NewWatches(options.Clock)
	watches.Use(mgr)
	options.NewCache = watches.NewCache(options.NewCache)
	// Prometheus objects belong to others and carry no label of ours, so the manager's cache would not show them.
	all, err := options.NewCache(mgr.GetConfig(), cache.Options{
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
		applier:      apply.New(mgr.GetClient(), mgr.GetAPIReader(), options.Clock, apply.RetryRefused(options.Timing.Stalled)),
		prober:       probe.New(func() { announceAnswer(answers) }, options.Timing.FirstProbe, options.Timing.LastProbe),
		events:       mgr.GetEventRecorder("metricspipeline-operator"),
		clock:        options.Clock,
		exported:     &exported,
		prometheuses: all,
		optional:     watches,
	}
	r.scraping, err = scraping.Setup(mgr, scraping.Options{
		Name: options.Name + "-scraping", Watches: watches, Prometheuses: all, Announce: func() { announceAnswer(answers) },
		NewClient: options.NewClient, NewCache: options.NewCache,
		Pending: options.Timing.Pending, Counts: options.Timing.Counts, Rest: options.Timing.Rest,
		FirstFailure: options.Timing.FirstFailure, LastFailure: options.Timing.LastFailure, Refused: options.Timing.Stalled,
	})
	if err != nil {
		return err
	}
	c, err := ctrl.NewControllerManagedBy(mgr).
		Named(options.Name).
		For(&v1alpha1.MetricsPipeline{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(answers, toPipeline)).
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				options.Timing.FirstFailure, options.Timing.LastFailure),
		}).
		Build(r)
	if err != nil {
		return fmt.Errorf("build the controller: %w", err)
	}
	if err := c.Watch(subscribe(watches, options.Name, mgr, all)); err != nil {
		return fmt.Errorf("watch optional kinds: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(r.stopAsking)); err != nil {
		return fmt.Errorf("add the end of the prober: %w", err)
	}
	return watch(c, mgr.GetCache(), options.Namespace)
}

// stopAsking ends what the prober does beside the worker when the manager ends.
func (r *Reconciler) stopAsking(ctx context.Context) error {
	<-ctx.Done()
	r.prober.Stop()
	return nil
}

// subscribe adds what the operator makes when the CRDs are there, what cert-manager makes of it, and every Prometheus object.
func subscribe(watches *optional.Watches, name string, mgr ctrl.Manager, all cache.Cache) *optional.Subscriber {
	subscriber := watches.Subscriber(name, pipelineRequest).
		On(optional.Kind{CRD: optional.PrometheusCRD,
			GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind),
			Object:           &monitoringv1.Prometheus{}, Cache: all}, toPipeline).
		// They carry the labels of the Certificates that they are for.
		On(optional.Kind{CRD: optional.CertificateRequestCRD,
			GroupVersionKind: certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateRequestKind),
			Object:           &certmanagerv1.CertificateRequest{}, Cache: mgr.GetCache()}, toPipeline)
	for _, kind := range apply.Kinds {
		if kind.CRD != "" {
			subscriber.On(optional.Kind{CRD: kind.CRD, GroupVersionKind: kind.GroupVersionKind, Object: kind.New(),
				Cache: mgr.GetCache()}, toPipeline)
		}
	}
	return subscriber
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
func watch(c controller.Controller, objects cache.Cache, namespace string) error {
	watched := []client.Object{
		&discoveryv1.EndpointSlice{},
		&corev1.Pod{},
		optional.CRDMetadata(),
	}
	for _, kind := range apply.Kinds {
		if kind.CRD == "" {
			watched = append(watched, kind.New())
		}
	}
	for _, object := range watched {
		if err := c.Watch(source.Kind(objects, object, toPipeline, relevant)); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	if err := c.Watch(source.Kind(objects, scraping.NamespaceMetadata(), toPipeline, dying(namespace))); err != nil {
		return fmt.Errorf("watch the operator's namespace: %w", err)
	}
	return nil
}

// toPipeline maps every event to the one pipeline.
var toPipeline = handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{pipelineRequest}
})

var pipelineRequest = reconcile.Request{NamespacedName: client.ObjectKey{Name: v1alpha1.SingletonName}}

// relevant drops the events of APIServices that are no metrics APIs.
var relevant = predicate.NewPredicateFuncs(func(object client.Object) bool {
	known := func(api component.API) bool { return api.Name() == object.GetName() }
	return !isAPIService(object) || slices.ContainsFunc(component.APIs(), known)
})

// ImagesFrom returns the default images, replaced by RELATED_IMAGE_* environment variables; getenv returns one.
func ImagesFrom(getenv func(string) string) map[string]string { return component.Images(getenv) }
