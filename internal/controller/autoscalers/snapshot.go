// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"cmp"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/text"
)

const (
	// mostFailing bounds the list of the status.
	mostFailing = 50
	// longestMessage is how many bytes of a message are reported, and longestMetric of a metric's name: both may quote what tenants wrote.
	longestMessage, longestMetric = 900, 253
)

// Snapshot is what the report says of HPAs. It is never changed once it is published.
type Snapshot struct {
	// Of is the pipeline that it is for.
	Of types.UID
	// Status counts them; nil while they cannot be listed.
	Status *v1alpha1.AutoscalersStatus
	// Reasons counts those that fail by reason, Administrator those of them whose cause an administrator removes, of which First is one.
	Reasons, Administrator map[string]int
	First                  v1alpha1.AutoscalerFailure
	// Unsure is true until all HPAs have been examined that failed before a start: of them the status does not say who has to act.
	Unsure bool
	// Problem is why it cannot be said whether HPAs work; empty where it can.
	Problem string
}

// Snapshot returns the last one; nil before the first, and while there is no pipeline.
func (r *Reconciler) Snapshot() *Snapshot { return r.snapshot.Load() }

// publish computes the snapshot, and announces it when it differs from the last one.
func (r *Reconciler) publish() {
	now := &Snapshot{Of: r.pipeline.UID}
	switch err := r.hpas.err(); {
	case err != nil && err.Pending, err == nil && !r.index.Listed():
		return // What the status said stays.
	case !r.index.Listed():
		now.Problem = err.Error()
	default:
		if err != nil {
			now.Problem = err.Error()
		}
		r.schedule.describe(now, r.index.Counts())
	}
	before := r.snapshot.Load()
	if before != nil && equality.Semantic.DeepEqual(before, now) {
		return
	}
	if before != nil && !r.reports.AllowN(r.clock.Now(), 1) {
		r.recount()
		return
	}
	r.snapshot.Store(now)
	r.announce()
}

// describe enters what is known of HPAs. One that has only just begun to fail counts as one that works: most such end by themselves.
func (s *schedule) describe(now *Snapshot, counts autoscaler.Counts) {
	now.Reasons, now.Administrator, now.Unsure = map[string]int{}, map[string]int{}, len(s.unsure) > 0
	var lists [][]v1alpha1.AutoscalerFailure
	patient := 0
	for _, r := range s.all() {
		if !r.works.IsZero() || r.failure.Awaited && r.found == nil {
			continue
		}
		now.Problem = cmp.Or(now.Problem, r.problem())
		if r.found == nil {
			if !r.lasts {
				patient++
			}
			continue
		}
		if n := len(lists); n == 0 || lists[n-1][0].Namespace != r.found.Namespace {
			lists = append(lists, nil)
		}
		lists[len(lists)-1] = append(lists[len(lists)-1], *r.found)
		now.Reasons[r.found.Reason]++
		if r.administrator {
			now.Administrator[r.found.Reason]++
			if now.First.Name == "" {
				now.First = *r.found
			}
		}
	}
	now.Status = &v1alpha1.AutoscalersStatus{Total: int32(counts.Total), Working: int32(counts.Working + patient),
		Failing: text.Share(lists, mostFailing, func(one, other v1alpha1.AutoscalerFailure) int {
			return cmp.Or(strings.Compare(one.Namespace, other.Namespace), strings.Compare(one.Name, other.Name))
		})}
}

// failureOf is a finding as the status has it.
func failureOf(of autoscaler.Failure, metric string, f diagnose.Finding) v1alpha1.AutoscalerFailure {
	return v1alpha1.AutoscalerFailure{Namespace: of.Namespace, Name: of.Name, Metric: text.Shorten(metric, longestMetric), Reason: f.Reason,
		Message: text.Shorten(f.Message(), longestMessage), SeriesElsewhere: int32(min(f.Elsewhere, math.MaxInt32))}
}
