// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// settle waits until everything works and the operator has nothing more to do, and returns how it stands then.
func (w *world) settle() snapshot {
	w.Helper()
	w.eventually(func() string {
		if !w.life.quiet(longCalm) {
			return "the operator is busy"
		}
		pipeline, exists := w.pipeline()
		switch {
		case !exists && w.collect() > 0:
			return "garbage was left"
		case !exists:
			return ""
		case !current(pipeline):
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
		} else if w.collect() > 0 {
			return about + ": garbage was left"
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
