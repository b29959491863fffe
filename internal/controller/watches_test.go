// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// moment is when each test begins.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// watched is the source of a controller that has started, its caches and its queue.
type watched struct {
	objects, prometheuses *informers
	queue                 workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// watching starts a controller in the namespace metrics, on a cluster that serves every CRD that the operator knows.
func watching(t *testing.T) *watched {
	t.Helper()
	w := &watched{objects: newInformers(t), prometheuses: newInformers(t), queue: workqueue.NewTypedRateLimitingQueue(
		workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())}
	t.Cleanup(w.queue.ShutDown)
	watches := NewWatches()
	watches.Use(w.objects)
	source := subscribe(watches, w.objects, w.prometheuses, Options{Name: "test", Namespace: "metrics"})
	if err := source.Start(t.Context(), w.queue); err != nil {
		t.Fatal(err)
	}
	if served := watches.Ensure(t.Context()); len(served.Unreadable) > 0 || served.Waiting() {
		t.Fatalf("unreadable: %v, waiting: %v", served.Unreadable, served.Waiting())
	}
	synctest.Wait()
	w.woken(t)
	return w
}

// woken is true when the pipeline has been requested since the last call.
func (w *watched) woken(t *testing.T) bool {
	t.Helper()
	woken := w.queue.Len() > 0
	for w.queue.Len() > 0 {
		request, _ := w.queue.Get()
		w.queue.Done(request)
		if request != pipelineRequest {
			t.Errorf("requested %v", request)
		}
	}
	return woken
}

// TestOwnNamespaceIsWatched, and of its events those that matter: the five seconds that there are must not be waited away.
func TestOwnNamespaceIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		informer := w.objects.of(t, kinds.Namespace.New())
		before := func(name string) client.Object {
			object := kinds.Namespace.New()
			object.SetName(name)
			return object
		}
		for _, tc := range []struct {
			name           string
			leaving, woken bool
		}{{"metrics", false, false}, {"other", true, false}, {"metrics", true, true}} {
			after := before(tc.name)
			if tc.leaving {
				after.SetDeletionTimestamp(ptr.To(metav1.NewTime(moment)))
			}
			informer.Update(before(tc.name), after)
			if got := w.woken(t); got != tc.woken {
				t.Errorf("Namespace %s, leaving %v: woken %v, want %v", tc.name, tc.leaving, got, tc.woken)
			}
		}
	})
}

// TestQuotasWake when they change, and not when a pod is counted.
func TestQuotasWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		informer := w.objects.of(t, &corev1.ResourceQuota{})
		quota := func(limit, used string) *corev1.ResourceQuota {
			list := func(pods string) corev1.ResourceList {
				return corev1.ResourceList{corev1.ResourcePods: resource.MustParse(pods)}
			}
			return &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: list(limit)}, Status: corev1.ResourceQuotaStatus{Used: list(used)}}
		}
		for name, tc := range map[string]struct {
			change func()
			woken  bool
		}{
			"made":    {func() { informer.Add(quota("5", "0")) }, true},
			"counts":  {func() { informer.Update(quota("5", "0"), quota("5", "1")) }, false},
			"changed": {func() { informer.Update(quota("5", "1"), quota("0", "1")) }, true},
			"deleted": {func() { informer.Delete(quota("5", "1")) }, true},
		} {
			tc.change()
			if got := w.woken(t); got != tc.woken {
				t.Errorf("%s: woken %v, want %v", name, got, tc.woken)
			}
		}
	})
}

// TestOnlyMetricsAPIsWake: of the many APIServices of a cluster four concern the pipeline.
func TestOnlyMetricsAPIsWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		informer := w.objects.of(t, &apiregv1.APIService{})
		want := map[string]bool{"v1.apps": false, "v1beta1.custom.metrics.k8s.io.example.com": false}
		for _, api := range metricsapi.All() {
			want[api.Name()] = true
		}
		for name, want := range want {
			informer.Add(&apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: name}})
			if got := w.woken(t); got != want {
				t.Errorf("APIService %s: woken %v, want %v", name, got, want)
			}
		}
	})
}

// TestStatusDoesNotWake: a pipeline's own status is no reason to reconcile it.
func TestStatusDoesNotWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		informer := w.objects.of(t, &v1alpha1.MetricsPipeline{})
		pipeline := func(generation int64, version string) *v1alpha1.MetricsPipeline {
			return &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, Generation: generation},
				Status: v1alpha1.MetricsPipelineStatus{Version: version}}
		}
		informer.Update(pipeline(1, "old"), pipeline(1, "new"))
		if w.woken(t) {
			t.Error("woken by the status")
		}
		informer.Update(pipeline(1, "new"), pipeline(2, "new"))
		if !w.woken(t) {
			t.Error("not woken by the spec")
		}
	})
}

// TestWatchesWhatItReads: each kind that a reconcile reads from the cache is watched in the form in which it is read, so that no
// read waits and no change goes unseen.
func TestWatchesWhatItReads(t *testing.T) {
	objects, prometheuses := reads(t)
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		for cache, read := range map[*informers][]string{w.objects: objects, w.prometheuses: prometheuses} {
			if len(read) == 0 {
				t.Error("nothing is read")
			}
			for _, kind := range read {
				if cache.byKind[kind] == nil {
					t.Errorf("%s is read and not watched; watched are %q", kind, cache.watched())
				}
			}
		}
	})
}

// TestEveryWatchWakes, but for those of which not every event matters.
func TestEveryWatchWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		some := []string{form(w.objects.scheme, kinds.Namespace.New()), form(w.objects.scheme, &apiregv1.APIService{})}
		for _, cache := range []*informers{w.objects, w.prometheuses} {
			for kind, informer := range cache.byKind {
				informer.Add(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: "one"}})
				if got, want := w.woken(t), !slices.Contains(some, kind); got != want {
					t.Errorf("%s: woken %v, want %v", kind, got, want)
				}
			}
		}
	})
}

// TestAnnounceNeverWaits: a call that has not been seen yet serves for the next one, too.
func TestAnnounceNeverWaits(t *testing.T) {
	wake := make(chan event.GenericEvent, 1)
	announce(wake)
	announce(wake)
	if got := (<-wake).Object.GetName(); got != v1alpha1.SingletonName || len(wake) > 0 {
		t.Errorf("announced %q, and %d more", got, len(wake))
	}
}

// TestExportedByTheEndpoint: the operator's metrics endpoint serves this registry.
func TestExportedByTheEndpoint(t *testing.T) {
	if err := metrics.Registry.Register(&exported); err == nil {
		t.Error("the metrics of the pipeline were not registered")
	}
}
