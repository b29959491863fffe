// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/internal/kinds"
)

// The kinds of the tests: Two has a CRD, ConfigMaps are always there.
var (
	one        = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "One"}
	two        = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Two"}
	configMaps = corev1.SchemeGroupVersion.WithKind("ConfigMap")
)

const oneCRD, twoCRD = "ones.example.com", "twos.example.com"

// began is when each test begins.
var began = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// fakeCache reads from an API server in memory, through informers that a test syncs.
type fakeCache struct {
	cache.Cache
	client    client.Client
	informers map[schema.GroupVersionKind]*controllertest.FakeInformer
	// unsynced informers do not sync by themselves.
	unsynced map[schema.GroupVersionKind]bool
	did      []string
	fail     error
}

func (c *fakeCache) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	kind := kindOf(object)
	if c.fail != nil && kind != kinds.CRD.GroupVersionKind {
		return nil, c.fail
	}
	c.did = append(c.did, "watch "+kind.Kind)
	c.informers[kind] = controllertest.NewFakeInformer()
	if !c.unsynced[kind] {
		c.informers[kind].Synced()
	}
	return c.informers[kind], nil
}

func (c *fakeCache) RemoveInformer(_ context.Context, object client.Object) error {
	if c.fail == nil {
		delete(c.informers, kindOf(object))
		c.did = append(c.did, "stop "+kindOf(object).Kind)
	}
	return c.fail
}

// Get and List wait for an informer as a cache does.
func (c *fakeCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := c.await(ctx, kindOf(object)); err != nil {
		return err
	}
	return c.client.Get(ctx, key, object, options...)
}

func (c *fakeCache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	kind := kindOf(list)
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	if err := c.await(ctx, kind); err != nil {
		return err
	}
	return c.client.List(context.WithoutCancel(ctx), list, options...)
}

func (c *fakeCache) await(ctx context.Context, kind schema.GroupVersionKind) error {
	if informer := c.informers[kind]; c.unsynced[kind] && (informer == nil || !informer.HasSynced()) {
		<-ctx.Done()
		return apierrors.NewTimeoutError("not synced", 0)
	}
	return nil
}

func kindOf(object runtime.Object) schema.GroupVersionKind {
	switch object.(type) {
	case *corev1.ConfigMap, *corev1.ConfigMapList:
		return configMaps
	default:
		return object.GetObjectKind().GroupVersionKind()
	}
}

// mapper knows the kinds that are served, or fails.
type mapper struct {
	meta.RESTMapper
	served   map[string]bool
	fail     error
	requests int
}

func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.requests++
	switch {
	case m.fail != nil:
		return nil, m.fail
	case m.served[kind.Kind]:
		return &meta.RESTMapping{}, nil
	default:
		return nil, &meta.NoKindMatchError{GroupKind: kind, SearchedVersions: versions}
	}
}

// fakeCluster is a manager.
type fakeCluster struct {
	cache  *fakeCache
	mapper *mapper
}

func (c fakeCluster) GetScheme() *runtime.Scheme     { return c.cache.client.Scheme() }
func (c fakeCluster) GetRESTMapper() meta.RESTMapper { return c.mapper }
func (c fakeCluster) GetCache() cache.Cache          { return c.cache }
func (c fakeCluster) GetAPIReader() client.Reader    { return c.cache.client }

// world is watches over an API server in memory.
type world struct {
	*testing.T
	*fakeCache
	mapper  *mapper
	clock   *clocktesting.FakeClock
	watches *Watches
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apiextv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, mapper: &mapper{served: map[string]bool{}}, clock: clocktesting.NewFakeClock(began), fakeCache: &fakeCache{
		client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		informers: map[schema.GroupVersionKind]*controllertest.FakeInformer{}, unsynced: map[schema.GroupVersionKind]bool{}}}
	w.watches = NewWatches(w.clock)
	w.watches.Use(fakeCluster{w.fakeCache, w.mapper})
	w.watches.Add(w.kind(one, oneCRD), w.kind(two, twoCRD))
	return w
}

func (w *world) kind(kind schema.GroupVersionKind, crd string) Kind {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return Kind{GroupVersionKind: kind, CRD: crd, Object: object, Cache: w.fakeCache}
}

func (w *world) configMaps() Kind {
	return Kind{GroupVersionKind: configMaps, Object: &corev1.ConfigMap{}, Cache: w.fakeCache}
}

// ensure returns what is served and what was done to the watches.
func (w *world) ensure() (Served, []string) {
	w.Helper()
	served := w.watches.Ensure(w.Context())
	did := w.did
	w.did = nil
	return served, did
}

// answers has the API server answer a kind's informer.
func (w *world) answers(kind schema.GroupVersionKind, in form, err error) {
	observers, of := w.watches.observers, key{w.fakeCache, kind, in}
	if len(observers[of]) == 0 {
		observers[of] = []*observer{{clock: w.clock, changed: w.watches.changed, locate: func(context.Context) error { return nil }}}
	}
	o := observers[of][0]
	o.note(w.Context(), &o.lists, err)
}

// controller is a queue that a subscriber feeds.
type controller struct {
	*Subscriber
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// controller starts one whose requests name it, or the object of an event behind it.
func (w *world) controller(name string, kinds ...Kind) controller {
	w.Helper()
	request := func(name string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
	}
	c := controller{w.watches.Subscriber(name, request(name)), workqueue.NewTypedRateLimitingQueue(
		workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())}
	w.Cleanup(c.queue.ShutDown)
	for _, kind := range kinds {
		c.On(kind, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
			return []reconcile.Request{request(name + " " + object.GetName())}
		}))
	}
	if err := c.Start(w.Context(), c.queue); err != nil {
		w.Fatal(err)
	}
	return c
}

// drain returns the requests that are waiting.
func (c controller) drain() []string {
	var names []string
	for c.queue.Len() > 0 {
		request, _ := c.queue.Get()
		c.queue.Done(request)
		names = append(names, request.Name)
	}
	return names
}

// events returns those of them that are about an object.
func (c controller) events() []string {
	return slices.DeleteFunc(c.drain(), func(name string) bool { return name == c.name })
}

func crd(name string) *apiextv1.CustomResourceDefinition {
	return &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}}
}

// forbidden is the API server's answer to an operator without a permission.
func forbidden() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", nil)
}
