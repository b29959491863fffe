// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/text"
)

// result is what is known of an HPA that fails.
type result struct {
	failure autoscaler.Failure
	// evidence and pipeline are what it was examined by, at examined; zero before the first time.
	evidence uint64
	pipeline string
	examined time.Time
	// due is when it is examined next, and wait the time until then without a change.
	due  time.Time
	wait time.Duration
	// lasts is true once it counts as one that fails: most that have only just begun to end by themselves.
	lasts bool
	// found is why it fails; nil where that is not known yet. administrator is true for a cause that an administrator removes.
	found         *v1alpha1.AutoscalerFailure
	administrator bool
	// said is the reason of the last Event; quiet is true where that may have been sent before a start.
	said  string
	quiet bool
	// err is why the last examination failed, and failed how many have in a row.
	err    error
	failed int
	// works is since when it works again; zero while it fails.
	works time.Time
}

// hurry has it examined at a time, if it is not due earlier.
func (r *result) hurry(at time.Time) {
	if at.Before(r.due) {
		r.due = at
	}
}

// resume takes up what the status said before a start. Of an HPA that a full list had no place for it is not known what was said. One that
// is missing in a list with places was not examined yet, or so short a time ago that its Event may come twice.
func (r *result) resume(before *v1alpha1.AutoscalersStatus) {
	for _, listed := range before.Failing {
		if listed.Namespace == r.failure.Namespace && listed.Name == r.failure.Name {
			r.found, r.said, r.due, r.lasts = listed.DeepCopy(), listed.Reason, r.failure.Since, true
			return
		}
	}
	if !r.failure.Awaited && len(before.Failing) >= mostFailing && int(before.Total-before.Working) > len(before.Failing) {
		r.quiet, r.due, r.lasts = true, r.failure.Since, true
	}
}

// fails takes up that an HPA fails, and returns whether it did not.
func (r *result) fails(failure autoscaler.Failure, patience time.Duration) (changed bool) {
	again := !r.works.IsZero()
	evident := r.failure.Evidence != failure.Evidence && r.evidence != failure.Evidence
	observed := r.failure.Awaited && !failure.Awaited
	r.failure = failure
	switch {
	case observed && r.examined.IsZero():
		r.due = dueOf(failure, patience)
	case again:
		r.works, r.lasts, r.due = time.Time{}, false, failure.Since.Add(patience)
	case evident && !r.examined.IsZero():
		r.hurry(r.examined.Add(pause))
	}
	return again
}

// fail notes why an examination failed, if it did, and returns whether that is to be reported and was not. A timeout passes.
func (r *result) fail(err error) (changed bool) {
	was := r.problem()
	if r.err = err; err == nil {
		r.failed = 0
	} else {
		r.failed++
	}
	return was != r.problem()
}

// problem is why an HPA cannot be examined; empty where it can.
func (r *result) problem() string {
	if r.err == nil || r.failed < mostFailures && !apierrors.IsForbidden(r.err) {
		return ""
	}
	return strings.TrimSuffix(text.Shorten(r.err.Error(), longestMessage), ".")
}

// postpone has an HPA examined later, each time twice as late as long as the same is found.
func (r *result) postpone(now time.Time, same bool) {
	r.wait = min(2*r.wait, last)
	if !same || r.wait == 0 {
		r.wait = first
	}
	r.due = now.Add(r.wait)
}

// passing are the reasons of what passes by itself in a moment, and is not worth a word until it has lasted for that long.
var passing = map[string]time.Duration{
	v1alpha1.AutoscalerPodsStarting: 5 * time.Minute,
	v1alpha1.AutoscalerRuleDeriving: 3 * time.Minute,
}

// passes is true for what is likely to pass by itself.
func (r *result) passes(f diagnose.Finding, now time.Time) bool {
	return r.found == nil && now.Sub(r.failure.Since) < passing[f.Reason]
}

// firstFinding is that of the first metric that has one. Of an HPA that the HPA controller has not looked at it is that it has not.
func firstFinding(d diagnose.Diagnosis, awaited bool) (metric string, finding *diagnose.Finding) {
	for _, chain := range d.Chains {
		if chain.Finding != nil {
			return chain.Metric, chain.Finding
		}
		for _, limit := range chain.Limits {
			if awaited && limit.Reason == v1alpha1.AutoscalerNotObserved {
				return "", &limit
			}
		}
	}
	return "", nil
}
