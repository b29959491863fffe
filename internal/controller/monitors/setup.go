// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
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
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/pace"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
	"github.com/metricspipeline/operator/internal/text"
)

const (
	// longestNote is how many bytes the API server takes of the note of an Event: it refuses one with more.
	longestNote = 1024
	// mostManagers of a monitor, and largestFields in bytes of one of them, are cached.
	mostManagers  = 10
	largestFields = 32 << 10
)

// Options of the reconciler of monitors; all of them are needed.
type Options struct {
	// Name of the controller.
	Name string
	// Namespace of the operator.
	Namespace string
	// Watches own the watches on all kinds. They are in use by the manager.
	Watches *cluster.Watches
	// Prometheuses is the cache of Prometheus objects.
	Prometheuses cache.Cache
	// Announce is called when Snapshot returns another one than before. It must not block.
	Announce func()
	// NewClient and NewCache make the client and the cache of monitors. The cache should be one that Watches knows.
	NewClient client.NewClientFunc
	NewCache  cache.NewCacheFunc
	// Work bounds one reconcile.
	Work time.Duration
	// FirstFailure and LastFailure bound the wait after a failed reconcile.
	FirstFailure, LastFailure time.Duration
	// Refused is how long a monitor that the API server refuses is not sent again.
	Refused time.Duration
	// Pending is when to look again at a CRD that the API server is about to serve.
	Pending time.Duration
	// Counts gathers changes of the counts for one snapshot: a status is not written for every app that comes.
	Counts time.Duration
	// Reports is how often snapshots that users of namespaces cause are announced, after a few at once.
	Reports time.Duration
	// Rest is the least time between two rounds of writes in one namespace.
	Rest time.Duration
	// Looks is the least time between two looks at what the Services of one namespace select.
	Looks time.Duration
	// Targets is the least time between two surveys of what Prometheus scrapes.
	Targets time.Duration
	// Wrap stands between the controller and the reconciler.
	Wrap func(reconcile.Reconciler) reconcile.Reconciler
}

// monitorCaches are the monitors that may be ours: in the operator's namespace those of annotated apps, since components have others
// there, and everywhere else all with our label, which a Prometheus of ours selects by. Those that are not ours are deleted.
func monitorCaches(own string) map[string]cache.Config {
	label := labels.Set{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
	ofApps := labels.Merge(label, labels.Set{v1alpha1.ComponentLabel: ownership.MonitorsComponent})
	return map[string]cache.Config{cache.AllNamespaces: {LabelSelector: label.AsSelector()}, own: {LabelSelector: ofApps.AsSelector()}}
}

// Setup adds the reconciler of monitors to a manager.
func Setup(mgr ctrl.Manager, options Options) (*Reconciler, error) {
	monitors, err := options.NewCache(mgr.GetConfig(), cache.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(),
		Mapper: mgr.GetRESTMapper(), DefaultNamespaces: monitorCaches(options.Namespace), DefaultTransform: onlyOwnership})
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
	kinds, pieces, err := newReflectors(mgr.GetConfig())
	if err != nil {
		return nil, err
	}
	watches := options.Watches
	monitorsClient = watches.Client(monitorsClient, monitors)
	r := &Reconciler{
		namespace: options.Namespace,
		client:    watches.Client(mgr.GetClient(), mgr.GetCache()), monitors: monitorsClient,
		prometheuses: watches.Reader(options.Prometheuses, options.Prometheuses), watches: watches,
		applier: apply.New(monitorsClient, mgr.GetAPIReader(), clock.RealClock{}, options.Refused),
		shards:  newShards(watches.Client(mgr.GetClient(), mgr.GetCache()), mgr.GetAPIReader(), options), limited: map[string]*limitError{},
		announce: options.Announce, pendingRetry: options.Pending, counts: options.Counts,
		failures: map[string]error{}, accepted: map[string]bool{}, seen: map[string]sight{}, wrote: map[string]time.Time{},
		looks: map[string]look{}, pieces: pieces, lookEvery: options.Looks, sightings: map[string]sighting{},
		sourceChanged: make(chan event.GenericEvent, 1), spawn: func(survey func()) { go survey() }, surveyEvery: options.Targets,
		rest:    options.Rest,
		schemas: cluster.NewSchemas(mgr.GetAPIReader()), reports: pace.Reports(options.Reports),
		clock: clock.RealClock{}, refusals: flowcontrol.NewBackOff(options.LastFailure, longestRefusal),
		taken: flowcontrol.NewBackOff(options.FirstFailure, longestTaken),
	}
	recorder := mgr.GetEventRecorder("metricspipeline-operator")
	r.send = paced(func(about *corev1.ObjectReference, reason, message string) {
		recorder.Eventf(about, nil, corev1.EventTypeWarning, reason, "Judge", "%s", text.Shorten(message, longestNote))
	}, r.clock)
	r.index = index.New(r.events())
	r.reflectors = reflectors{index: r.index, watches: watches, kinds: kinds, running: map[index.Kind]reflector{}}

	c, err := controller.New(options.Name, mgr, controller.Options{Reconciler: options.Wrap(r), ReconciliationTimeout: options.Work,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](options.FirstFailure, options.LastFailure)})
	if err != nil {
		return nil, fmt.Errorf("make the controller of monitors: %w", err)
	}
	if err := c.Watch(events{r.subscribe(options, mgr.GetCache(), monitors), r}); err != nil {
		return nil, fmt.Errorf("watch for monitors: %w", err)
	}
	toSurvey := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{asking}
	})
	if err := c.Watch(source.Channel(r.sourceChanged, toSurvey)); err != nil {
		return nil, fmt.Errorf("watch for another source of targets: %w", err)
	}
	return r, nil
}

// events is the source of the controller. It lends the reconciler the queue, for what is found out in other ways.
type events struct {
	*cluster.Subscriber
	reconciler *Reconciler
}

// Start is called by the controller.
func (e events) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	e.reconciler.queue, e.reconciler.reflectors.ctx = queue, ctx
	return e.Subscriber.Start(ctx, queue) //nolint:wrapcheck // for the controller
}

// subscribe adds what monitors depend on.
func (r *Reconciler) subscribe(options Options, objects, monitors cache.Cache) *cluster.Subscriber {
	every := handler.EnqueueRequestsFromMapFunc(r.everything)
	subscriber := options.Watches.Subscriber(options.Name, inCommon).
		On(cluster.Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("MetricsPipeline"), Object: &v1alpha1.MetricsPipeline{},
			Cache: objects}, every, predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, cluster.ChoiceChanged)).
		On(options.Watches.CRDs(), every).
		On(cluster.Kind{GroupVersionKind: kinds.Namespace.GroupVersionKind, Object: kinds.Namespace.New(), Cache: objects},
			handler.EnqueueRequestsFromMapFunc(r.itself)).
		On(cluster.Kind{CRD: kinds.Prometheus.CRD, GroupVersionKind: kinds.Prometheus.GroupVersionKind,
			Object: kinds.Prometheus.New(), Cache: options.Prometheuses}, every).
		On(cluster.Kind{CRD: kinds.PrometheusAgent.CRD, GroupVersionKind: kinds.PrometheusAgent.GroupVersionKind,
			Object: kinds.PrometheusAgent.New(), Cache: options.Prometheuses}, every)
	subscriber.On(cluster.Kind{GroupVersionKind: kinds.Deployment.GroupVersionKind, Object: kinds.Deployment.New(), Cache: objects},
		every, managedGone)
	subscriber.On(cluster.Kind{GroupVersionKind: configMap.GroupVersionKind, Object: configMap.New(), Cache: objects}, r.ofShards())
	for _, kind := range kinds.Monitors {
		subscriber.On(cluster.Kind{CRD: kind.CRD, GroupVersionKind: kind.GroupVersionKind, Object: kind.New(),
			Cache: monitors}, handler.EnqueueRequestsFromMapFunc(r.ownNamespace))
	}
	return subscriber
}

// onlyOwnership drops from a monitor what the operator does not read: users who may write monitors may write large ones with our
// labels. Without a writer's fields a monitor counts as changed by it.
func onlyOwnership(object any) (any, error) {
	full, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	kept := &metav1.PartialObjectMetadata{TypeMeta: full.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion, Generation: full.Generation,
		DeletionTimestamp: full.DeletionTimestamp, Labels: map[string]string{}}}
	for _, key := range ownership.Fixed() {
		if value, found := full.Labels[key]; found {
			kept.Labels[key] = value
		}
	}
	for _, entry := range full.ManagedFields[:min(len(full.ManagedFields), mostManagers)] {
		if entry.FieldsV1 != nil && len(entry.FieldsV1.GetRawBytes()) > largestFields {
			entry.FieldsV1 = nil
		}
		kept.ManagedFields = append(kept.ManagedFields, entry)
	}
	return kept, nil
}

// events of the index request what follows from them.
func (r *Reconciler) events() index.Events {
	return index.Events{
		Rejected: func(app *index.App, rejection *scrape.Rejection, first bool) {
			if first && r.reported(app, rejectedApps) || r.leftOut(app, rejection) {
				return
			}
			r.send(app.Reference(), "ScrapeRejected", rejection.Reason)
		},
		NearMiss: func(app *index.App, reason string, first bool) {
			if first && r.reported(app, nearMisses) || r.leftOut(app, nil) {
				return
			}
			r.send(app.Reference(), nearMiss, reason)
		},
		Affected: func(namespace string) { r.queue.Add(requestFor(namespace)) },
		Counted:  r.recount,
		Listed:   func(index.Kind) { r.queue.Add(inCommon) },
	}
}

// everything maps what all monitors depend on to the request for what they have in common.
func (r *Reconciler) everything(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{inCommon}
}

// itself maps a Namespace to its request.
func (r *Reconciler) itself(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{requestFor(object.GetName())}
}

// ownNamespace maps a monitor to the request for its namespace.
func (r *Reconciler) ownNamespace(_ context.Context, object client.Object) []reconcile.Request {
	r.recount() // The cache may show a monitor only after it was counted.
	return []reconcile.Request{requestFor(object.GetNamespace())}
}
