// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"errors"
	"fmt"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
)

// TestOfNamespace: what the users of one namespace can cause is that namespace's. What fails everywhere alike is the pipeline's.
func TestOfNamespace(t *testing.T) {
	resource := schema.GroupResource{Group: "monitoring.coreos.com", Resource: "servicemonitors"}
	forbidden := func(why string) error { return apierrors.NewForbidden(resource, "m", errors.New(why)) }
	refused := func(err error) error { return &apply.RefusedError{Object: "ServiceMonitor shop/m", Err: err} }
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"a foreign monitor":   {&apply.NameTakenError{}, v1alpha1.ReasonNameTaken},
		"another writer":      {&apply.ContestedError{}, v1alpha1.ReasonContested},
		"a quota":             {refused(forbidden("exceeded quota: monitors, requested: count/servicemonitors=1")), v1alpha1.ReasonRefused},
		"an admission policy": {refused(apierrors.NewInvalid(schema.GroupKind{Kind: "ServiceMonitor"}, "ValidatingAdmissionPolicy 'x' denied request", nil)), v1alpha1.ReasonRefused},
		"a webhook":           {refused(apierrors.NewBadRequest(`admission webhook "w" denied the request`)), v1alpha1.ReasonRefused},
		"too large":           {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), v1alpha1.ReasonRefused},
		"another controller": {refused(apierrors.NewInvalid(schema.GroupKind{Kind: "ServiceMonitor"}, "m", field.ErrorList{field.Invalid(
			field.NewPath("metadata", "ownerReferences"), nil, "Only one reference can have Controller set to true")})), v1alpha1.ReasonRefused},
		"a missing permission": {refused(forbidden(`User "system:serviceaccount:a:b" cannot patch resource "servicemonitors" in API group ` +
			`"monitoring.coreos.com" in the namespace "shop"`)), ""},
		"another schema": {refused(apierrors.NewInvalid(schema.GroupKind{Kind: "ServiceMonitor"}, "m", field.ErrorList{field.Invalid(
			field.NewPath("spec", "endpoints"), nil, "unknown")})), ""},
		"no answer": {errors.New("connection refused"), ""},
	} {
		if got := ofNamespace(fmt.Errorf("apply: %w", tc.err)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestProblemsOfNamespaces are told of each namespace in its own, and never again what the status of before a start lists.
func TestProblemsOfNamespaces(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t)
	w.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "servicemonitors"}, "m", errors.New("exceeded quota: none"))
	w.reconcile(t, "shop")
	w.expectProblem(t, "shop", v1alpha1.ReasonRefused, "exceeded quota")

	_, status := w.observe(t)
	for name, tc := range map[string]struct {
		before *v1alpha1.ScrapeStatus
		events int
	}{
		"the status lists it":       {&status, 0},
		"the status had no place":   {&v1alpha1.ScrapeStatus{NotScrapedTotal: 1}, 0},
		"it came while it was away": {&v1alpha1.ScrapeStatus{}, 1},
	} {
		w.r.reasons = nil
		p := &v1alpha1.MetricsPipeline{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
		p.Status.Scrape = tc.before
		must(t, w.client.Update(t.Context(), p))
		w.observe(t)
		if len(w.events) != tc.events {
			t.Errorf("%s: Events %q", name, w.events)
		}
		w.events = nil
	}

	must(t, w.services().Delete(service("shop", "a", nil)))
	w.reconcile(t, "shop")
	if _, status := w.observe(t); status.NotScrapedTotal != 0 {
		t.Errorf("at the end: %+v", status.NotScraped)
	}
}

// TestNearTheTargetLimit: Prometheus scrapes nothing of a monitor beyond it, so it is said before.
func TestNearTheTargetLimit(t *testing.T) {
	w := working(t)
	limit := int64(10)
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Limits.Targets = &limit })
	for i := range 7 {
		must(t, w.pods().Add(pod("shop", fmt.Sprintf("p-%d", i), annotated())))
		must(t, w.services().Add(service("bank", fmt.Sprintf("s-%d", i), annotated())))
	}
	if _, status := w.observe(t); status.NotScrapedTotal != 0 {
		t.Errorf("7 of 10: %+v", status.NotScraped)
	}
	must(t, w.pods().Add(pod("shop", "one-more", annotated())))
	w.expectProblem(t, "shop", v1alpha1.ReasonTargetLimit, "beyond 10 targets")
	limit = 0
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Limits.Targets = &limit })
	if _, status := w.observe(t); status.NotScrapedTotal != 0 {
		t.Errorf("no limit: %+v", status.NotScraped)
	}
}

// TestFailureFromBeforeAStart stands in the status until the namespace has been reconciled, and gets no Event again.
func TestFailureFromBeforeAStart(t *testing.T) {
	w := working(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	p := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	listed := v1alpha1.NotScrapedNamespace{Namespace: "shop", Reason: v1alpha1.ReasonRefused, Message: "exceeded quota."}
	p.Status.Scrape = &v1alpha1.ScrapeStatus{NotScrapedTotal: 1, NotScraped: []v1alpha1.NotScrapedNamespace{listed}}
	must(t, w.client.Update(t.Context(), p))
	if _, status := w.observe(t); len(status.NotScraped) != 1 || status.NotScraped[0] != listed {
		t.Errorf("before its first reconcile: %+v", status.NotScraped)
	}
	w.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "servicemonitors"}, "m", errors.New("exceeded quota: none"))
	w.reconcile(t, "shop")
	if w.observe(t); len(w.events) != 0 {
		t.Errorf("Events again: %q", w.events)
	}
	w.refuse = nil
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	must(t, w.client.Delete(t.Context(), namespaces("shop")[0]))
	must(t, w.client.Create(t.Context(), namespaces("shop")[0]))
	w.r.applier.Forget("shop")
	w.reconcile(t, "shop")
	if _, status := w.observe(t); len(status.NotScraped) != 0 {
		t.Errorf("at the end: %+v", status.NotScraped)
	}
}

// TestInvalidInOneNamespace: what a user adds to the monitor of a namespace, such as another controlling owner, makes every apply
// of it invalid. Where those of others are accepted, that is the namespace's own failure.
func TestInvalidInOneNamespace(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "ServiceMonitor"}, "m", nil)
	for name, tc := range map[string]struct {
		answer error
		others bool
		want   bool
	}{
		"invalid, others are accepted":   {invalid, true, true},
		"invalid, and no other":          {invalid, false, false},
		"too large for etcd":             {errors.New("etcdserver: request is too large"), false, true},
		"no permission, others had some": {apierrors.NewForbidden(schema.GroupResource{}, "m", errors.New(`User "a" cannot patch`)), true, false},
	} {
		w := working(t)
		if tc.others {
			must(t, w.services().Add(service("bank", "a", annotated())))
			w.reconcile(t, "bank")
		}
		must(t, w.services().Add(service("shop", "a", annotated())))
		w.refuse = tc.answer
		w.reconcile(t)
		_, _ = w.r.Reconcile(t.Context(), requestFor("shop")) // Its error is for the controller.
		state, status := w.observe(t)
		if state.Met != tc.want || (status.NotScrapedTotal == 1) != tc.want {
			t.Errorf("%s: %+v, %+v", name, state, status.NotScraped)
		}
	}
}

// TestProblemsStayWhileRetained: while it is not known what should be, the status says what it said, and nothing is said again after.
func TestProblemsStayWhileRetained(t *testing.T) {
	w := working(t)
	atHome := func() *monitoringv1.Prometheus {
		return everything(func(p *monitoringv1.PrometheusSpec) { p.ServiceMonitorNamespaceSelector = nil })
	}
	must(t, w.client.Delete(t.Context(), everything()))
	must(t, w.client.Create(t.Context(), atHome()))
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	w.expectProblem(t, "shop", v1alpha1.ReasonNotSelected, "does not look for monitors in namespace shop")
	must(t, w.chosen())
	must(t, w.client.Delete(t.Context(), atHome()))
	if state, status := w.observe(t); state.Met || status.NotScrapedTotal != 1 || len(status.NotScraped) != 1 {
		t.Errorf("without a Prometheus: %+v, %+v", state, status.NotScraped)
	}
	must(t, w.client.Create(t.Context(), atHome()))
	w.reconcile(t, "shop")
	if _, status := w.observe(t); status.NotScrapedTotal != 1 || len(w.events) != 0 {
		t.Errorf("with it again: %+v, Events %q", status.NotScraped, w.events)
	}
}
