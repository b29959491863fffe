// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiunstructured "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/internal/kinds"
)

// fakeRequests are those of an informer; err is what the API server answers all of them, and watchErr watches alone. One that
// lists cannot stream what is there.
type fakeRequests struct {
	lists         bool
	mu            sync.Mutex
	err, watchErr error
	streams       []*watch.FakeWatcher
}

func (r *fakeRequests) answer(err, watchErr error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.watchErr = err, watchErr
	for _, stream := range r.streams {
		stream.Stop()
	}
	r.streams = nil
}

func (r *fakeRequests) List(metav1.ListOptions) (runtime.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
}

func (r *fakeRequests) Watch(options metav1.ListOptions) (watch.Interface, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmp.Or(r.watchErr, r.err); err != nil {
		return nil, err
	}
	if r.lists && options.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
	}
	stream := watch.NewFakeWithChanSize(1, false)
	if options.SendInitialEvents != nil {
		end := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1",
			Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
		stream.Action(watch.Bookmark, end)
	}
	r.streams = append(r.streams, stream)
	return stream, nil
}

// TestAnswers lets an informer of client-go run against an API server that begins and ceases to refuse it. It tries again and
// again, and only another answer is a change.
func TestAnswers(t *testing.T) {
	for name, lists := range map[string]bool{"an API server that streams": false, "one that does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests, changes := &fakeRequests{err: forbidden(), lists: lists}, 0
				o := &observer{clock: clocktesting.NewFakeClock(began), changed: func() { changes++ },
					locate: func(context.Context) error { return nil }}
				informer := toolscache.NewSharedIndexInformer(o.observe(requests), &corev1.ConfigMap{}, 0, toolscache.Indexers{})
				// The usual handler waits by a clock that is not the bubble's.
				if err := informer.SetWatchErrorHandlerWithContext(func(context.Context, *toolscache.Reflector, error) {}); err != nil {
					t.Fatal(err)
				}
				go informer.RunWithContext(t.Context())
				noWatch := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", errors.New("watch"))
				eof, wanted := errors.New("EOF"), 0
				var last error
				for i, step := range []struct {
					name                 string
					err, watchErr, wants error
				}{
					{"refused", forbidden(), nil, forbidden()}, {"allowed", nil, nil, nil},
					{"no longer allowed", forbidden(), nil, forbidden()}, {"allowed again", nil, nil, nil},
					{"unreachable", eof, nil, eof}, {"reachable", nil, nil, nil},
					{"may list alone", nil, noWatch, noWatch}, {"unreachable meanwhile", eof, noWatch, noWatch},
					{"may not list either", forbidden(), noWatch, forbidden()}, {"may list alone again", nil, noWatch, noWatch},
					{"allowed at last", nil, nil, nil},
				} {
					requests.answer(step.err, step.watchErr)
					time.Sleep(3 * time.Minute) // Of the bubble's clock: a reflector waits up to a minute.
					synctest.Wait()
					if fmt.Sprint(step.wants) != fmt.Sprint(last) {
						wanted++
					}
					last = step.wants
					if got := o.answer(); fmt.Sprint(got.err) != fmt.Sprint(step.wants) || changes != wanted {
						t.Errorf("%s: %+v after %d changes, want %v after %d", step.name, got, changes, step.wants, wanted)
					}
					if synced := i > 0; informer.HasSynced() != synced {
						t.Errorf("%s: synced is %v", step.name, !synced)
					}
				}
			})
		})
	}
}

// broken cannot be decoded.
var broken = &apiunstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
	"metadata": map[string]any{"namespace": "apps", "name": "broken"}, "immutable": "perhaps"}}

// TestLocate: the error about an object that cannot be decoded names no object; it is found among them.
func TestLocate(t *testing.T) {
	undecodable := errors.New("json: cannot unmarshal string into Go struct field .immutable of type bool")
	for name, tc := range map[string]struct {
		object runtime.Object
		err    error
		list   error
		want   string
		sure   bool
	}{
		"an object":                 {object: &corev1.ConfigMap{}, err: undecodable, want: "ConfigMap apps/broken cannot be decoded", sure: true},
		"metadata has no such part": {object: kinds.CRD.New(), err: undecodable, want: undecodable.Error()},
		"no permission to look":     {object: &corev1.ConfigMap{}, err: undecodable, list: forbidden(), want: undecodable.Error()},
		"a network's error":         {object: &corev1.ConfigMap{}, err: &url.Error{Op: "Get", Err: errors.New("EOF")}, want: "EOF"},
		"the API server's":          {object: &corev1.ConfigMap{}, err: forbidden(), want: "forbidden", sure: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			looked := 0
			w.client = interceptor.NewClient(fake.NewClientBuilder().WithScheme(w.client.Scheme()).Build(), interceptor.Funcs{
				List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
					looked++
					list.(*apiunstructured.UnstructuredList).Items = []apiunstructured.Unstructured{*broken}
					return tc.list
				}})
			o := &observer{clock: w.clock, changed: func() {},
				locate: func(ctx context.Context) error { return w.watches.locate(ctx, configMaps, tc.object, nil) }}
			o.note(t.Context(), &o.lists, tc.err)
			o.note(t.Context(), &o.lists, tc.err)
			if got := o.answer(); !strings.Contains(got.err.Error(), tc.want) || got.definite != tc.sure {
				t.Errorf("%+v", got)
			}
			if looked > 1 {
				t.Errorf("looked %d times for one error", looked)
			}
		})
	}
}

// TestLocateWhereTheCacheReads: the operator may list a kind only as its informers do.
func TestLocateWhereTheCacheReads(t *testing.T) {
	one := fields.OneTermEqualSelector("metadata.name", "one")
	for name, tc := range map[string]struct {
		options cache.Options
		may     string
	}{
		"everywhere":                {may: ""},
		"in a namespace":            {cache.Options{DefaultNamespaces: map[string]cache.Config{"apps": {}}}, "apps"},
		"in a namespace of its own": {cache.Options{DefaultNamespaces: map[string]cache.Config{"default": {}}, ByObject: configMapsIn("apps", nil)}, "apps"},
		"one object":                {cache.Options{ByObject: configMapsIn("apps", one)}, "apps metadata.name=one"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client = interceptor.NewClient(fake.NewClientBuilder().WithScheme(w.client.Scheme()).Build(), interceptor.Funcs{
				List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
					of := (&client.ListOptions{}).ApplyOptions(options)
					where := of.Namespace
					if of.FieldSelector != nil {
						where += " " + of.FieldSelector.String()
					}
					if where != tc.may {
						return forbidden()
					}
					list.(*apiunstructured.UnstructuredList).Items = []apiunstructured.Unstructured{*broken}
					return nil
				}})
			var made cache.Options
			tc.options.Scheme = w.client.Scheme()
			if _, err := w.watches.NewCache(func(_ *rest.Config, options cache.Options) (cache.Cache, error) {
				made = options
				return w.fakeCache, nil
			})(nil, tc.options); err != nil {
				t.Fatal(err)
			}
			made.NewInformer(&fakeRequests{}, &corev1.ConfigMap{}, 0, toolscache.Indexers{})
			o := w.watches.observers[key{w.fakeCache, configMaps, typed}][0]
			o.note(t.Context(), &o.lists, errors.New("json: cannot unmarshal string"))
			if got := o.answer().err.Error(); !strings.Contains(got, "ConfigMap apps/broken cannot be decoded") {
				t.Error(got)
			}
		})
	}
}

// configMapsIn has a cache hold those of two namespaces; of one of them those that a selector selects.
func configMapsIn(namespace string, selector fields.Selector) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {
		Namespaces: map[string]cache.Config{"another": {}, namespace: {FieldSelector: selector}}}}
}

// TestNewCache: each cache that is made knows what its informers were answered.
func TestNewCache(t *testing.T) {
	w := newWorld(t)
	var made cache.Options
	wrapped := w.watches.NewCache(func(_ *rest.Config, options cache.Options) (cache.Cache, error) {
		made = options
		return w.fakeCache, nil
	})
	if _, err := wrapped(nil, cache.Options{Scheme: w.client.Scheme()}); err != nil {
		t.Fatal(err)
	}
	requests := &fakeRequests{err: forbidden()}
	for _, object := range []runtime.Object{&corev1.ConfigMap{}, w.kind(one, "").Object} {
		informer := made.NewInformer(requests, object, 0, toolscache.Indexers{})
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan struct{})
		w.watches.mu.Lock()
		moved := w.watches.moved
		w.watches.mu.Unlock()
		go func() { informer.RunWithContext(ctx); close(refused) }()
		<-moved
		cancel()
		<-refused
	}
	for kind, in := range map[schema.GroupVersionKind]form{configMaps: typed, one: metadata} {
		if last := w.watches.last(key{w.fakeCache, kind, in}); !last.definite {
			t.Errorf("%s: %+v", kind.Kind, last)
		}
	}
	w.watches.end(t.Context(), &watched{Kind: w.kind(one, ""), informer: w.informers[one], stop: make(chan struct{})})
	if last := w.watches.last(key{w.fakeCache, one, metadata}); last.err != nil {
		t.Errorf("after it was forgotten: %+v", last)
	}
	refuses := w.watches.NewCache(func(*rest.Config, cache.Options) (cache.Cache, error) { return nil, errors.New("no") })
	if _, err := refuses(nil, cache.Options{}); err == nil {
		t.Error("the error of the function is lost")
	}
}
