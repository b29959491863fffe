// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"maps"
	"slices"
)

// note keeps the outcome of a namespace, and has the snapshot computed when it reports another failure than before.
func (r *Reconciler) note(namespace string, err error) {
	before := r.firstFailure()
	if err != nil {
		r.failures[namespace] = err
	} else {
		delete(r.failures, namespace)
	}
	if r.firstFailure() != before {
		r.queue.Add(inCommon)
	}
}

// firstFailure says what one namespace failed by, always the same of several; empty where none did.
func (r *Reconciler) firstFailure() string {
	if len(r.failures) == 0 {
		return ""
	}
	name := slices.Min(slices.Collect(maps.Keys(r.failures)))
	return fmt.Sprintf("The monitors of namespace %s could not be written: %v.", name, r.failures[name])
}
