// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/pace"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// workload is the metadata of one that has the annotation itself, and in its template as well where both is true.
func workload(namespace, name string, both bool) *metav1.PartialObjectMetadata {
	template := `{"f:spec":{"f:containers":{}}}`
	if both {
		template = `{"f:metadata":{"f:annotations":{"f:prometheus.io/scrape":{}}}}`
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name),
		Annotations:   annotated(),
		ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":` + template + `}}`)}}}}
}

func (w *world) expectNearMisses(t *testing.T, step string, events []string, listed ...string) v1alpha1.ScrapeStatus {
	t.Helper()
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	_, status := w.observe(t)
	var got []string
	for _, entry := range status.NearMisses {
		got = append(got, entry.Kind+" "+entry.Namespace+"/"+entry.Name)
	}
	if !slices.Equal(got, listed) || int(status.NearMissesTotal) != len(listed) {
		t.Errorf("%s: listed are %q, %d in all; want %q", step, got, status.NearMissesTotal, listed)
	}
	if !slices.Equal(w.nearMisses, events) {
		t.Errorf("%s: Events about %q, want %q", step, w.nearMisses, events)
	}
	w.nearMisses = nil
	return status
}

// TestNearMisses: an app whose annotation is almost right gets an Event and a place in the status until it is right.
func TestNearMisses(t *testing.T) {
	w := working(t)
	w.observe(t)
	almost := service("shop", "a", map[string]string{"prometheus.io.scrape": "true"})
	must(t, w.services().Add(almost))
	must(t, w.pods().Add(pod("shop", "p", map[string]string{"prometheus.io/probe": "true"})))
	must(t, w.pods().Add(pod("shop", "q", map[string]string{"prometheus.io/port": "80"})))
	status := w.expectNearMisses(t, "at first", []string{"Service shop/a", "Pod shop/p"}, "Pod shop/p", "Service shop/a")
	if status.RejectedTotal != 0 || !strings.Contains(status.NearMisses[1].Reason, `write prometheus.io/scrape: "true"`) {
		t.Errorf("%+v", status)
	}
	must(t, w.services().Add(almost))
	w.expectNearMisses(t, "once more", nil, "Pod shop/p", "Service shop/a")
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.pods().Delete(pod("shop", "p", nil)))
	if status := w.expectNearMisses(t, "corrected", nil); status.Services != 1 {
		t.Errorf("%+v", status)
	}
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices} })
	must(t, w.services().Add(almost))
	w.expectNearMisses(t, "Services alone", []string{"Service shop/a"}, "Service shop/a")
}

// TestWorkloads: the annotation of a template on the workload is a near miss until it is moved; it is none where the template has it
// as well, and where a Service that is scraped selects the Pods.
func TestWorkloads(t *testing.T) {
	w := working(t)
	w.observe(t)
	deployments := w.stores[index.Deployment]
	for _, object := range []*metav1.PartialObjectMetadata{workload("shop", "a", false), workload("shop", "b", true)} {
		must(t, deployments.Add(object))
	}
	must(t, w.stores[index.DaemonSet].Add(workload("bank", "agent", false)))
	status := w.expectNearMisses(t, "at first", []string{"DaemonSet bank/agent", "Deployment shop/a"}, "DaemonSet bank/agent", "Deployment shop/a")
	if !strings.Contains(status.NearMisses[0].Reason, "of the DaemonSet itself") ||
		!strings.Contains(status.NearMisses[0].Reason, "spec.template.metadata.annotations") {
		t.Errorf("%+v", status)
	}
	must(t, deployments.Add(workload("shop", "a", false)))
	must(t, w.stores[index.DaemonSet].Add(workload("bank", "agent", true)))
	w.expectNearMisses(t, "moved", nil, "Deployment shop/a")
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices} })
	if status := w.expectNearMisses(t, "Pods are not honored", nil, "Deployment shop/a"); strings.Contains(status.NearMisses[0].Reason, "template") {
		t.Errorf("%+v", status)
	}
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = nil })
	w.expectNearMisses(t, "nothing is honored", nil)
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Targets = pipeline().Spec.Scrape.Targets })
	w.expectNearMisses(t, "again", []string{"Deployment shop/a"}, "Deployment shop/a")
	must(t, deployments.Delete(workload("shop", "a", false)))
	w.expectNearMisses(t, "gone", nil)
	if len(w.r.sightings) != 0 {
		t.Errorf("remembered: %v", w.r.sightings)
	}
}

// TestWorkloadBehindAService: where a namespace has Services that are scraped, it is found out which workloads these select.
func TestWorkloadBehindAService(t *testing.T) {
	w := working(t)
	l := &listed{services: []corev1.Service{*service("shop", "a", annotated()), *service("shop", "b", nil), *service("shop", "c", annotated())},
		templates: map[string]map[string]string{"a": {"app": "a"}, "b": {"app": "b"}, "c": {"app": "c", "more": "x"}}}
	w.serves(t, l)
	w.observe(t)
	for name := range l.templates {
		must(t, w.stores[index.StatefulSet].Add(workload("shop", name, false)))
	}
	must(t, w.stores[index.StatefulSet].Add(workload("shop", "gone", false)))
	look := func(step string, reads int) {
		t.Helper()
		w.expectNearMisses(t, step+", before the look", nil)
		_, delayed := w.requested()
		if want := "shop after 0s"; !slices.Contains(delayed, want) {
			t.Errorf("%s: requested %q", step, delayed)
		}
		_, err := w.r.Reconcile(t.Context(), lookAtWorkloads("shop"))
		must(t, err)
		if l.reads != reads {
			t.Errorf("%s: %d templates were read, want %d", step, l.reads, reads)
		}
	}
	look("at first", 4)
	w.expectNearMisses(t, "at first", []string{"StatefulSet shop/b"}, "StatefulSet shop/b")
	w.requested()
	w.observe(t)
	if _, delayed := w.requested(); slices.ContainsFunc(delayed, func(r string) bool { return strings.HasPrefix(r, "shop") }) {
		t.Errorf("nothing is new, and requested is %q", delayed)
	}

	must(t, w.services().Add(service("shop", "b", annotated())))
	w.expectNearMisses(t, "a change", nil, "StatefulSet shop/b")
	if result, err := w.r.Reconcile(t.Context(), lookAtWorkloads("shop")); err != nil || result.RequeueAfter < 2*time.Minute || l.reads != 4 {
		t.Errorf("soon after: %+v, %v, %d reads", result, err, l.reads)
	}
	w.clock.SetTime(w.clock.Now().Add(lookEvery))
	_, err := w.r.Reconcile(t.Context(), lookAtWorkloads("shop"))
	must(t, err)
	w.expectNearMisses(t, "selected", nil)

	must(t, w.services().Delete(service("shop", "b", nil)))
	w.clock.SetTime(w.clock.Now().Add(lookEvery))
	_, err = w.r.Reconcile(t.Context(), lookAtWorkloads("shop"))
	must(t, err)
	w.expectNearMisses(t, "selected no longer", []string{"StatefulSet shop/b"}, "StatefulSet shop/b")
	must(t, w.stores[index.StatefulSet].Add(workload("shop", "b", true)))
	w.expectNearMisses(t, "moved, before another look", nil)
	must(t, w.stores[index.StatefulSet].Replace(nil, "2"))
	w.expectNearMisses(t, "all gone", nil)
}

// TestLooksAtWorkloadsArePaced: the first Service that is scraped is reason for a look at once, and to take an annotation away and put
// it back is none for another.
func TestLooksAtWorkloadsArePaced(t *testing.T) {
	w := working(t)
	l := &listed{services: []corev1.Service{*service("shop", "a", annotated())}, templates: map[string]map[string]string{"a": {"app": "a"}}}
	w.r.pieces = l
	deployments := w.stores[index.Deployment]
	must(t, deployments.Add(workload("shop", "a", false)))
	w.expectNearMisses(t, "without a Service", []string{"Deployment shop/a"}, "Deployment shop/a")
	must(t, w.services().Add(&l.services[0]))
	w.requested()
	w.observe(t)
	if _, delayed := w.requested(); !slices.Contains(delayed, "shop after 0s") {
		t.Errorf("with a Service: requested is %q", delayed)
	}
	_, err := w.r.Reconcile(t.Context(), lookAtWorkloads("shop"))
	must(t, err)
	w.expectNearMisses(t, "with a Service", nil)
	for range 3 {
		must(t, deployments.Delete(workload("shop", "a", false)))
		w.observe(t)
		must(t, deployments.Add(workload("shop", "a", false)))
		w.observe(t)
		_, err := w.r.Reconcile(t.Context(), lookAtWorkloads("shop"))
		must(t, err)
	}
	if l.reads != 1 {
		t.Errorf("%d templates were read", l.reads)
	}
	must(t, deployments.Delete(workload("shop", "a", false)))
	w.clock.SetTime(w.clock.Now().Add(lookEvery))
	if w.observe(t); len(w.r.sightings) != 0 {
		t.Errorf("remembered: %v", w.r.sightings)
	}
}

// TestNearMissesOfBefore: what the status lists has had its Event, and is not taken out of it by a start.
func TestNearMissesOfBefore(t *testing.T) {
	for name, tc := range map[string]struct {
		total  int32
		events []string
	}{
		"all are listed": {2, []string{"Deployment shop/new"}},
		"more than that": {30, nil},
	} {
		p := pipeline()
		p.Status.Scrape = &v1alpha1.ScrapeStatus{NearMissesTotal: tc.total, NearMisses: []v1alpha1.RejectedApp{
			{Kind: "Deployment", Namespace: "shop", Name: "a"}, {Kind: "Service", Namespace: "shop", Name: "s"}}}
		w := newWorld(t, slices.Concat([]client.Object{p, everything()}, crds(), namespaces("shop"))...)
		w.observe(t)
		must(t, w.services().Add(service("shop", "s", map[string]string{"prometheus.io.scrape": "true"})))
		must(t, w.stores[index.Deployment].Add(workload("shop", "a", false)))
		must(t, w.stores[index.Deployment].Add(workload("shop", "new", false)))
		w.seenAll(t)
		t.Log(name)
		w.expectNearMisses(t, name, tc.events, "Deployment shop/a", "Deployment shop/new", "Service shop/s")
	}
}

// seenAll says that each kind has been listed, with what is known of it.
func (w *world) seenAll(t *testing.T) {
	t.Helper()
	for kind, store := range w.stores {
		var known []any
		switch kind {
		case index.Service:
			known = []any{service("shop", "s", map[string]string{"prometheus.io.scrape": "true"})}
		case index.Deployment:
			known = []any{workload("shop", "a", false), workload("shop", "new", false)}
		}
		must(t, store.Replace(known, "1"))
	}
}

// TestHostileNearMisses: thousands of one namespace cost some Events an hour and some places in the status, and those of another have
// theirs.
func TestHostileNearMisses(t *testing.T) {
	w := working(t, namespaces("attack", "left-out")...)
	leftOut := &corev1.Namespace{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: "left-out"}, leftOut))
	leftOut.Labels[v1alpha1.ScrapeOptOutLabel] = "false"
	must(t, w.client.Update(t.Context(), leftOut))
	l := &listed{templates: map[string]map[string]string{}}
	w.serves(t, l)
	w.observe(t)
	must(t, w.services().Add(service("attack", "scraped", annotated())))
	const many = 3000
	for i := range many {
		name := fmt.Sprintf("a-%d", i)
		l.templates[name] = nil
		must(t, w.services().Add(service("attack", name, map[string]string{"prometheus.io.scrape": "true"})))
		must(t, w.stores[index.Deployment].Add(workload("attack", name, false)))
	}
	must(t, w.services().Add(service("left-out", "a", map[string]string{"prometheus.io.scrape": "true"})))
	must(t, w.stores[index.Deployment].Add(workload("left-out", "a", false)))
	must(t, w.services().Add(service("shop", "a", map[string]string{"prometheus.io.scrape": "true"})))
	w.observe(t)
	_, err := w.r.Reconcile(t.Context(), lookAtWorkloads("attack"))
	must(t, err)
	if l.reads > mostTemplates {
		t.Errorf("%d templates were read at a time", l.reads)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	_, status := w.observe(t)
	if len(status.NearMisses) != 20 || status.NearMissesTotal != many+mostTemplates+1 ||
		status.NearMisses[19].Namespace != "shop" {
		t.Errorf("%d of %d are listed, the last is %+v", len(status.NearMisses), status.NearMissesTotal, status.NearMisses[len(status.NearMisses)-1])
	}
	if len(w.nearMisses) != pace.MostEvents+1 || !slices.Contains(w.nearMisses, "Service shop/a") {
		t.Errorf("%d Events: %q", len(w.nearMisses), w.nearMisses)
	}
	if state, _ := w.observe(t); !state.Met {
		t.Errorf("%+v", state)
	}
}
