// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/pace"
)

// world is a reconciler that is called by hand, its cluster in memory, and a clock. It is the queue, too, and what follows HPAs.
type world struct {
	*testing.T

	r      *Reconciler
	client client.WithWatch
	reader client.Reader
	clock  *clocktesting.FakeClock
	store  toolscache.TransformingStore
	// pending are requests, by when they are due.
	pending map[reconcile.Request]time.Time
	// examined are the HPAs of which an examination was asked for, live the requests to the API server.
	examined []string
	live     int
	// findings are why HPAs fail, by key; one that has none is Unexplained. again, err and panics are outcomes of every examination.
	findings map[string]diagnose.Finding
	again    time.Duration
	err      error
	// partly is what could not be read of an examination that found something all the same.
	partly error
	panics bool
	// unreadable is why HPAs cannot be listed, refused why one cannot be read.
	unreadable *cluster.UnreadableError
	refused    error
	events     []string
	announced  int
	asked      int
}

func (w *world) Add(request reconcile.Request) { w.AddAfter(request, 0) }

func (w *world) AddAfter(request reconcile.Request, after time.Duration) {
	at := w.clock.Now().Add(after)
	if earlier, found := w.pending[request]; !found || at.Before(earlier) {
		w.pending[request] = at
	}
}

func (w *world) Ensure(context.Context) cluster.Served { return cluster.Serving() }

func (w *world) follow(context.Context) {}
func (w *world) stop()                  { w.r.index.Close(); w.store = w.r.index.Open() }

// feed is the world as what follows HPAs.
type feed struct{ *world }

func (f feed) err() *cluster.UnreadableError { return f.unreadable }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

const patience = 30 * time.Second

var moment = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

// pipeline is one that is up.
func pipeline() *v1alpha1.MetricsPipeline {
	p := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: "pipeline", Generation: 1,
		CreationTimestamp: metav1.NewTime(moment.Add(-time.Hour))}}
	meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonSettled})
	return p
}

func newWorld(t *testing.T, p *v1alpha1.MetricsPipeline) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, clientgoscheme.AddToScheme(scheme))
	must(t, v1alpha1.AddToScheme(scheme))
	w := &world{T: t, clock: clocktesting.NewFakeClock(moment), findings: map[string]diagnose.Finding{}}
	inner := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(p).WithObjects(p).Build()
	w.client = inner
	w.reader = interceptor.NewClient(inner, interceptor.Funcs{Get: func(
		ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption,
	) error {
		if _, hpa := object.(*autoscalingv2.HorizontalPodAutoscaler); hpa {
			w.live++
			if w.refused != nil {
				return w.refused
			}
		}
		return c.Get(ctx, key, object, options...)
	}})
	w.restart()
	return w
}

// restart begins anew with an operator that remembers nothing. HPAs are as they were.
func (w *world) restart() {
	w.pending = map[reconcile.Request]time.Time{}
	r := &Reconciler{client: w.client, live: w.reader, watches: w, queue: w, ctx: w.Context(), spawn: func(f func()) { f() },
		announce: func() { w.announced++ }, asked: func() { w.asked++ }, clock: w.clock, counts: 10 * time.Second, reports: pace.Reports(time.Minute),
		budget: newBudget(), patience: patience, examine: w.examine}
	r.send = paced(func(n notice) {
		w.events = append(w.events, fmt.Sprintf("%s %s %s/%s: %s", n.kind, n.reason, n.about.Namespace, n.about.Name, n.note))
	}, w.clock)
	r.index = autoscaler.NewIndex(r.indexEvents(), w.clock)
	r.hpas = feed{w}
	w.r, w.store = r, r.index.Open()
	w.Add(inCommon)
}

// listed gives the index what the API server has.
func (w *world) listed() *world {
	w.Helper()
	var all autoscalingv2.HorizontalPodAutoscalerList
	must(w, w.client.List(w.Context(), &all))
	var objects []any
	for i := range all.Items {
		objects = append(objects, &all.Items[i])
	}
	must(w, w.store.Replace(objects, "1"))
	return w
}

func (w *world) examine(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (diagnose.Diagnosis, time.Duration, error) {
	key := hpa.Namespace + "/" + hpa.Name
	w.examined = append(w.examined, key)
	if w.panics {
		panic("a parser that is not ours")
	}
	finding, found := w.findings[key]
	if !found {
		finding = diagnose.Finding{Reason: v1alpha1.AutoscalerUnexplained, Cause: "Nothing is broken.", Remedy: "None."}
	}
	if finding.Reason == v1alpha1.AutoscalerNotObserved {
		return diagnose.Diagnosis{Chains: []diagnose.Chain{{Limits: []diagnose.Finding{finding}}}}, 0, nil
	}
	if w.err != nil {
		return diagnose.Diagnosis{}, 0, w.err
	}
	return diagnose.Diagnosis{Failing: true, Chains: []diagnose.Chain{{Metric: "Pods up"}, {Metric: "Pods requests", Finding: &finding}}}, w.again, w.partly
}

// because lets an HPA fail for a reason.
func (w *world) because(key, reason string, administrator bool) {
	w.findings[key] = diagnose.Finding{Reason: reason, Cause: "It is broken.", Remedy: "Repair it.", Administrator: administrator}
}

// hpa is one whose condition ScalingActive has a message; empty for one that works.
func hpa(namespace, name, message string, created time.Time) *autoscalingv2.HorizontalPodAutoscaler {
	active := autoscalingv2.HorizontalPodAutoscalerCondition{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue}
	if message != "" {
		active.Status, active.Reason, active.Message = corev1.ConditionFalse, "FailedGetPodsMetric", message
	}
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name), CreationTimestamp: metav1.NewTime(created)},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
			{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue}, active}}}
}

// write has the API server store an HPA, and the index see it.
func (w *world) write(h *autoscalingv2.HorizontalPodAutoscaler) {
	w.Helper()
	stored := &autoscalingv2.HorizontalPodAutoscaler{}
	if w.client.Get(w.Context(), client.ObjectKeyFromObject(h), stored) == nil {
		h.ResourceVersion = stored.ResourceVersion
		must(w, w.client.Update(w.Context(), h))
	} else {
		must(w, w.client.Create(w.Context(), h))
	}
	must(w, w.store.Add(h))
}

func (w *world) fails(key, message string) { w.write(w.old(key, message)) }
func (w *world) works(key string)          { w.write(w.old(key, "")) }

// old is an HPA that was made long ago.
func (w *world) old(key, message string) *autoscalingv2.HorizontalPodAutoscaler {
	namespace, name, _ := strings.Cut(key, "/")
	return hpa(namespace, name, message, moment.Add(-24*time.Hour))
}

// pass lets time pass, with all that is due in it. It returns how many reconciles there were.
func (w *world) pass(of time.Duration) (reconciles int) {
	w.Helper()
	until := w.clock.Now().Add(of)
	for {
		var next reconcile.Request
		at, found := until, false
		for request, due := range w.pending {
			if !due.After(at) && (!found || due.Before(at) || request == inCommon) {
				next, at, found = request, due, true
			}
		}
		if !found {
			w.clock.SetTime(until)
			return reconciles
		}
		if at.After(w.clock.Now()) {
			w.clock.SetTime(at)
		}
		delete(w.pending, next)
		result, err := w.r.Reconcile(w.Context(), next)
		must(w, err)
		if result.RequeueAfter > 0 {
			w.AddAfter(next, result.RequeueAfter)
		}
		if reconciles++; reconciles > 10_000 {
			w.Fatal("it never rests")
		}
	}
}

// took returns what was examined since the last time.
func (w *world) took() []string {
	all := w.examined
	w.examined = nil
	return all
}

// said returns the Events since the last time.
func (w *world) said() []string {
	all := w.events
	w.events = nil
	return all
}

// report stores what the snapshot says as the pipeline's controller does, and returns it as text.
func (w *world) report() string {
	w.Helper()
	s := w.r.Snapshot()
	if s == nil {
		return "nothing"
	}
	if s.Status == nil {
		return s.Problem
	}
	p := &v1alpha1.MetricsPipeline{}
	must(w, w.client.Get(w.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	p.Status.Autoscalers = s.Status
	must(w, w.client.Status().Update(w.Context(), p))
	text := fmt.Sprintf("%d of %d work", s.Status.Working, s.Status.Total)
	for _, failing := range s.Status.Failing {
		text += fmt.Sprintf("; %s/%s %s", failing.Namespace, failing.Name, failing.Reason)
	}
	if s.Unsure {
		text += "; unsure"
	}
	if s.Problem != "" {
		text += "; " + s.Problem
	}
	return text
}

func expect(t *testing.T, step string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", step, got, want)
	}
}
