// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/pace"
)

const (
	// kind of HPAs.
	kind = "HorizontalPodAutoscaler"
	// examinations are how many there are in a minute, and examinationsAtOnce how many without a wait: where a change breaks fifty HPAs,
	// each is to be explained within a minute, of which their patience takes half.
	examinations, examinationsAtOnce = 60, 60
)

// newBudget returns how many examinations there may be.
func newBudget() *rate.Limiter {
	return rate.NewLimiter(rate.Every(time.Minute/examinations), examinationsAtOnce)
}

// Options of the reconciler of HPAs; all of them are needed.
type Options struct {
	// Name of the controller.
	Name string
	// Watches own the watches on all kinds. They are in use by the manager.
	Watches *cluster.Watches
	// Examine explains why an HPA fails.
	Examine Examine
	// Announce is called when Snapshot returns another one than before. It must not block.
	Announce func()
	// Asked is called when what Asked returns may have changed, once in 2 seconds at most. It must not block.
	Asked func()
	// Work bounds one reconcile.
	Work time.Duration
	// FirstFailure and LastFailure bound the wait after a failed reconcile.
	FirstFailure, LastFailure time.Duration
	// Counts gathers changes of the counts for one snapshot.
	Counts time.Duration
	// Reports is how often snapshots are announced, after a few at once.
	Reports time.Duration
	// Patience is how long an HPA has to fail before it is examined and said to: its next look, 15 seconds later, may find a value.
	Patience time.Duration
	// Wrap stands between the controller and the reconciler.
	Wrap func(reconcile.Reconciler) reconcile.Reconciler
}

// Setup adds the reconciler of HPAs to a manager.
func Setup(mgr ctrl.Manager, options Options) (*Reconciler, error) {
	binary := rest.CopyConfig(mgr.GetConfig())
	binary.ContentType, binary.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	typed, err := kubernetes.NewForConfig(binary)
	if err != nil {
		return nil, fmt.Errorf("make the client of HorizontalPodAutoscalers: %w", err)
	}
	watches := options.Watches
	r := &Reconciler{
		client: watches.Client(mgr.GetClient(), mgr.GetCache()), live: mgr.GetAPIReader(), watches: watches,
		examine: options.Examine, announce: options.Announce, asked: options.Asked, spawn: func(examination func()) { go examination() },
		clock: clock.RealClock{}, counts: options.Counts, reports: pace.Reports(options.Reports),
		budget: newBudget(), patience: options.Patience,
	}
	recorder := mgr.GetEventRecorder("metricspipeline-operator")
	r.send = paced(func(n notice) { recorder.Eventf(n.about, nil, n.kind, n.reason, "Examine", "%s", n.note) }, r.clock)
	r.index = autoscaler.NewIndex(r.indexEvents(), r.clock)
	r.hpas = &follower{index: r.index, watches: watches, requests: toolscache.NewListWatchFromClient(
		typed.AutoscalingV2().RESTClient(), "horizontalpodautoscalers", metav1.NamespaceAll, fields.Everything())}

	c, err := controller.New(options.Name, mgr, controller.Options{Reconciler: options.Wrap(r), ReconciliationTimeout: options.Work,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](options.FirstFailure, options.LastFailure)})
	if err != nil {
		return nil, fmt.Errorf("make the controller of HorizontalPodAutoscalers: %w", err)
	}
	every := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{inCommon}
	})
	subscriber := watches.Subscriber(options.Name, inCommon).On(cluster.Kind{
		GroupVersionKind: v1alpha1.GroupVersion.WithKind("MetricsPipeline"), Object: &v1alpha1.MetricsPipeline{}, Cache: mgr.GetCache(),
	}, every, evidenceChanged)
	if err := c.Watch(source{subscriber, r}); err != nil {
		return nil, fmt.Errorf("watch for HorizontalPodAutoscalers: %w", err)
	}
	return r, nil
}

// Asked returns the metrics that HPAs ask custom and external metrics APIs for; false until all HPAs have been listed.
func (r *Reconciler) Asked() ([]autoscaler.Asked, bool) {
	if !r.index.Listed() {
		return nil, false
	}
	return r.index.Asked(), true
}

// indexEvents request what follows from them.
func (r *Reconciler) indexEvents() autoscaler.Events {
	return autoscaler.Events{
		Failing: func() { r.queue.Add(examining) },
		Counted: r.recount,
		Asked:   func() { r.queue.AddAfter(asking, gather) },
		Listed: func() {
			r.queue.Add(inCommon)
			r.queue.Add(asking)
		},
	}
}

// source is that of the controller. It lends the reconciler the queue, for what is found out in other ways.
type source struct {
	*cluster.Subscriber
	reconciler *Reconciler
}

// Start is called by the controller.
func (s source) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	s.reconciler.queue, s.reconciler.ctx = queue, ctx
	return s.Subscriber.Start(ctx, queue) //nolint:wrapcheck // for the controller
}

// follower fills the index with HPAs while there is a pipeline. They are in no object cache: the HPA controller writes each every 15
// seconds, and next to nothing of one is of use.
type follower struct {
	index    *autoscaler.Index
	watches  *cluster.Watches
	requests toolscache.ListerWatcher
	feed     *cluster.Feed
	end      context.CancelFunc
}

func (f *follower) follow(ctx context.Context) {
	if f.feed != nil {
		return
	}
	ctx, f.end = context.WithCancel(ctx)
	f.feed = f.watches.Reflect(autoscalingv2.SchemeGroupVersion.WithKind(kind), f.requests, f.index.Listed)
	f.feed.Fill(ctx, &autoscalingv2.HorizontalPodAutoscaler{}, f.index.Open())
}

// stop ends it. It may run on for a moment: the closed store ignores it.
func (f *follower) stop() {
	if f.feed == nil {
		return
	}
	f.end()
	f.feed.Stop()
	f.index.Close()
	f.feed = nil
}

func (f *follower) err() *cluster.UnreadableError {
	if f.feed == nil {
		return nil
	}
	return f.feed.Err()
}
