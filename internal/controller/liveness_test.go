// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestAlive has a worker reconcile for a time, of which the deadline is 30 s.
func TestAlive(t *testing.T) {
	const deadline = 30 * time.Second
	for name, tc := range map[string]struct {
		busy time.Duration
		dead bool
	}{
		"within its deadline":           {busy: deadline},
		"at twice its deadline":         {busy: 2 * deadline},
		"for more than twice as long":   {busy: 2*deadline + time.Second, dead: true},
		"no reconcile has run for long": {busy: 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
			all := workers{clock: clock}
			all.add("idle", time.Second, nil)
			var during error
			busy := all.add("busy", deadline, reconcile.Func(func(context.Context, reconcile.Request) (ctrl.Result, error) {
				clock.SetTime(clock.Now().Add(tc.busy))
				during = all.alive()
				return ctrl.Result{}, errors.New("it fails")
			}))
			clock.SetTime(clock.Now().Add(time.Hour)) // It waits for its first request, as the worker of a standby does.
			if err := all.alive(); err != nil {
				t.Errorf("before the first reconcile: %v", err)
			}
			request := reconcile.Request{NamespacedName: client.ObjectKey{Name: "default"}}
			if _, err := busy.Reconcile(t.Context(), request); err == nil {
				t.Error("the error of the reconcile is lost")
			}
			if tc.dead != (during != nil) {
				t.Errorf("after %s: alive() = %v", tc.busy, during)
			}
			if tc.dead && (!strings.Contains(during.Error(), "controller busy") || !strings.Contains(during.Error(), "default")) {
				t.Errorf("alive() = %v, want the names of the controller and of the request", during)
			}
			clock.SetTime(clock.Now().Add(time.Hour))
			if err := all.alive(); err != nil {
				t.Errorf("after the reconcile: %v", err)
			}
		})
	}
}

func TestAWorkerThatPanickedIsAlive(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	all := workers{clock: clock}
	panics := all.add("panics", time.Second, reconcile.Func(func(context.Context, reconcile.Request) (ctrl.Result, error) {
		panic("a bug")
	}))
	func() {
		defer func() { _ = recover() }() // As controller-runtime does.
		_, _ = panics.Reconcile(t.Context(), reconcile.Request{})
	}()
	clock.SetTime(clock.Now().Add(time.Hour))
	if err := all.alive(); err != nil {
		t.Error(err)
	}
}

func TestReadyWithoutTheCRD(t *testing.T) {
	resource := schema.GroupResource{Group: "metricspipeline.io", Resource: "metricspipelines"}
	for name, tc := range map[string]struct {
		err  error
		fail bool
	}{
		"nothing is wrong":             {},
		"there is no CRD":              {err: &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "MetricsPipeline"}}},
		"the CRD has been deleted":     {err: apierrors.NewNotFound(resource, "")},
		"a permission is missing":      {err: apierrors.NewForbidden(resource, "", errors.New("no")), fail: true},
		"the API server is not there":  {err: apierrors.NewServiceUnavailable("no"), fail: true},
		"the status cannot be written": {err: errors.New("patch the status"), fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			var wrapped error
			if tc.err != nil {
				wrapped = fmt.Errorf("read: %w", tc.err)
			}
			if err := reportable(wrapped); tc.fail != (err != nil) {
				t.Errorf("reportable(%v) = %v", wrapped, err)
			}
		})
	}
}
