// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// workers are the reconcilers of the controllers, each of which has one worker.
type workers struct {
	clock clock.PassiveClock
	all   []*worker
}

// worker is a reconciler that knows since when it reconciles.
type worker struct {
	reconcile.Reconciler

	name     string
	deadline time.Duration
	clock    clock.PassiveClock

	mu sync.Mutex
	// began is the start of the reconcile that runs, of request; zero while none does.
	began   time.Time
	request reconcile.Request
}

// add returns a reconciler whose reconciles have a deadline, for a controller of a name.
func (w *workers) add(name string, deadline time.Duration, r reconcile.Reconciler) reconcile.Reconciler {
	added := &worker{Reconciler: r, name: name, deadline: deadline, clock: w.clock}
	w.all = append(w.all, added)
	return added
}

// alive returns which worker has been in one reconcile for more than twice its deadline: it ignores the end of its context, and
// only a restart ends it. A worker that waits, or that fails, is alive.
func (w *workers) alive() error {
	for _, worker := range w.all {
		if err := worker.alive(); err != nil {
			return err
		}
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (w *worker) Reconcile(ctx context.Context, request reconcile.Request) (ctrl.Result, error) {
	w.set(w.clock.Now(), request)
	defer w.set(time.Time{}, reconcile.Request{}) // Also after a panic, which controller-runtime recovers from.
	return w.Reconciler.Reconcile(ctx, request)   //nolint:wrapcheck // it only stands between
}

func (w *worker) set(began time.Time, request reconcile.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.request = began, request
}

func (w *worker) alive() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.began.IsZero() {
		return nil
	}
	if busy := w.clock.Since(w.began); busy > 2*w.deadline {
		return fmt.Errorf("the worker of controller %s has been reconciling %q for %s, its deadline is %s",
			w.name, w.request.String(), busy.Round(time.Second), w.deadline)
	}
	return nil
}
