// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// server is an API server in memory, with server-side apply and managedFields, that counts what it is sent. What the fake
// does not do as the real one is tested against that, in test/envtest: an apply that changes nothing answers the old
// resourceVersion there and a new one here, and a fake deletion does not look at the UID that is demanded.
type server struct {
	client.WithWatch
	applied, deleted, dryRuns int
	// blind makes the cache see nothing, and fail makes every request fail.
	blind bool
	fail  error
	// failDelete makes deletions fail, and blindLive makes reads from the API server fail.
	failDelete error
	blindLive  bool
	// validate is what the API server does before it stores an object.
	validate func(context.Context, runtime.ApplyConfiguration) error
	clock    *clocktesting.FakePassiveClock
}

func newServer(t *testing.T, objects ...client.Object) (*server, *Applier) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiregv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))}
	s.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithReturnManagedFields().
		WithGlobalResourceVersionCounter().Build()
	cached := interceptor.NewClient(s.WithWatch, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if s.blind {
				return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
			}
			return c.Get(ctx, key, object, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			dryRun := len((&client.ApplyOptions{}).ApplyOptions(opts).DryRun) > 0
			if dryRun {
				s.dryRuns++
			} else {
				s.applied++
			}
			if s.fail != nil {
				return s.fail
			}
			if s.validate != nil {
				if err := s.validate(ctx, object); err != nil {
					return err
				}
			}
			if dryRun {
				return nil
			}
			return c.Apply(ctx, object, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			s.deleted++
			options := (&client.DeleteOptions{}).ApplyOptions(opts)
			if options.Preconditions == nil || options.Preconditions.UID == nil || *options.Preconditions.UID != object.GetUID() {
				t.Errorf("%s is deleted without its UID", ownership.Identity(object))
			}
			if s.fail != nil || s.failDelete != nil {
				return errors.Join(s.fail, s.failDelete)
			}
			if options.PropagationPolicy != nil && *options.PropagationPolicy == metav1.DeletePropagationOrphan {
				return s.orphan(ctx, object)
			}
			return c.Delete(ctx, object, opts...)
		},
	})
	live := interceptor.NewClient(s.WithWatch, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if s.blindLive {
				return errors.New("an unexpected request to the API server")
			}
			return c.Get(ctx, key, object, opts...)
		},
	})
	a := New(cached, live, s.clock, time.Minute)
	a.retryClock = s.clock
	return s, a
}

// wanted returns a ConfigMap of ours with data.
func wanted(data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "prometheus-adapter", "namespace": "metrics",
			"labels": map[string]any{v1alpha1.ManagedLabel: v1alpha1.SingletonName}},
		"data": data,
	}}
}

// configMap returns the stored one; nil where there is none.
func (s *server) configMap(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	found := &corev1.ConfigMap{}
	err := s.Get(t.Context(), client.ObjectKey{Namespace: "metrics", Name: "prometheus-adapter"}, found)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// expect applies, and compares the result and how many writes were sent in all.
func (s *server) expect(t *testing.T, a *Applier, object *unstructured.Unstructured, want Result, applied int) {
	t.Helper()
	got, err := a.Apply(t.Context(), object)
	if err != nil || got != want || s.applied != applied {
		t.Errorf("result %d, error %v, %d writes; want %d and %d writes", got, err, s.applied, want, applied)
	}
}
