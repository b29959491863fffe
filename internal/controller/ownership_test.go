// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
)

// inMemory returns a reconciler in the namespace metrics, on an API server in memory, at the moment.
func inMemory(t *testing.T, objects ...client.Object) (*Reconciler, *clocktesting.FakePassiveClock) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiregv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	clock := clocktesting.NewFakePassiveClock(moment)
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithReturnManagedFields().Build()
	return &Reconciler{Options: Options{Namespace: "metrics"}, client: c, live: c, clock: clock, exported: &exporter{},
		applier: apply.New(c, c, clock)}, clock
}

func namespace(name string, leaving bool) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"kubernetes"}}}
	if leaving {
		ns.DeletionTimestamp = ptr.To(metav1.NewTime(moment))
	}
	return ns
}

// left returns the names of the APIServices that there are.
func left(t *testing.T, r *Reconciler) []string {
	t.Helper()
	var list apiregv1.APIServiceList
	if err := r.client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	slices.Sort(names)
	return names
}

// TestTerminating: once the operator's own namespace goes, its APIServices do so first, and nobody else's.
func TestTerminating(t *testing.T) {
	for name, tc := range map[string]struct {
		leaving bool
		left    []string
	}{
		"the namespace is there":   {false, []string{"v1beta1.external.metrics.k8s.io", "v1beta1.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}},
		"the namespace is leaving": {true, []string{"v1beta1.external.metrics.k8s.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			unlabeled := registered(component.CustomMetricsBeta2, component.PrometheusAdapter, apiregv1.ConditionTrue, "Passed")
			unlabeled.Labels = nil
			unlabeled.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: v1alpha1.FieldManager, FieldsType: "FieldsV1",
				APIVersion: "apiregistration.k8s.io/v1", Operation: metav1.ManagedFieldsOperationApply,
				FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:caBundle":{}}}`)}}
			r, _ := inMemory(t, namespace("metrics", tc.leaving), namespace("other", true),
				registered(component.ResourceMetrics, component.MetricsServer, apiregv1.ConditionTrue, "Passed"), unlabeled,
				foreign(component.ExternalMetricsBeta, apiregv1.ConditionTrue, "Passed"))
			leaving, err := r.terminating(t.Context())
			if err != nil || leaving != tc.leaving {
				t.Errorf("terminating: %v, %v", leaving, err)
			}
			if diff := cmp.Diff(tc.left, left(t, r)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if leaving, err := r.terminating(t.Context()); err != nil || leaving != tc.leaving {
				t.Errorf("again: %v, %v", leaving, err)
			}
		})
	}
}

// TestTerminatingWithoutNamespace: an operator that runs outside of the cluster may name a namespace that is not there yet.
func TestTerminatingWithoutNamespace(t *testing.T) {
	r, _ := inMemory(t, registered(component.ResourceMetrics, component.MetricsServer, apiregv1.ConditionTrue, "Passed"))
	if leaving, err := r.terminating(t.Context()); err != nil || leaving || len(left(t, r)) != 1 {
		t.Errorf("terminating: %v, %v, %v are left", leaving, err, left(t, r))
	}
}

// TestOwnNamespaceIsWatched, and of its events those that matter: the five seconds that there are must not be waited away.
func TestOwnNamespaceIsWatched(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	informers, watching := &informers{byKind: map[string]*controllertest.FakeInformer{}}, &watches{}
	if err := watch(watching, informers, "metrics"); err != nil {
		t.Fatal(err)
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	for _, s := range watching.sources {
		if err := s.Start(ctx, queue); err != nil {
			t.Fatal(err)
		}
		if err := s.(source.SyncingSource).WaitForSync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	informer := informers.of(scraping.NamespaceMetadata())
	before := func(name string) client.Object {
		object := scraping.NamespaceMetadata()
		object.SetName(name)
		return object
	}
	for _, tc := range []struct {
		name    string
		leaving bool
		queued  int
	}{{"metrics", false, 0}, {"other", true, 0}, {"metrics", true, 1}} {
		after := before(tc.name)
		if tc.leaving {
			after.SetDeletionTimestamp(ptr.To(metav1.NewTime(moment)))
		}
		informer.Update(before(tc.name), after)
		if queue.Len() != tc.queued {
			t.Errorf("Namespace %s, leaving %v: %d requests, want %d", tc.name, tc.leaving, queue.Len(), tc.queued)
		}
	}
}

// informers is a cache that has nothing but informers.
type informers struct {
	cache.Cache
	mu     sync.Mutex
	byKind map[string]*controllertest.FakeInformer
}

func (i *informers) of(object client.Object) *controllertest.FakeInformer {
	i.mu.Lock()
	defer i.mu.Unlock()
	kind := fmt.Sprintf("%T %s", object, object.GetObjectKind().GroupVersionKind())
	if i.byKind[kind] == nil {
		i.byKind[kind] = controllertest.NewFakeInformer()
		i.byKind[kind].Synced()
	}
	return i.byKind[kind]
}

func (i *informers) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return i.of(object), nil
}

func (i *informers) WaitForCacheSync(context.Context) bool { return true }

// watches is a controller that only notes what it is told to watch.
type watches struct {
	controller.Controller
	sources []source.Source
}

func (w *watches) Watch(s source.Source) error {
	w.sources = append(w.sources, s)
	return nil
}

// fight has a rival change a Secret of ours so often that it is contested.
func fight(t *testing.T, r *Reconciler, object *unstructured.Unstructured) {
	t.Helper()
	key := client.ObjectKeyFromObject(object)
	for range 4 {
		s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
		if err := r.applyOwned(t.Context(), s, object, nil); err != nil || len(s.observed.contested) > 0 {
			t.Fatalf("too early: %v, %v", err, s.observed.contested)
		}
		found := object.DeepCopy()
		if err := r.client.Get(t.Context(), key, found); err != nil {
			t.Fatal(err)
		}
		found.Object["data"] = map[string]any{corev1.TLSCertKey: "c3BvaWxlZA==", corev1.TLSPrivateKeyKey: "", caKey: ""}
		if err := r.client.Update(t.Context(), found, client.FieldOwner("rival")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestContestedIsNoted, and is no error: the other objects are written all the same.
func TestContestedIsNoted(t *testing.T) {
	r, _ := inMemory(t)
	secret := tlsSecret("metrics", "one", "", unlike, []byte("c"))
	fight(t, r, secret)
	s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
	if err := r.applyOwned(t.Context(), s, secret, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.observed.contested) != 1 || s.observed.contested[0].Object != "Secret metrics/one" || s.requeueAfter != time.Hour ||
		!s.wanted["Secret metrics/one"] {
		t.Errorf("noted %v, looks again after %s, wanted %v", s.observed.contested, s.requeueAfter, s.wanted)
	}
}

// unlike is a certificate that no rival would write.
var unlike = certificate{pair: certs.Pair{Cert: []byte("a"), Key: []byte("b")}}

// TestContestedCertificateEndsThePhases, before anything comes to trust or to sign by what cannot be stored.
func TestContestedCertificateEndsThePhases(t *testing.T) {
	served := component.Component{Name: "backend", Namespace: "metrics"}
	for name, tc := range map[string]struct {
		secret, component string
		run               func(*Reconciler, *scope, certificate) error
	}{
		"that a component serves": {served.ServingSecret(), served.Name, func(r *Reconciler, s *scope, in certificate) error {
			s.plan.Components, s.serves[served.Name] = []component.Component{served}, in
			return r.certificatesContested(t.Context(), s)
		}},
		"of our authority": {authoritySecret, "", func(r *Reconciler, s *scope, in certificate) error {
			return r.store(t.Context(), s, tlsSecret("metrics", authoritySecret, "", in, nil))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := inMemory(t)
			if err := tc.run(r, newScope(&v1alpha1.MetricsPipeline{}, "metrics"), unlike); err != nil {
				t.Errorf("without a contest: %v", err)
			}
			fight(t, r, tlsSecret("metrics", tc.secret, tc.component, unlike, []byte("c")))
			s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
			err := tc.run(r, s, certificate{pair: certs.Pair{Cert: []byte("another one, because the stored one is broken")}})
			var contested *apply.ContestedError
			if !errors.As(err, &contested) || !s.wanted["Secret metrics/"+tc.secret] {
				t.Errorf("error %v, wanted %v", err, s.wanted)
			}
		})
	}
}

// TestKeeps says what is not pruned.
func TestKeeps(t *testing.T) {
	theirs := foreign(component.ResourceMetrics, apiregv1.ConditionTrue, "Passed")
	theirs.Spec.Service = &apiregv1.ServiceReference{Namespace: "metrics", Name: component.MetricsServer}
	elsewhere := theirs.DeepCopy()
	elsewhere.Spec.Service.Namespace = "kube-system"
	backend := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: component.MetricsServer,
		Labels: component.Labels(component.MetricsServer)}}
	adapters := registered(component.CustomMetricsBeta1, component.PrometheusAdapter, apiregv1.ConditionTrue, "Passed")
	adapters.SetGroupVersionKind(apiServiceKind)
	disabled := component.Plan{Omitted: map[string]component.Omission{adapters.Name: {Reason: v1alpha1.ReasonDisabled}}}
	noRules := component.Plan{Omitted: map[string]component.Omission{adapters.Name: {Reason: v1alpha1.ReasonNoRules}}}

	for name, tc := range map[string]struct {
		object client.Object
		change func(*scope)
		want   bool
	}{
		"unwanted":                      {backend, func(*scope) {}, false},
		"wanted":                        {backend, func(s *scope) { s.wanted[apply.Identity(backend)] = true }, true},
		"held":                          {backend, func(s *scope) { s.held[component.MetricsServer] = true }, true},
		"an APIService leads to it":     {backend, func(s *scope) { s.apiServices[theirs.Name] = theirs }, true},
		"an APIService leads elsewhere": {backend, func(s *scope) { s.apiServices[theirs.Name] = elsewhere }, false},
		"a part that is no longer asked": {backend, func(s *scope) {
			s.apiServices[theirs.Name] = theirs
			s.plan.Components = []component.Component{{Name: component.MetricsServer}}
		}, false},
		"a held component's APIService":      {adapters, func(s *scope) { s.held[component.PrometheusAdapter], s.plan = true, noRules }, true},
		"its APIService, which is not to be": {adapters, func(s *scope) { s.held[component.PrometheusAdapter], s.plan = true, disabled }, false},
	} {
		s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
		s.apiServices = map[string]*apiregv1.APIService{}
		tc.change(s)
		if got := s.keeps(tc.object); got != tc.want {
			t.Errorf("%s: kept %v, want %v", name, got, tc.want)
		}
	}
}
