// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/pace"
)

// TestReportsArePaced: what users of namespaces cause is reported at once for some times, and then once a minute.
func TestReportsArePaced(t *testing.T) {
	w := working(t)
	w.observe(t)
	var waits []string
	for i := range pace.Burst + 2 {
		must(t, w.services().Add(service("shop", fmt.Sprintf("app-%d", i), annotated())))
		_, delayed := w.requested()
		w.observe(t)
		waits = append(waits, delayed...)
	}
	want := append(slices.Repeat([]string{" after 10s"}, pace.Burst), " after 1m0s", " after 2m0s")
	if !slices.Equal(waits[:pace.Burst], want[:pace.Burst]) || waits[pace.Burst] != " after 1m0s" {
		t.Errorf("reports %q, want %q", waits, want)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	w.observe(t)
	w.requested()
	must(t, w.services().Delete(service("shop", "app-0", nil)))
	if _, delayed := w.requested(); !slices.Equal(delayed, []string{" after 10s"}) {
		t.Errorf("after a rest: %q", delayed)
	}
}

// TestLabelsOfNamespacesArePaced: who may label a namespace takes its apps out of the count and puts them back. However often, the
// status is not written for it more often than for anything else that users of namespaces do.
func TestLabelsOfNamespacesArePaced(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.observe(t)
	before := w.announced
	for i := range 50 {
		ns := &corev1.Namespace{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns))
		ns.Labels[v1alpha1.ScrapeOptOutLabel] = strconv.FormatBool(i%2 == 1)
		must(t, w.client.Update(t.Context(), ns))
		_, err := w.r.Reconcile(t.Context(), requestFor("shop"))
		must(t, err)
		w.observe(t)
	}
	if reports := w.announced - before; reports > pace.Burst {
		t.Errorf("%d reports at one time, want at most %d", reports, pace.Burst)
	}
	if _, delayed := w.requested(); !slices.Contains(delayed, " after 1m0s") {
		t.Errorf("what was left out is to follow: %q", delayed)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	if _, status := w.observe(t); status.Services != 1 {
		t.Errorf("a minute later: %+v", status)
	}
}
