// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestDebounce: a thousand new apps are one report, and the last of them is in it.
func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		changed := debounce(10*time.Second, func() { calls.Add(1) })
		for range 1000 {
			changed()
		}
		if calls.Load() != 0 {
			t.Error("called at once")
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls for the first thousand", got)
		}
		changed()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := calls.Load(); got != 2 {
			t.Errorf("%d calls in all", got)
		}
	})
}

// TestRequests are for the namespaces that have apps or monitors, and one for the sake of the rules alone.
func TestRequests(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	must(t, w.services().Delete(service("shop", "a", nil)))
	must(t, w.services().Add(service("bank", "a", annotated())))
	var names []string
	for _, request := range w.r.everyNamespace(t.Context(), pipeline()) {
		names = append(names, request.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"", "bank", "shop"}) {
		t.Errorf("requests for %q", names)
	}
	must(t, w.client.Delete(t.Context(), crds()[0]))
	w.reconcile(t, "shop")
	w.r.monitors = interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if list.GetObjectKind().GroupVersionKind().Kind == monitoringv1.ServiceMonitorsKind {
				t.Error("monitors are read without their CRD: that waits for ever")
			}
			return c.List(ctx, list, opts...)
		},
	})
	if got := w.r.requests(t.Context()); len(got) != 2 {
		t.Errorf("without the CRD: %v", got)
	}
	if got := w.r.itself(t.Context(), namespaces("shop")[0]); len(got) != 1 || got[0].Name != "shop" {
		t.Errorf("a Namespace's event: %v", got)
	}
	if got := w.r.ownNamespace(t.Context(), &w.monitors(t)[0]); len(got) != 1 || got[0].Name != "shop" {
		t.Errorf("a monitor's event: %v", got)
	}
}
