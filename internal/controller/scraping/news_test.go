// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestNewsReachTheStatus: what the status says of scraping may change with what nobody else watches.
func TestNewsReachTheStatus(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	relabel := func(key, value string) {
		ns := &corev1.Namespace{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns))
		ns.Labels[key] = value
		must(t, w.client.Update(t.Context(), ns))
	}
	for _, step := range []struct {
		name string
		do   func()
		news bool
	}{
		{"a first look", func() {}, true},
		{"nothing new", func() {}, false},
		{"a label of the Namespace, which the Prometheus may select by", func() { relabel("team", "web") }, true},
		{"nothing new again", func() {}, false},
		{"opted out: the monitor goes", func() { relabel(v1alpha1.ScrapeOptOutLabel, "false") }, true},
		{"there is no Prometheus any more", func() { must(t, w.client.Delete(t.Context(), everything())) }, true},
		{"there is still none", func() {}, false},
	} {
		step.do()
		w.counted = 0
		w.reconcile(t, "shop")
		if news := w.counted > 0; news != step.news {
			t.Errorf("%s: news %v", step.name, news)
		}
	}
	monitor := service("shop", "b", annotated("port", "9"))
	w.reconcile(t, "shop")
	must(t, w.services().Add(monitor))
	w.counted = 0
	must(t, w.client.Create(t.Context(), everything()))
	w.reconcile(t, "shop")
	if w.counted == 0 {
		t.Error("a Prometheus again: no news")
	}
}
