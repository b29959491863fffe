// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"context"
	"fmt"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/controller/optional"
	"github.com/metricspipeline/operator/internal/scrape"
)

var namespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// NamespaceMetadata returns an empty Namespace in the form that the manager's cache has to hold.
func NamespaceMetadata() client.Object { return metadataOf(namespaceKind) }

func metadataOf(kind schema.GroupVersionKind) client.Object {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

// Options of the reconciler of monitors; all of them are needed.
type Options struct {
	// Name of the controller.
	Name string
	// Prometheuses holds every Prometheus object.
	Prometheuses cache.Cache
	// Announce is called when Observe has something new to say. It must not block.
	Announce func()
	// NewClient and NewCache make the client and the cache of monitors.
	NewClient client.NewClientFunc
	NewCache  cache.NewCacheFunc
	// FirstFailure and LastFailure bound the wait after a failed reconcile.
	FirstFailure, LastFailure time.Duration
	// Refused is when to send a monitor again that the API server refused.
	Refused time.Duration
	// Pending is when to look again at a CRD that the API server is about to serve.
	Pending time.Duration
	// Counts gathers changes of the counts for one report: a status is not written for every app that comes.
	Counts time.Duration
	// Rest is the least time between two rounds of writes in one namespace.
	Rest time.Duration
}

// Setup adds the reconciler of monitors to a manager.
func Setup(mgr ctrl.Manager, options Options) (*Reconciler, error) {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: ComponentName})
	monitors, err := options.NewCache(mgr.GetConfig(), cache.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(),
		Mapper: mgr.GetRESTMapper(), DefaultLabelSelector: ours})
	if err != nil {
		return nil, fmt.Errorf("make the cache of monitors: %w", err)
	}
	if err := mgr.Add(monitors); err != nil {
		return nil, fmt.Errorf("add the cache of monitors: %w", err)
	}
	monitorsClient, err := options.NewClient(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(),
		Mapper: mgr.GetRESTMapper(), Cache: &client.CacheOptions{Reader: monitors}})
	if err != nil {
		return nil, fmt.Errorf("make the client of monitors: %w", err)
	}
	counted := debounce(options.Counts, options.Announce)
	recorder := mgr.GetEventRecorder("metricspipeline-operator")
	r := &Reconciler{
		client: mgr.GetClient(), monitors: monitorsClient, prometheuses: options.Prometheuses,
		applier: apply.New(monitorsClient, mgr.GetAPIReader(), clock.RealClock{}, apply.RetryRefused(options.Refused)),
		index:   newIndex(), failures: failures{announce: options.Announce},
		pace: pace{clock: clock.RealClock{}, rest: options.Rest}, pendingRetry: options.Pending,
	}
	r.index.counted = counted
	r.index.told = func(a *app, rejection *scrape.Rejection) {
		recorder.Eventf(a.reference(), nil, corev1.EventTypeWarning, "ScrapeRejected", "Judge", "%s", rejection.Reason)
	}
	r.optional = optional.New(mgr.GetClient(),
		optional.Kind{CRD: apply.ServiceMonitorCRD, GroupVersionKind: apply.Monitors[0].GroupVersionKind,
			Object: apply.Monitors[0].New(), Cache: monitors, Handler: handler.EnqueueRequestsFromMapFunc(r.ownNamespace)},
		optional.Kind{CRD: apply.PodMonitorCRD, GroupVersionKind: apply.Monitors[1].GroupVersionKind,
			Object: apply.Monitors[1].New(), Cache: monitors, Handler: handler.EnqueueRequestsFromMapFunc(r.ownNamespace)},
		optional.Kind{CRD: optional.PrometheusCRD,
			GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind),
			Object:           &monitoringv1.Prometheus{}, Cache: options.Prometheuses,
			Handler: handler.EnqueueRequestsFromMapFunc(r.everyNamespace)})

	c, err := controller.New(options.Name, mgr, controller.Options{Reconciler: r,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](options.FirstFailure, options.LastFailure)})
	if err != nil {
		return nil, fmt.Errorf("make the controller of monitors: %w", err)
	}
	r.optional.Start(c)
	return r, r.watch(c, mgr)
}

// watch adds what the monitors of a namespace depend on.
func (r *Reconciler) watch(c controller.Controller, mgr ctrl.Manager) error {
	every, own := handler.EnqueueRequestsFromMapFunc(r.everyNamespace), handler.EnqueueRequestsFromMapFunc(r.itself)
	for _, watched := range []source.Source{
		source.Kind(mgr.GetCache(), client.Object(&v1alpha1.MetricsPipeline{}), every, predicate.GenerationChangedPredicate{}),
		source.Kind(mgr.GetCache(), optional.CRDMetadata(), every),
		source.Kind(mgr.GetCache(), NamespaceMetadata(), own),
		source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			return r.reflect(ctx, mgr.GetConfig(), queue)
		}),
	} {
		if err := c.Watch(watched); err != nil {
			return fmt.Errorf("watch for monitors: %w", err)
		}
	}
	return nil
}

// itself maps a Namespace to its request, ownNamespace an object in it.
func (r *Reconciler) itself(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{requestFor(object.GetName())}
}

func (r *Reconciler) ownNamespace(_ context.Context, object client.Object) []reconcile.Request {
	r.index.counted() // The cache may show a monitor only after it was counted.
	return []reconcile.Request{requestFor(object.GetNamespace())}
}

// everyNamespace maps what all monitors depend on to every namespace with apps or with monitors.
func (r *Reconciler) everyNamespace(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx)
}

func (r *Reconciler) requests(ctx context.Context) []reconcile.Request {
	seen := map[string]bool{"": true}
	for _, name := range r.index.names() {
		seen[name] = true
	}
	for i, crd := range []string{apply.ServiceMonitorCRD, apply.PodMonitorCRD} {
		if !r.optional.Watching(crd) {
			continue // A read would begin a watch on a kind that is not served, and wait for it.
		}
		monitors := &metav1.PartialObjectMetadataList{}
		monitors.SetGroupVersionKind(apply.Monitors[i].GroupVersionKind)
		// What is wrong comes up in the reconcile.
		if err := r.monitors.List(ctx, monitors); err == nil {
			for _, monitor := range monitors.Items {
				seen[monitor.Namespace] = true
			}
		}
	}
	var all []reconcile.Request
	for name := range seen {
		all = append(all, requestFor(name))
	}
	return all
}

func requestFor(namespace string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: namespace}}
}

// reflect starts to feed the index with Services, whole but compacted before they are kept, and with the metadata of Pods.
func (r *Reconciler) reflect(
	ctx context.Context, config *rest.Config, queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) error {
	r.index.affected = func(namespace string) {
		if namespace != "" {
			queue.Add(requestFor(namespace))
			return
		}
		go func() { // The index is locked, and the requests are made of it.
			for _, request := range r.requests(ctx) {
				queue.Add(request)
			}
		}()
	}
	binary := rest.CopyConfig(config)
	binary.ContentType, binary.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	typed, err := kubernetes.NewForConfig(binary)
	if err != nil {
		return fmt.Errorf("make the client of Services: %w", err)
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		return fmt.Errorf("make the client of Pods: %w", err)
	}
	services := toolscache.NewListWatchFromClient(typed.CoreV1().RESTClient(), "services", metav1.NamespaceAll, fields.Everything())
	pods := meta.Resource(corev1.SchemeGroupVersion.WithResource("pods"))
	podsWatch := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return pods.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, options)
		},
	}
	go toolscache.NewReflectorWithOptions(services, &corev1.Service{}, store{r.index, kindService, compactService},
		toolscache.ReflectorOptions{}).RunWithContext(ctx)
	go toolscache.NewReflectorWithOptions(podsWatch, &metav1.PartialObjectMetadata{}, store{r.index, kindPod, compactPod},
		toolscache.ReflectorOptions{}).RunWithContext(ctx)
	return nil
}

// debounce returns a function that calls f once, some time after the first of several calls.
func debounce(delay time.Duration, f func()) func() {
	pending := make(chan struct{}, 1)
	return func() {
		select {
		case pending <- struct{}{}:
			time.AfterFunc(delay, func() {
				<-pending
				f()
			})
		default:
		}
	}
}
