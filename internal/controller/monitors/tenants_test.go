// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
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

// TestNamespaceMadeAnew gets its monitor, however often it goes and comes, and nothing of it is remembered.
func TestNamespaceMadeAnew(t *testing.T) {
	w := working(t)
	for i := range 10 {
		ns := namespaces("test")[0]
		ns.SetUID(types.UID(strconv.Itoa(i)))
		must(t, w.client.Create(t.Context(), ns))
		must(t, w.services().Add(service("test", "a", annotated())))
		expectWrites(t, fmt.Sprintf("time %d", i+1), w.reconcile(t, "test"), "apply ServiceMonitor test/"+monitorName)
		for _, monitor := range w.monitors(t) {
			must(t, w.client.Delete(t.Context(), &monitor))
		}
		must(t, w.services().Delete(service("test", "a", nil)))
		must(t, w.client.Delete(t.Context(), ns))
		if i == 5 {
			w.reconcile(t, "test") // In between, or not: events of both may be seen as one.
		}
	}
	w.reconcile(t, "test")
	if len(w.r.seen)+len(w.r.wrote)+len(w.r.failures) != 0 {
		t.Errorf("remembered: %v, %v, %v", w.r.seen, w.r.wrote, w.r.failures)
	}
}

// TestHostNetworkPods are refused where their namespace is not allowed to have some scraped.
func TestHostNetworkPods(t *testing.T) {
	w := working(t)
	w.change(t, func(s *v1alpha1.ScrapeSpec) {
		s.HostNetworkPods = &v1alpha1.HostNetworkPods{NamespaceSelector: metav1.LabelSelector{
			MatchLabels: map[string]string{"kubernetes.io/metadata.name": "bank"}}}
	})
	w.observe(t)
	for _, name := range []string{"shop", "bank"} {
		must(t, w.stores[index.HostPod].Add(pod(name, "exporter", annotated())))
	}
	if want := []string{"Pod shop/exporter"}; !slices.Equal(w.rejected, want) {
		t.Errorf("Events about %q, want %q", w.rejected, want)
	}
	expectWrites(t, "both", w.reconcile(t, "shop", "bank"), "apply PodMonitor bank/"+monitorName)
	_, status := w.observe(t)
	if status.Pods != 1 || status.RejectedTotal != 1 || status.Rejected[0].Reason != scrape.InHostNetwork.Reason {
		t.Errorf("%+v", status)
	}
	dropped := func(namespace string) bool {
		monitor := &monitoringv1.PodMonitor{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: monitorName}, monitor))
		return slices.ContainsFunc(monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs, func(c monitoringv1.RelabelConfig) bool {
			return c.Action == "dropequal"
		})
	}
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	w.reconcile(t, "shop")
	if !dropped("shop") || dropped("bank") {
		t.Errorf("the monitor drops Pods in the host's network: of shop %v, of bank %v", dropped("shop"), dropped("bank"))
	}
}

// TestOldCRDs: what they do not define is left out and named, and without keepequal nothing is written.
func TestOldCRDs(t *testing.T) {
	for name, tc := range map[string]struct {
		action string
		limits []string
		reason string
		says   string
	}{
		"of today":                     {"keepequal", []string{"bodySizeLimit", "targetLimit", "keepDroppedTargets"}, "Selected", ""},
		"without the newest limits":    {"keepequal", []string{"targetLimit"}, "Selected", "spec.scrape.limits.bodySize, droppedTargets"},
		"without comparison of labels": {"hashmod", []string{"targetLimit"}, v1alpha1.ReasonCRDsOutdated, "0.64 or newer"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append(namespaces("shop"), everything(), pipeline(), crd(kinds.PrometheusCRD, ""))
			for _, name := range []string{kinds.ServiceMonitorCRD, kinds.PodMonitorCRD} {
				objects = append(objects, crd(name, tc.action, tc.limits...))
			}
			w := newWorld(t, objects...)
			w.seen(t)
			w.change(t, func(s *v1alpha1.ScrapeSpec) {
				one := int64(1)
				s.Limits = v1alpha1.ScrapeLimits{BodySize: "1MB", Targets: &one, DroppedTargets: &one}
			})
			must(t, w.services().Add(service("shop", "a", annotated())))
			w.reconcile(t, "shop")
			state, _ := w.observe(t)
			if state.Reason != tc.reason || !strings.Contains(state.Message, tc.says) || tc.says == "" && strings.Contains(state.Message, "limits") {
				t.Errorf("state %+v, want %s and %q", state, tc.reason, tc.says)
			}
			monitors := w.monitors(t)
			if tc.reason != "Selected" {
				if len(monitors) > 0 {
					t.Errorf("%d monitors", len(monitors))
				}
				return
			}
			spec := monitors[0].Spec
			for limit, sent := range map[string]bool{"bodySizeLimit": spec.BodySizeLimit != nil, "targetLimit": spec.TargetLimit != nil,
				"keepDroppedTargets": spec.KeepDroppedTargets != nil} {
				if sent != slices.Contains(tc.limits, limit) {
					t.Errorf("%s is sent: %v", limit, sent)
				}
			}
		})
	}
}

// TestEventsArePaced: a namespace with very many rejected apps gets some Events an hour, and others theirs.
func TestEventsArePaced(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	sent := map[string]int{}
	send := paced(func(about *corev1.ObjectReference, _, _ string) { sent[about.Namespace]++ }, clock)
	about := func(namespace string) *corev1.ObjectReference { return &corev1.ObjectReference{Namespace: namespace} }
	for range 10_000 {
		send(about("attack"), "ScrapeRejected", "")
	}
	send(about("shop"), "ScrapeRejected", "")
	if sent["attack"] != mostEvents || sent["shop"] != 1 {
		t.Errorf("at once: %v", sent)
	}
	send(about("attack"), "NotScraped", "")
	if sent["attack"] != mostEvents+1 {
		t.Errorf("of another reason: %v", sent)
	}
	clock.SetTime(clock.Now().Add(time.Hour))
	for range 10_000 {
		send(about("attack"), "ScrapeRejected", "")
	}
	if sent["attack"] != 2*mostEvents+1 {
		t.Errorf("an hour later: %v", sent)
	}
}

// TestReportsArePaced: what users of namespaces cause is reported at once for some times, and then once a minute.
func TestReportsArePaced(t *testing.T) {
	w := working(t)
	w.observe(t)
	var waits []string
	for i := range statusBurst + 2 {
		must(t, w.services().Add(service("shop", fmt.Sprintf("app-%d", i), annotated())))
		_, delayed := w.requested()
		w.observe(t)
		waits = append(waits, delayed...)
	}
	want := append(slices.Repeat([]string{" after 10s"}, statusBurst), " after 1m0s", " after 2m0s")
	if !slices.Equal(waits[:statusBurst], want[:statusBurst]) || waits[statusBurst] != " after 1m0s" {
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

// TestMonitorsAreCachedSmall: users who may write monitors may write large ones with our labels.
func TestMonitorsAreCachedSmall(t *testing.T) {
	huge := strings.Repeat("x", 200<<10)
	full := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "m", UID: "u", ResourceVersion: "7",
		Generation: 3, Annotations: map[string]string{"a": huge}, Finalizers: []string{huge},
		OwnerReferences: []metav1.OwnerReference{{Name: huge}}}}
	full.Labels = ownership.Labels(ownership.MonitorsComponent)
	full.Labels["other"] = huge
	ours := metav1.ManagedFieldsEntry{Manager: v1alpha1.FieldManager, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}
	full.ManagedFields = append([]metav1.ManagedFieldsEntry{ours, {Manager: "attacker", FieldsV1: metav1.NewFieldsV1(huge)}},
		slices.Repeat([]metav1.ManagedFieldsEntry{ours}, 100)...)
	kept, err := onlyOwnership(full)
	must(t, err)
	got, ok := kept.(*metav1.PartialObjectMetadata)
	if !ok {
		t.Fatalf("%T", kept)
	}
	if text := fmt.Sprintf("%+v", got); len(text) > 4000 {
		t.Errorf("%d bytes are kept", len(text))
	}
	if got.Name != "m" || got.UID != "u" || got.ResourceVersion != "7" || got.Generation != 3 || !ownership.Labeled(got) ||
		got.ManagedFields[0].FieldsV1 == nil || got.ManagedFields[1].Manager != "attacker" {
		t.Errorf("kept: %+v", got)
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
	if reports := w.announced - before; reports > statusBurst {
		t.Errorf("%d reports at one time, want at most %d", reports, statusBurst)
	}
	if _, delayed := w.requested(); !slices.Contains(delayed, " after 1m0s") {
		t.Errorf("what was left out is to follow: %q", delayed)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	if _, status := w.observe(t); status.Services != 1 {
		t.Errorf("a minute later: %+v", status)
	}
}

// TestGoneWhileMonitorsAreRetained: nothing is remembered of a namespace that goes while no monitor is written.
func TestGoneWhileMonitorsAreRetained(t *testing.T) {
	for name, without := range map[string]client.Object{"Prometheus": everything(), "pipeline": pipeline()} {
		w := working(t)
		must(t, w.services().Add(service("shop", "a", annotated())))
		w.reconcile(t, "shop")
		must(t, w.client.Delete(t.Context(), without))
		w.reconcile(t)
		must(t, w.services().Delete(service("shop", "a", nil)))
		must(t, w.client.Delete(t.Context(), namespaces("shop")[0]))
		w.reconcile(t, "shop")
		if len(w.r.seen)+len(w.r.wrote)+len(w.r.accepted) != 0 {
			t.Errorf("without a %s, remembered: %v, %v, %v", name, w.r.seen, w.r.wrote, w.r.accepted)
		}
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

// TestLeftOutNamespacesGetNoEvents: their users have nothing to correct.
func TestLeftOutNamespacesGetNoEvents(t *testing.T) {
	leftOut := namespaces("left-out")[0]
	leftOut.GetLabels()[v1alpha1.ScrapeOptOutLabel] = "false"
	w := working(t, leftOut)
	w.observe(t)
	for _, name := range []string{"left-out", "shop"} {
		must(t, w.services().Add(service(name, "bad", annotated("scheme", "ftp"))))
	}
	if want := []string{"Service shop/bad"}; !slices.Equal(w.rejected, want) {
		t.Errorf("Events about %q, want %q", w.rejected, want)
	}
}
