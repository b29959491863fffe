// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// server answers the requests of the reflectors.
type server struct {
	mu sync.Mutex
	// err refuses the kinds that it names.
	err map[index.Kind]error
	// watching is the number of streams of each kind that are open.
	watching map[index.Kind]int
}

func (s *server) requests(kind index.Kind, list runtime.Object) toolscache.ListerWatcher {
	return &toolscache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return list, s.err[kind]
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if options.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil) // It lists instead.
			}
			s.watching[kind]++
			stream := watch.NewFake()
			go func() {
				<-ctx.Done()
				s.mu.Lock()
				defer s.mu.Unlock()
				s.watching[kind]--
			}()
			return stream, nil
		},
	}
}

// following is a world whose index is filled by reflectors.
func following(t *testing.T) (*world, *server) {
	t.Helper()
	w := working(t)
	s := &server{err: map[index.Kind]error{}, watching: map[index.Kind]int{}}
	w.r.index.Close(index.Service)
	w.r.index.Close(index.Pod)
	w.r.index.Close(index.Deployment)
	w.r.reflectors.kinds = map[index.Kind]reflected{
		index.Service: {s.requests(index.Service, &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "1"},
			Items: []corev1.Service{*service("shop", "a", annotated())}}), &corev1.Service{}},
		index.Pod: {s.requests(index.Pod, &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "1"},
			Items: []metav1.PartialObjectMetadata{*pod("shop", "p", annotated())}}), &metav1.PartialObjectMetadata{}},
		index.Deployment: {s.requests(index.Deployment, &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}),
			&metav1.PartialObjectMetadata{}}}
	return w, s
}

// TestOnlyWhatIsNeededIsFollowed: Services and Pods, and workloads beside either, are watched while the spec names them and the cluster knows monitors, once
// however often that is looked at, and nothing is left of a watch that has ended.
func TestOnlyWhatIsNeededIsFollowed(t *testing.T) {
	both := map[index.Kind]int{index.Service: 1, index.Pod: 1, index.Deployment: 1}
	synctest.Test(t, func(t *testing.T) {
		w, s := following(t)
		for _, step := range []struct {
			name     string
			do       func()
			watching map[index.Kind]int
			writes   []string
		}{
			{"at first", func() {}, both, []string{"apply " + groupedServices, "apply " + groupedPods}},
			{"nothing new", func() {}, both, nil},
			{"Services alone", func() {
				w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices} })
			}, map[index.Kind]int{index.Service: 1, index.Deployment: 1}, []string{"apply " + groupedServices, "delete " + groupedPods}},
			{"nothing", func() { w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = nil }) }, nil, []string{"delete " + groupedServices}},
			{"both again", func() {
				w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = pipeline().Spec.Scrape.Targets })
			}, both, []string{"apply " + groupedServices, "apply " + groupedPods}},
			{"no CRDs", func() { must(t, w.client.Delete(t.Context(), crds()[1])) }, nil, nil},
			{"CRDs", func() { must(t, w.client.Create(t.Context(), crds()[1])) }, both, nil},
			{"no pipeline", func() { must(t, w.client.Delete(t.Context(), pipeline())) }, nil, nil},
		} {
			step.do()
			var writes []string
			for range 3 {
				writes = append(writes, w.reconcile(t, "shop")...)
				time.Sleep(time.Second) // Of the bubble's clock.
				synctest.Wait()
			}
			s.mu.Lock()
			for _, kind := range []index.Kind{index.Service, index.Pod, index.Deployment} {
				if s.watching[kind] != step.watching[kind] {
					t.Errorf("%s: %d watches on %ss, want %d", step.name, s.watching[kind], kind, step.watching[kind])
				}
			}
			s.mu.Unlock()
			if !slices.Equal(writes, step.writes) {
				t.Errorf("%s: writes %q, want %q", step.name, writes, step.writes)
			}
		}
	}) // It fails when a goroutine is left.
}

// TestARefusedKindOfApps: without the permission to list Pods, Services are scraped all the same, the monitors of Pods stay, and
// the state names the permission.
func TestARefusedKindOfApps(t *testing.T) {
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil // They wait by a clock that is not the bubble's.
	t.Cleanup(func() { utilruntime.ErrorHandlers = handlers })
	synctest.Test(t, func(t *testing.T) {
		w, s := following(t)
		s.err[index.Pod] = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
		var writes []string
		for range 3 {
			writes = append(writes, w.reconcile(t, "shop")...)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if !slices.Equal(writes, []string{"apply " + groupedServices}) {
			t.Errorf("writes %q", writes)
		}
		got := w.r.Snapshot()
		if got == nil || got.State.Met || got.State.Reason != v1alpha1.ReasonMonitorsFailed || !strings.Contains(got.State.Message, "pods is forbidden") {
			t.Fatalf("%+v", got)
		}
		s.mu.Lock()
		delete(s.err, index.Pod)
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := w.reconcile(t, "shop"); !slices.Equal(got, []string{"apply " + groupedServices, "apply " + groupedPods}) {
			t.Errorf("allowed: writes %q", got)
		}
		if got := w.r.Snapshot(); !got.State.Met || got.Status.Pods != 1 {
			t.Errorf("allowed: %+v", got)
		}
	})
}

// TestRefusedWorkloads: without the permission to list Deployments all apps are scraped, and the state names the permission.
func TestRefusedWorkloads(t *testing.T) {
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil // They wait by a clock that is not the bubble's.
	t.Cleanup(func() { utilruntime.ErrorHandlers = handlers })
	synctest.Test(t, func(t *testing.T) {
		w, s := following(t)
		s.err[index.Deployment] = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", nil)
		var writes []string
		for range 3 {
			writes = append(writes, w.reconcile(t, "shop")...)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if !slices.Equal(writes, []string{"apply " + groupedServices, "apply " + groupedPods}) {
			t.Errorf("writes %q", writes)
		}
		got := w.r.Snapshot()
		if got == nil || got.State.Reason != v1alpha1.ReasonMonitorsFailed || !strings.Contains(got.State.Message, "deployments.apps is forbidden") {
			t.Fatalf("%+v", got)
		}
	})
}
