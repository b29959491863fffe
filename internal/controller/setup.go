// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller wires the controllers: their caches and clients, and what wakes them. What they do is in a package for
// each, and everything that decides something is below them.
package controller

import (
	"cmp"
	"context"
	"fmt"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/controller/autoscalers"
	"github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/controller/pipeline"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/render"
	"github.com/metricspipeline/operator/internal/report"
)

// Timing is how long the operator waits for what brings no event.
type Timing = pipeline.Timing

// Options of the operator.
type Options struct {
	// Namespace of the operator, in which the components run.
	Namespace string
	// Version of the operator, for the status.
	Version string
	// Operands that it deploys; nil for those of the registry.
	Operands []operand.Operand
	// Images are the default images by operand; nil for those that this release was tested with.
	Images map[string]string
	// Name of the controllers; empty for metricspipeline. Two of one name cannot live in one process.
	Name string
	// Clock for certificates, contests and unavailable backends; nil for the real one.
	Clock clock.PassiveClock
	// Timing is how long it waits for what brings no event.
	Timing Timing
	// Renderer builds the objects; nil for one of its own. What it remembers depends on nothing but what it is given, so
	// operators of one process may share it.
	Renderer *render.Renderer
	// NewClient makes the clients beside the manager's, which has been made by the same function; nil for client.New.
	NewClient client.NewClientFunc
	// NewCache makes the caches beside the manager's, in the same way; nil for cache.New.
	NewCache cache.NewCacheFunc
	// Dial makes the connections to Prometheus; nil for those of the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Watches are those whose NewCache made the manager's cache; nil for new ones, which cannot say why a kind of that cache is
	// unreadable.
	Watches *cluster.Watches
}

// NewWatches returns watches. Their NewCache should make the manager's cache.
func NewWatches() *cluster.Watches { return cluster.NewWatches(clock.RealClock{}) }

// orDefaults returns the options with the default of each that is not set.
func (o Options) orDefaults() Options {
	if o.Operands == nil {
		o.Operands = registry.Operands()
	}
	if o.Images == nil {
		o.Images = operand.Images(o.Operands, func(string) string { return "" })
	}
	if o.Name == "" {
		o.Name = "metricspipeline"
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Renderer == nil {
		o.Renderer = NewRenderer(o.Operands)
	}
	if o.NewClient == nil {
		o.NewClient = client.New
	}
	if o.Watches == nil {
		o.Watches = NewWatches()
	}
	o.NewCache = o.Watches.NewCache(o.NewCache)
	o.Timing = o.Timing.OrDefaults()
	return o
}

// NewRenderer returns a renderer for operands; nil for those of the registry.
func NewRenderer(operands []operand.Operand) *render.Renderer {
	if operands == nil {
		operands = registry.Operands()
	}
	return &render.Renderer{Catalog: operand.Catalog(operands)}
}

// ImagesFrom returns the default images, replaced by RELATED_IMAGE_* environment variables; getenv returns one.
func ImagesFrom(getenv func(string) string) map[string]string {
	return operand.Images(registry.Operands(), getenv)
}

// exported are the metrics of this process, which has one pipeline.
var exported report.Exporter

func init() { metrics.Registry.MustRegister(&exported) }

// Operator is what Setup has added to a manager.
type Operator struct {
	pipeline *pipeline.Reconciler
	watches  *cluster.Watches
	workers  workers
}

// Ready returns why the operator cannot report the state of the pipeline; nil where it can, where there is no pipeline, and where
// another replica does. What else cannot be read is said by a condition: a probe that fails for it would say less.
func (o *Operator) Ready() error {
	unreadable := o.watches.Unreadable(v1alpha1.GroupVersion.WithKind("MetricsPipeline"))
	return cmp.Or(reportable(unreadable), reportable(o.pipeline.Ready()))
}

// reportable drops the error that there is no CRD of pipelines, and so no pipeline to report on.
func reportable(err error) error {
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Alive returns which worker hangs; nil where none does. No other error is one that a restart would end.
func (o *Operator) Alive() error { return o.workers.alive() }

// Setup adds the controllers to a manager, whose cache must have been made with CacheOptions.
func Setup(mgr ctrl.Manager, options Options) (*Operator, error) {
	options = options.orDefaults()
	watches := options.Watches
	watches.Use(mgr)
	// Prometheus objects belong to others and carry no label of ours, so the manager's cache would not show them.
	all, err := options.NewCache(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: prometheus.Compact})
	if err != nil {
		return nil, fmt.Errorf("make the cache of Prometheus objects: %w", err)
	}
	if err := mgr.Add(all); err != nil {
		return nil, fmt.Errorf("add the cache of Prometheus objects: %w", err)
	}

	operator := &Operator{watches: watches, workers: workers{clock: clock.RealClock{}}}
	wake := make(chan event.GenericEvent, 1)
	scrape, err := monitors.Setup(mgr, monitors.Options{
		Name: options.Name + "-monitors", Namespace: options.Namespace, Watches: watches, Prometheuses: all,
		Announce:  func() { announce(wake) },
		NewClient: options.NewClient, NewCache: options.NewCache,
		Counts: options.Timing.Counts, Reports: options.Timing.Reports, Rest: options.Timing.Rest, Looks: options.Timing.Looks,
		Targets: options.Timing.Targets, Pending: options.Timing.Pending, Refused: options.Timing.Stalled,
		Wrap: func(r reconcile.Reconciler) reconcile.Reconciler {
			return operator.workers.add(options.Name+"-monitors", options.Timing.Work, r)
		},
		Work: options.Timing.Work, FirstFailure: options.Timing.FirstFailure, LastFailure: options.Timing.LastFailure,
	})
	if err != nil {
		return nil, err
	}
	nodes, err := nodes(mgr, options, func() { announce(wake) })
	if err != nil {
		return nil, err
	}
	hpas, examiner, err := hpas(mgr, options, operator, func() { announce(wake) })
	if err != nil {
		return nil, err
	}
	r := reconciler(mgr, options, parts{all, scrape, nodes, hpas, examiner}, func() { announce(wake) })
	operator.pipeline = r
	exported.Build(options.Version)
	if err := mgr.Add(stopProbers(r)); err != nil {
		return nil, fmt.Errorf("add the end of the prober: %w", err)
	}
	deadline := options.Timing.Work + options.Timing.Work/2 // The report has its own time after the stages.
	err = ctrl.NewControllerManagedBy(mgr).
		Named(options.Name).
		WatchesRawSource(source.Channel(wake, toPipeline)).
		WatchesRawSource(subscribe(watches, mgr.GetCache(), all, options)).
		WithOptions(controller.Options{
			ReconciliationTimeout: deadline,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				options.Timing.FirstFailure, options.Timing.LastFailure),
		}).
		Complete(operator.workers.add(options.Name, deadline, r))
	if err != nil {
		return nil, fmt.Errorf("build the controller: %w", err)
	}
	return operator, nil
}

// stopProbers ends with the manager, and the probes that run end with it.
func stopProbers(r *pipeline.Reconciler) manager.RunnableFunc {
	return func(ctx context.Context) error {
		<-ctx.Done()
		r.Prober.Stop()
		r.Nodes.Prober.Stop()
		return nil
	}
}

// parts are what the reconciler of the pipeline works with.
type parts struct {
	prometheuses cache.Cache
	scrape       *monitors.Reconciler
	nodes        *pipeline.Nodes
	hpas         *autoscalers.Reconciler
	examiner     *examiner
}

// reconciler returns that of the pipeline.
func reconciler(mgr ctrl.Manager, options Options, by parts, answered func()) *pipeline.Reconciler {
	watches := options.Watches
	patient := watches.Client(mgr.GetClient(), mgr.GetCache())
	return pipeline.New(pipeline.Config{
		Namespace: options.Namespace, Version: options.Version, Operands: options.Operands, Images: options.Images,
		Client: patient, Live: mgr.GetAPIReader(),
		Facts: &cluster.Source{Client: patient, Prometheuses: watches.Reader(by.prometheuses, by.prometheuses), Kinds: watches,
			Mapper: mgr.GetRESTMapper(), Namespace: options.Namespace, Authorities: operand.Authorities(options.Operands),
			Dial:     options.Dial,
			Discover: func() (meta.RESTMapper, error) { return Discover(mgr.GetConfig(), mgr.GetHTTPClient()) }},
		Source: func(p cluster.Prometheus) {
			by.scrape.Ask(sourceOf(p))
			by.examiner.prometheus.Store(&p)
		},
		Scrape:      func(p *v1alpha1.MetricsPipeline) *report.Scrape { return scrapeOf(by.scrape, p) },
		Autoscalers: func(p *v1alpha1.MetricsPipeline) *report.Autoscalers { return autoscalersOf(by.hpas, p) },
		Applier:     apply.New(patient, mgr.GetAPIReader(), options.Clock, options.Timing.Stalled),
		Prober:      probe.New(answered, options.Timing.FirstProbe, options.Timing.LastProbe),
		Nodes:       by.nodes,
		Census:      prometheus.NewCensus[int64](answered, clock.RealClock{}, options.Timing.Census),
		Names:       prometheus.NewCensus[prometheus.Names](answered, clock.RealClock{}, options.Timing.Names),
		Asked:       by.hpas.Asked,
		Derived:     func(s derive.State) { by.examiner.derived.Store(&s) },
		Events:      mgr.GetEventRecorder("metricspipeline-operator"), Metrics: &exported,
		Renderer: options.Renderer, Clock: options.Clock, Timing: options.Timing,
	})
}

// scrapeOf returns the last snapshot of annotated apps as a report takes it; nil before the first.
func scrapeOf(scrape *monitors.Reconciler, pipeline *v1alpha1.MetricsPipeline) *report.Scrape {
	snapshot := scrape.Snapshot()
	if snapshot == nil {
		return nil
	}
	return &report.Scrape{Current: snapshot.Of == monitors.Of(pipeline), Met: snapshot.State.Met,
		Reason: snapshot.State.Reason, Message: snapshot.State.Message, Status: snapshot.Status}
}

// sourceOf is whom to ask for targets; nil where nobody is known.
func sourceOf(p cluster.Prometheus) *monitors.Source {
	if p.Target.URL == "" && p.Target.TargetsURL == "" {
		return nil
	}
	return &monitors.Source{Target: p.Target, Access: p.Access, Problem: cmp.Or(p.CredentialsWithheld, p.CredentialsMissing)}
}

// announce wakes the reconciler; when it has not yet seen the last call, that one serves for both.
func announce(wake chan<- event.GenericEvent) {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	select {
	case wake <- event.GenericEvent{Object: pipeline}:
	default:
	}
}
