// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/pace"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// The defaults of controller.Timing.
const restPeriod, countsPeriod, lookEvery = 2 * time.Second, 10 * time.Second, 5 * time.Minute

// world is a reconciler on an API server in memory, of which the writes of monitors are written down.
type world struct {
	*testing.T
	client client.WithWatch
	r      *Reconciler
	mapper *meta.DefaultRESTMapper
	clock  *clocktesting.FakePassiveClock
	stores map[index.Kind]*index.Store
	// writes are "apply" or "delete" and a monitor's identity; refuse is what the API server answers to an apply.
	writes []string
	refuse error
	// queued are the requests made at once, delayed those made for later.
	mu              sync.Mutex
	queued, delayed []string
	announced       int
	// surveys are the requests to ask Prometheus, by when they are due.
	surveys []time.Duration
	// fallen are the Events of apps that are down.
	fallen []string
	// rejected are the apps that got an Event, and events those of namespaces.
	rejected, events []string
	// nearMisses are the objects that got an Event about a near miss.
	nearMisses []string
}

// Add implements requests.
func (w *world) Add(request reconcile.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if request == asking {
		w.surveys = append(w.surveys, 0)
		return
	}
	w.queued = append(w.queued, request.Name)
}

// AddAfter implements requests.
func (w *world) AddAfter(request reconcile.Request, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if request == asking {
		w.surveys = append(w.surveys, after)
		return
	}
	w.delayed = append(w.delayed, request.Name+" after "+after.String())
}

// memory is a cache that reads from the API server in memory. Its informers have listed everything.
type memory struct {
	cache.Cache
	client.Reader
}

func (m memory) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return m.Reader.Get(ctx, key, object, options...)
}

func (m memory) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return m.Reader.List(ctx, list, options...)
}

func (memory) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return controllertest.NewFakeInformer(controllertest.Synced), nil
}

func (memory) RemoveInformer(context.Context, client.Object) error { return nil }

// inMemory is a manager.
type inMemory struct {
	client client.Client
	cache  cache.Cache
}

func (c inMemory) GetScheme() *runtime.Scheme     { return c.client.Scheme() }
func (c inMemory) GetRESTMapper() meta.RESTMapper { return c.client.RESTMapper() }
func (c inMemory) GetCache() cache.Cache          { return c.cache }
func (c inMemory) GetAPIReader() client.Reader    { return c.client }

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme, apiextv1.AddToScheme} {
		must(t, add(scheme))
	}
	w := &world{T: t, mapper: meta.NewDefaultRESTMapper(nil), stores: map[index.Kind]*index.Store{},
		clock: clocktesting.NewFakePassiveClock(time.Unix(0, 0))}
	w.serve()
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(w.mapper).WithObjects(objects...).
		WithReturnManagedFields().WithIndex(&apiextv1.CustomResourceDefinition{}, metav1.ObjectNameField, func(o client.Object) []string {
		return []string{o.GetName()}
	}).WithGlobalResourceVersionCounter().Build()
	monitors := interceptor.NewClient(w.client, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if w.refuse != nil {
				return w.refuse
			}
			monitor, ok := object.(client.Object)
			if !ok {
				t.Errorf("apply of %T", object)
				return nil
			}
			w.writes = append(w.writes, "apply "+ownership.Identity(monitor))
			return c.Apply(ctx, object, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			w.writes = append(w.writes, "delete "+ownership.Identity(object))
			return c.Delete(ctx, object, opts...)
		},
	})
	objectsCache := memory{Reader: w.client}
	watches := cluster.NewWatches(w.clock)
	watches.Use(inMemory{w.client, objectsCache})
	w.r = &Reconciler{namespace: "metrics", client: watches.Client(w.client, objectsCache), monitors: watches.Client(monitors, objectsCache),
		prometheuses: w.client, applier: apply.New(monitors, w.client, clocktesting.NewFakePassiveClock(time.Now()), time.Minute),
		shards: &shards{client: w.configMaps(), applier: apply.New(w.configMaps(), w.client, clocktesting.NewFakePassiveClock(time.Now()),
			time.Minute), namespace: "metrics"}, limited: map[string]*limitError{},
		watches: watches, queue: w, announce: func() { w.announced++ }, pendingRetry: time.Second, counts: countsPeriod,
		failures: map[string]error{}, accepted: map[string]bool{}, seen: map[string]sight{}, wrote: map[string]time.Time{}, looks: map[string]look{}, lookEvery: lookEvery,
		sightings: map[string]sighting{}, pieces: &listed{},
		rest: restPeriod, clock: w.clock,
		sourceChanged: make(chan event.GenericEvent, 1), spawn: func(survey func()) { survey() }, surveyEvery: time.Minute,
		schemas: cluster.NewSchemas(w.client), reports: pace.Reports(time.Minute),
		refusals: flowcontrol.NewFakeBackOff(30*time.Second, longestRefusal, clocktesting.NewFakeClock(time.Unix(0, 0))),
		taken:    flowcontrol.NewFakeBackOff(time.Second, longestTaken, clocktesting.NewFakeClock(time.Unix(0, 0)))}
	w.r.send = paced(func(about *corev1.ObjectReference, reason, message string) {
		if reason == "ScrapeDown" {
			w.fallen = append(w.fallen, about.Kind+" "+about.Namespace+"/"+about.Name+": "+message)
			return
		}
		if reason == "ScrapeRejected" {
			w.rejected = append(w.rejected, about.Kind+" "+about.Namespace+"/"+about.Name)
			return
		}
		if reason == nearMiss {
			w.nearMisses = append(w.nearMisses, about.Kind+" "+about.Namespace+"/"+about.Name)
			return
		}
		w.events = append(w.events, about.Namespace+": "+message)
	}, w.clock)
	w.r.index = index.New(w.r.events())
	w.r.reflectors = reflectors{ctx: t.Context(), index: w.r.index, watches: watches, running: map[index.Kind]reflector{}}
	w.r.subscribe(Options{Name: "monitors", Watches: watches, Prometheuses: objectsCache}, objectsCache, objectsCache)
	for _, kind := range append([]index.Kind{index.Service, index.Pod, index.HostPod}, index.Workloads()...) {
		w.stores[kind] = w.r.index.Open(kind, "prometheus.io")
	}
	return w
}

// configMaps returns a client whose cache has made digests of scrape configurations.
func (w *world) configMaps() client.Client {
	return interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if all, ok := list.(*corev1.ConfigMapList); ok {
				for i := range all.Items {
					kept, err := Digests(&all.Items[i])
					must(w.T, err)
					all.Items[i] = *kept.(*corev1.ConfigMap)
				}
			}
			return err
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes = append(w.writes, "apply "+ownership.Identity(object.(client.Object)))
			return c.Apply(ctx, object, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if w.refuse != nil {
				return w.refuse
			}
			var content struct{ Data map[string]*string }
			text, err := patch.Data(object)
			must(w.T, err)
			must(w.T, json.Unmarshal(text, &content))
			for _, key := range slices.Sorted(maps.Keys(content.Data)) {
				verb := "set "
				if content.Data[key] == nil {
					verb = "remove "
				}
				w.writes = append(w.writes, verb+key+" of "+object.GetName())
			}
			return c.Patch(ctx, object, patch, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			w.writes = append(w.writes, "delete "+ownership.Identity(object))
			return c.Delete(ctx, object, opts...)
		},
	})
}

func (w *world) services() *index.Store { return w.stores[index.Service] }
func (w *world) pods() *index.Store     { return w.stores[index.Pod] }

// serve lets the API server serve the kinds of prometheus-operator.
func (w *world) serve() {
	for _, kind := range []string{monitoringv1.ServiceMonitorsKind, monitoringv1.PodMonitorsKind, monitoringv1.PrometheusesKind} {
		w.mapper.Add(monitoringv1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	w.mapper.Add(kinds.PrometheusAgent.GroupVersionKind, meta.RESTScopeNamespace)
}

// reconcile reconciles what all namespaces have in common, and namespaces, long after the last time, and returns what was
// written for them.
func (w *world) reconcile(t *testing.T, namespaces ...string) []string {
	t.Helper()
	w.clock.SetTime(w.clock.Now().Add(restPeriod))
	for _, name := range append([]string{""}, namespaces...) {
		if _, err := w.r.Reconcile(t.Context(), requestFor(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	writes := w.writes
	w.writes = nil
	return writes
}

// seen says that the whole cluster has been listed.
func (w *world) seen(t *testing.T) {
	t.Helper()
	for _, store := range w.stores {
		must(t, store.Replace(nil, "1"))
	}
}

// requested returns the requests since the last time: those made at once, and those made for later.
func (w *world) requested() (queued, delayed []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queued, delayed = w.queued, w.delayed
	w.queued, w.delayed = nil, nil
	slices.Sort(queued)
	slices.Sort(delayed)
	return slices.Compact(queued), slices.Compact(delayed)
}

// observe returns what the snapshot says.
func (w *world) observe(t *testing.T) (State, v1alpha1.ScrapeStatus) {
	t.Helper()
	_, err := w.r.Reconcile(t.Context(), inCommon)
	must(t, err)
	if snapshot := w.r.Snapshot(); snapshot != nil {
		return snapshot.State, snapshot.Status
	}
	return State{}, v1alpha1.ScrapeStatus{}
}

// settings returns what the monitors of all namespaces have in common.
func (w *world) settings(t *testing.T) *settings {
	t.Helper()
	_, err := w.r.Reconcile(t.Context(), inCommon)
	must(t, err)
	return w.r.common.Load()
}

func (w *world) monitors(t *testing.T) []monitoringv1.ServiceMonitor {
	t.Helper()
	var list monitoringv1.ServiceMonitorList
	must(t, w.client.List(t.Context(), &list))
	return list.Items
}

// change writes the pipeline's spec.
func (w *world) change(t *testing.T, change func(*v1alpha1.ScrapeSpec)) {
	t.Helper()
	p := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	change(&p.Spec.Scrape)
	must(t, w.client.Update(t.Context(), p))
}

// chosen records in the status, as the pipeline's controller does, that the Prometheus object is in use.
func (w *world) chosen() error {
	recorded := &v1alpha1.MetricsPipeline{}
	if err := w.client.Get(w.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, recorded); err != nil {
		return err
	}
	recorded.Status.Prometheus = &v1alpha1.PrometheusStatus{Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}
	return w.client.Update(w.Context(), recorded)
}
