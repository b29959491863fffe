// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/internal/render"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	// patience is how long a state is waited for. It is only reached by a test that fails.
	patience = 20 * time.Second
	// calm is how long an operator that has nothing more to do is silent, and longCalm how long to be sure of it where
	// nothing else says that it has come to the end.
	calm     = 25 * time.Millisecond
	longCalm = 400 * time.Millisecond
	poll     = 10 * time.Millisecond

	metricsServer = harness.MetricsServer
	neverStarts   = harness.NeverStarts
)

// impatience lets twenty failures in a row take a second instead of minutes.
var impatience = controller.Timing{
	FirstFailure: 5 * time.Millisecond, LastFailure: 20 * time.Millisecond,
	Conflict: 5 * time.Millisecond, Pending: 20 * time.Millisecond, Stalled: 10 * time.Millisecond,
	FirstProbe: 10 * time.Millisecond, LastProbe: 50 * time.Millisecond,
	Counts: 10 * time.Millisecond, Reports: 10 * time.Millisecond, Rest: 10 * time.Millisecond, Looks: 10 * time.Millisecond,
	Targets: time.Hour, Handover: 10 * time.Millisecond,
}

// world is the cluster with pods that run by themselves, a Prometheus, and at most one operator.
type world struct {
	*testing.T
	*harness.World
	history    *history
	prometheus *harness.Prometheus
	clock      *clocktesting.FakePassiveClock
	// renderer is that of every life: what takes it long depends on the spec alone.
	renderer *render.Renderer
	// conditions of the next life.
	conditions harness.Conditions
	// fault is what happens to the writes of every life; it may be changed at any time.
	fault atomic.Pointer[fault]
	// crashAfter is the number of writes after which the next life ends; 0 for none.
	crashAfter int
	// wrap stands between the next life and the network, beside its wire.
	wrap func(http.RoundTripper) http.RoundTripper
	life *life
	// edits are made to each spec that the pipeline is given, and applied is that spec without them.
	edits   []specEdit
	applied string
	issuer  issuer
}

// specEdit changes a spec.
type specEdit func(spec map[string]any)

// life is one run of the operator.
type life struct {
	*wire
	operator *harness.Operator
}

// quiet is true when the operator has begun to work, reconciles nothing, and has not tried to write anything for a while.
func (l *life) quiet(since time.Duration) bool { return l.wire.quiet(since) && l.operator.Busy() == 0 }

// begin takes a control plane for a test, which runs beside others with another one.
func begin(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	harness.NeedPodNetwork(t)
	w := &world{T: t, World: harness.NewWorld(t, suite.Take(t)), prometheus: harness.StartPrometheus(),
		renderer: controller.NewRenderer(nil), clock: clocktesting.NewFakePassiveClock(time.Now())}
	t.Cleanup(w.prometheus.Stop)
	pods, err := w.StartPods(w.Ctx)
	w.must(err)
	t.Cleanup(pods.Stop)
	w.history, err = startHistory(w.Ctx, w.Cluster)
	w.must(err)
	// Everything is removed, and the operator dies, while pods and history still see it.
	t.Cleanup(func() {
		w.kill()
		w.clear()
		w.noApps()
		w.judge(0)
	})
	return w
}

// within lets a part of the test fail alone: the next one begins with another life.
func (w *world) within(t *testing.T) {
	t.Helper()
	whole := w.T
	w.T = t
	t.Cleanup(func() {
		if t.Failed() {
			w.kill()
		}
		w.T = whole
	})
}

func (w *world) must(err error, about ...any) {
	w.Helper()
	if err != nil {
		w.Fatal(append(about, err)...)
	}
}

// start begins a life.
func (w *world) start() {
	w.Helper()
	l := &life{}
	dying := make(chan struct{})
	l.wire = &wire{fault: &w.fault, wrote: w.history.wrote, died: func() { close(dying) }, crashAfter: w.crashAfter, lastWrite: time.Now()}
	conditions := w.conditions
	conditions.Clock, conditions.Timing, conditions.Renderer = w.clock, impatience, w.renderer
	conditions.NewClient, conditions.NewCache, conditions.Dial = l.newClient, newBriskCache, w.DialManaged
	conditions.Wrap = func(next http.RoundTripper) http.RoundTripper {
		if w.wrap != nil {
			next = w.wrap(next)
		}
		return l.wrap(next)
	}
	w.must(w.Start(w.logger(), conditions), "starting the operator: ")
	l.operator = w.Operator
	go func() {
		<-dying
		l.operator.Cancel()
	}()
	w.life = l
}

// kill ends a life as a crash does.
func (w *world) kill() {
	w.Helper()
	if w.life == nil {
		return
	}
	w.life.mutex.Lock()
	w.life.dead = true
	w.life.mutex.Unlock()
	w.bury()
}

// bury waits until a life has ended.
func (w *world) bury() {
	w.Helper()
	// How it ended does not matter: all its requests fail by now.
	_ = w.life.operator.Stop()
	if panics := w.life.operator.Panics(); panics > 0 {
		w.Errorf("the operator panicked %d times", panics)
	}
	w.life = nil
}

// apply gives the pipeline a spec. $PROMETHEUS is the address of the world's Prometheus.
func (w *world) apply(spec string, more ...specEdit) {
	w.Helper()
	w.applied = spec
	content := map[string]any{}
	w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(spec, "$PROMETHEUS", w.prometheus.URL)), &content))
	for _, edit := range slices.Concat(w.edits, more) {
		edit(content)
	}
	w.must(w.ApplySpec(content))
}

// clear deletes the pipeline and everything that was managed, whatever owns it now.
func (w *world) clear() {
	w.Helper()
	w.restoreNamespace()
	w.must(w.DeletePipeline())
	w.eventually(func() string {
		// A reconcile that had begun may still write.
		deleted := w.delete(harness.Everything)
		if deleted > 0 || w.life != nil && !w.life.quiet(calm) {
			return fmt.Sprintf("%d objects were left", deleted)
		}
		return ""
	})
}

// collect deletes what belonged to a pipeline where there is none, and returns how much that was: a reconcile that had begun
// before the pipeline went writes on. Unlike the cluster's CollectGarbage it needs no discovery, as it is called at each look.
func (w *world) collect() int {
	w.Helper()
	return w.delete(func(object *unstructured.Unstructured) bool { return len(object.GetOwnerReferences()) > 0 })
}

// delete deletes some of the managed objects and returns their number.
func (w *world) delete(which func(*unstructured.Unstructured) bool) int {
	w.Helper()
	deleted, err := w.DeleteObjects(which)
	w.must(err)
	return deleted
}

// objects returns what the operator has written.
func (w *world) objects() []*unstructured.Unstructured {
	w.Helper()
	objects, err := w.Objects()
	w.must(err)
	return objects
}

func (w *world) snapshot() snapshot {
	w.Helper()
	taken, err := takeSnapshot(w.World)
	w.must(err)
	return taken
}

// pipeline returns it as it stands, and false where there is none.
func (w *world) pipeline() (*v1alpha1.MetricsPipeline, bool) {
	w.Helper()
	pipeline, err := w.Pipeline()
	w.must(client.IgnoreNotFound(err))
	return pipeline, err == nil
}

// logger shows errors of the operator with the test; there are many, as most of these lives go wrong.
func (w *world) logger() logr.Logger {
	if !testing.Verbose() {
		return logr.Discard()
	}
	return funcr.New(func(prefix, args string) {
		if strings.Contains(args, "panic") {
			fmt.Println(prefix, args)
		}
	}, funcr.Options{})
}
