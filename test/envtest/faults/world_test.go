// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

// impatience lets twenty failures in a row take a second instead of minutes.
var impatience = controller.Timing{
	FirstFailure: 5 * time.Millisecond, LastFailure: 20 * time.Millisecond,
	Conflict: 5 * time.Millisecond, Pending: 20 * time.Millisecond, Stalled: 10 * time.Millisecond,
	FirstProbe: 10 * time.Millisecond, LastProbe: 50 * time.Millisecond,
	Counts: 10 * time.Millisecond, Rest: 10 * time.Millisecond,
}

// renderer is that of every life: what takes it long depends on the spec alone.
var renderer render.Renderer

// world is the cluster with pods that run by themselves, a Prometheus, and at most one operator.
type world struct {
	*testing.T
	ctx        context.Context
	cluster    *harness.Cluster
	history    *history
	prometheus *harness.Prometheus
	clock      *clocktesting.FakePassiveClock
	// conditions of the next life.
	conditions harness.Conditions
	// fault is what happens to the writes of every life; it may be changed at any time.
	fault atomic.Pointer[fault]
	// crashAfter is the number of writes after which the next life ends; 0 for none.
	crashAfter int
	// wrap stands between the next life and the network, beside its wire.
	wrap func(http.RoundTripper) http.RoundTripper
	life *life
}

// life is one run of the operator.
type life struct {
	*wire
	operator *harness.Operator
	started  time.Time
}

func begin(t *testing.T) *world {
	t.Helper()
	// What is cleaned up in the end is cleaned up by requests, too.
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(end)
	w := &world{T: t, ctx: ctx, cluster: cluster, prometheus: harness.StartPrometheus(),
		clock: clocktesting.NewFakePassiveClock(time.Now())}
	t.Cleanup(w.prometheus.Stop)
	harness.NeedPodNetwork(t)
	pods, err := startPods(ctx, cluster)
	w.must(err)
	t.Cleanup(pods.stop)
	w.history, err = startHistory(ctx, cluster)
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
		if t.Failed() || w.wrap != nil {
			w.wrap = nil
			w.kill()
		}
		w.fault.Store(nil)
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
	l := &life{started: time.Now()}
	dying := make(chan struct{})
	l.wire = &wire{fault: &w.fault, wrote: w.history.wrote, died: func() { close(dying) }, crashAfter: w.crashAfter, lastWrite: time.Now()}
	conditions := w.conditions
	conditions.Clock, conditions.Timing, conditions.Renderer = w.clock, impatience, &renderer
	conditions.NewClient, conditions.NewCache = l.newClient, newBriskCache
	conditions.Wrap = func(next http.RoundTripper) http.RoundTripper {
		if w.wrap != nil {
			next = w.wrap(next)
		}
		return l.wrap(next)
	}
	var err error
	l.operator, err = w.cluster.StartOperatorUnder(w.ctx, w.logger(), conditions)
	w.must(err, "starting the operator: ")
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
	panics, err := w.life.operator.Panics()
	w.must(err)
	if panics > 0 {
		w.Errorf("the operator panicked %d times", panics)
	}
	w.life = nil
}

// apply makes the pipeline's spec what it is told. $PROMETHEUS is the address of the world's Prometheus.
func (w *world) apply(spec string) {
	w.Helper()
	content := map[string]any{}
	w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(spec, "$PROMETHEUS", w.prometheus.URL)), &content))
	w.applySpec(content)
}

func (w *world) applySpec(content map[string]any) {
	w.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MetricsPipeline",
		"metadata": map[string]any{"name": v1alpha1.SingletonName}, "spec": content,
	}}
	w.must(w.cluster.Client.Apply(w.ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("user"), client.ForceOwnership))
}

// clear deletes the pipeline and everything that it owned, as garbage collection would.
func (w *world) clear() {
	w.Helper()
	w.restoreNamespace()
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	w.must(client.IgnoreNotFound(w.cluster.Client.Delete(w.ctx, pipeline)))
	w.eventually(func() string {
		// A reconcile that had begun may still write.
		left, err := managed(w.ctx, w.cluster.Client)
		w.must(err)
		var all errgroup.Group
		for _, object := range left {
			all.Go(func() error { return client.IgnoreNotFound(w.cluster.Client.Delete(w.ctx, object)) })
		}
		w.must(all.Wait())
		if len(left) > 0 || w.life != nil && !w.life.quiet(calm) {
			return fmt.Sprintf("%d objects are left", len(left))
		}
		return ""
	})
}

func (w *world) snapshot() snapshot {
	w.Helper()
	taken, err := takeSnapshot(w.ctx, w.cluster.Client)
	w.must(err)
	return taken
}

// pipeline returns it as it stands, and false where there is none.
func (w *world) pipeline() (*v1alpha1.MetricsPipeline, bool) {
	w.Helper()
	pipeline := &v1alpha1.MetricsPipeline{}
	err := w.cluster.Client.Get(w.ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
	if apierrors.IsNotFound(err) {
		return nil, false
	}
	w.must(err)
	return pipeline, true
}

// settle waits until everything works and the operator has nothing more to do, and returns how it stands then.
func (w *world) settle() snapshot {
	w.Helper()
	w.eventually(func() string {
		if !w.life.quiet(longCalm) {
			return "the operator is busy"
		}
		pipeline, exists := w.pipeline()
		if !exists {
			return ""
		}
		if !current(pipeline) {
			return "the status is about an earlier spec"
		}
		if ready := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Status != metav1.ConditionTrue {
			return fmt.Sprintf("not ready: %+v", pipeline.Status.Conditions)
		}
		certificates := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionCertificatesReady)
		if certificates != nil && certificates.Reason == v1alpha1.ReasonRotating {
			return "the pods do not serve their new certificates yet"
		}
		return ""
	})
	return w.snapshot()
}

// comesToRest waits until the operator has seen the spec and has nothing more to do, whether everything works or not.
func (w *world) comesToRest() snapshot {
	w.Helper()
	w.eventually(func() string {
		if pipeline, exists := w.pipeline(); exists && !current(pipeline) {
			return "the status is about an earlier spec"
		}
		if !w.life.quiet(longCalm) {
			return "the operator is busy"
		}
		return ""
	})
	return w.snapshot()
}

func current(pipeline *v1alpha1.MetricsPipeline) bool {
	return pipeline.Status.ObservedGeneration == pipeline.Generation
}

// reaches waits until everything stands as wanted and the operator has nothing more to do.
func (w *world) reaches(want snapshot, about string) {
	w.Helper()
	w.eventually(func() string {
		if !w.life.quiet(calm) {
			return about + ": the operator is busy"
		}
		// Most often the status comes last, and it is quick to read.
		if pipeline, exists := w.pipeline(); exists {
			if status, err := normalStatus(*pipeline); err != nil || status != want[statusID] {
				return fmt.Sprintf("%s: the status is not that without the fault: %v %s", about, err, cmp.Diff(want[statusID], status))
			}
		}
		if differs := want.differs(w.snapshot()); differs != "" {
			return about + ": it does not stand as without the fault: " + differs
		}
		if !w.life.quiet(calm) {
			return about + ": the operator is busy again"
		}
		return ""
	})
	w.judge(100 * time.Millisecond)
}

// eventually waits until nothing is missing any more.
func (w *world) eventually(missing func() string) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for {
		what := missing()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("after %s: %s", patience, what)
		}
		time.Sleep(poll)
	}
}

// judge fails for each rule that was broken.
func (w *world) judge(settle time.Duration) {
	w.Helper()
	broken := w.history.judge(settle)
	if len(broken) > 10 {
		broken = append(broken[:10], fmt.Sprintf("and %d more", len(broken)-10))
	}
	for _, rule := range broken {
		w.Error("RULE BROKEN: " + rule)
	}
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
