// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// TestSnapshot is published when it differs, and not before everything has been listed.
func TestSnapshot(t *testing.T) {
	w := newWorld(t, append(append(crds(), everything(), pipeline()), namespaces("shop")...)...)
	announced := func(step string, want int) {
		t.Helper()
		w.reconcile(t)
		if w.announced != want {
			t.Errorf("%s: announced %d times, want %d", step, w.announced, want)
		}
	}
	announced("nothing has been listed", 0)
	if w.r.Snapshot() != nil {
		t.Errorf("a snapshot before the first list: %+v", w.r.Snapshot())
	}
	must(t, w.services().Replace([]any{service("shop", "a", annotated())}, "1"))
	announced("the Pods are still to come", 0)
	must(t, w.pods().Replace(nil, "1"))
	must(t, w.stores[index.HostPod].Replace(nil, "1"))
	announced("the workloads are still to come", 0)
	expectWrites(t, "monitors do not wait for workloads", w.reconcile(t, "shop"), "apply "+groupedServices)
	for _, kind := range index.Workloads() {
		must(t, w.stores[kind].Replace(nil, "1"))
	}
	announced("everything", 1)
	if got := w.r.Snapshot(); got.Status.Services != 1 || !got.State.Met || got.Of != Of(pipeline()) {
		t.Errorf("%+v", got)
	}
	announced("nothing new", 1)
	must(t, w.services().Add(service("shop", "b", annotated())))
	announced("another app", 2)
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Interval = "20s" })
	announced("another spec", 3)
	if w.r.Snapshot().Of == Of(pipeline()) {
		t.Error("a snapshot of another spec has the same digest")
	}
	w.stores[index.Pod] = w.r.index.Open(index.Pod, "prometheus.io")
	must(t, w.services().Add(service("shop", "c", annotated())))
	announced("the Pods are listed anew", 3)
	if got := w.r.Snapshot(); got == nil || got.Status.Services != 2 {
		t.Errorf("meanwhile: %+v", got)
	}
}

// TestOf changes with what a snapshot depends on, and with nothing else.
func TestOf(t *testing.T) {
	base := Of(pipeline())
	for name, tc := range map[string]struct {
		change func(*v1alpha1.MetricsPipeline)
		same   bool
	}{
		"nothing":         {func(*v1alpha1.MetricsPipeline) {}, true},
		"another section": {func(p *v1alpha1.MetricsPipeline) { p.Spec.PrometheusAdapter.MaxAge = "5m"; p.Generation++ }, true},
		"spec.scrape":     {func(p *v1alpha1.MetricsPipeline) { p.Spec.Scrape.Interval = "5m" }, false},
		"spec.prometheus": {func(p *v1alpha1.MetricsPipeline) { p.Spec.Prometheus.URL = "http://thanos" }, false},
		"recreated":       {func(p *v1alpha1.MetricsPipeline) { p.UID = "other" }, false},
	} {
		p := pipeline()
		tc.change(p)
		if same := Of(p) == base; same != tc.same {
			t.Errorf("%s: same is %v", name, same)
		}
	}
}

// TestErrorsAreStates: what cannot be read becomes a state, and hides nothing that can.
func TestErrorsAreStates(t *testing.T) {
	for name, list := range map[string]string{"Prometheus objects": "Prometheus", "monitors": "PartialObjectMetadata"} {
		t.Run(name, func(t *testing.T) {
			w := working(t)
			must(t, w.services().Add(service("shop", "a", annotated())))
			w.reconcile(t)
			failing := interceptor.NewClient(w.client, interceptor.Funcs{
				List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
					return errors.New("no answer")
				}})
			if list == "Prometheus" {
				w.r.prometheuses = failing
			} else {
				w.r.monitors = failing
			}
			_, err := w.r.Reconcile(t.Context(), inCommon)
			if (err == nil) != (list != "Prometheus") {
				t.Errorf("error %v", err)
			}
			got := w.r.Snapshot()
			if got.State.Met || got.State.Reason != v1alpha1.ReasonMonitorsFailed || !strings.Contains(got.State.Message, "no answer") ||
				got.Status.Services != 1 {
				t.Errorf("%+v", got)
			}
			expectWrites(t, "meanwhile", w.writes)
		})
	}
}

// TestRejectedIsSaidOnce: after a start an app gets an Event only where no operator before can have sent it.
func TestRejectedIsSaidOnce(t *testing.T) {
	bad := annotated("scheme", "ftp")
	apps := []any{service("shop", "bad", bad), service("bank", "bad", bad), service("left-out", "bad", bad)}
	listed := v1alpha1.RejectedApp{Kind: "Service", Namespace: "shop", Name: "bad", Reason: "in other words"}
	for name, tc := range map[string]struct {
		status *v1alpha1.ScrapeStatus
		want   []string
	}{
		"a new pipeline":        {nil, []string{"Service bank/bad", "Service shop/bad"}},
		"one came meanwhile":    {&v1alpha1.ScrapeStatus{Rejected: []v1alpha1.RejectedApp{listed}, RejectedTotal: 1}, []string{"Service bank/bad"}},
		"not all can be listed": {&v1alpha1.ScrapeStatus{Rejected: []v1alpha1.RejectedApp{listed}, RejectedTotal: 2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipeline()
			p.Status.Scrape = tc.status
			leftOut := namespaces("left-out")[0]
			leftOut.GetLabels()[v1alpha1.ScrapeOptOutLabel] = "false"
			w := newWorld(t, slices.Concat(crds(), namespaces("shop", "bank"), []client.Object{everything(), p, leftOut})...)
			w.reconcile(t)
			step := func(name string, want []string, objects ...any) {
				t.Helper()
				must(t, w.services().Replace(objects, "1"))
				slices.Sort(w.rejected)
				if !slices.Equal(w.rejected, want) {
					t.Errorf("%s: Events about %q, want %q", name, w.rejected, want)
				}
				w.rejected = nil
			}
			step("the first list", tc.want, apps...)
			step("the same again", nil, apps...)
			step("corrected", nil)
			step("rejected anew", []string{"Service shop/bad"}, apps[0])
		})
	}
}
