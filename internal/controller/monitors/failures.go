// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"maps"
	"slices"

	"github.com/metricspipeline/operator/internal/text"
)

// note keeps the outcome of a namespace, and has the snapshot computed when it reports another failure than before. stands is true
// where the namespace has its monitors as desired.
func (r *Reconciler) note(namespace string, err error, stands bool) {
	before, was := r.firstFailure(), r.failures[namespace]
	if err != nil {
		r.failures[namespace] = err
	} else {
		delete(r.failures, namespace)
	}
	if stands {
		r.accepted[namespace] = true
	} else {
		delete(r.accepted, namespace)
	}
	switch {
	case r.firstFailure() != before:
		r.queue.Add(inCommon)
	case (err == nil) != (was == nil) || err != nil && err.Error() != was.Error():
		r.recount()
	}
}

// firstFailure says what one namespace failed by that another could fail by as well, always the same of several; empty where none
// did.
func (r *Reconciler) firstFailure() string {
	for _, name := range slices.Sorted(maps.Keys(r.failures)) {
		if err := r.failures[name]; r.ofNamespace(err) == "" {
			return fmt.Sprintf("The monitors of namespace %s could not be written: %s.", name, text.Shorten(err.Error(), longestMessage))
		}
	}
	return ""
}
