// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
)

// mostReasons is how many reasons a message counts.
const mostReasons = 8

// Autoscalers is a snapshot of the HPAs of the cluster.
type Autoscalers struct {
	// Status counts them; nil while they cannot be listed: what the status said stays.
	Status *v1alpha1.AutoscalersStatus
	// Reasons counts those that fail, by reason.
	Reasons map[string]int
	// Administrator counts those of them that fail for a cause that an administrator removes, and First is one of these.
	Administrator map[string]int
	First         v1alpha1.AutoscalerFailure
	// Unsure is true until all HPAs have been examined that failed before a start: until then it is not known who has to act.
	Unsure bool
	// Problem is why it cannot be said whether HPAs work, such as a permission that is missing; empty where it can.
	Problem string
}

// autoscalersStatus is that of the HPAs.
func autoscalersStatus(o Observation) *v1alpha1.AutoscalersStatus {
	if o.Autoscalers == nil || o.Autoscalers.Status == nil {
		return o.previous.Autoscalers.DeepCopy()
	}
	return o.Autoscalers.Status.DeepCopy()
}

// autoscalersServed says whether HPAs fail for causes that an administrator removes. The others are no part of it: any tenant could turn
// it False.
func autoscalersServed(o Observation) finding {
	a := o.Autoscalers
	switch {
	case a == nil:
		return undecided("The HorizontalPodAutoscalers have not been looked at yet.")
	case a.Problem != "":
		return unmet(v1alpha1.ReasonUnreadable, "It cannot be said whether HorizontalPodAutoscalers work: "+a.Problem+".")
	case a.Unsure:
		return undecided("The HorizontalPodAutoscalers that fail are being examined.")
	case len(a.Administrator) > 0:
		return unmet(v1alpha1.ReasonUnserved, fmt.Sprintf("%d of %d HorizontalPodAutoscalers fail for causes that an administrator "+
			"removes: %s. HorizontalPodAutoscaler %s/%s: %s", sum(a.Administrator), a.Status.Total, counted(a.Administrator),
			a.First.Namespace, a.First.Name, a.First.Message))
	}
	message := "No HorizontalPodAutoscaler fails for a cause that an administrator removes."
	if failing := sum(a.Reasons); failing > 0 {
		message += fmt.Sprintf(" %d of %d fail for other causes, see status.autoscalers.", failing, a.Status.Total)
	}
	return met(v1alpha1.ReasonServed, message)
}

func sum(counts map[string]int) (all int) {
	for _, count := range counts {
		all += count
	}
	return all
}

// counted names reasons and how often each is, the most frequent first.
func counted(counts map[string]int) string {
	reasons := slices.SortedFunc(maps.Keys(counts), func(one, other string) int {
		return cmp.Or(cmp.Compare(counts[other], counts[one]), strings.Compare(one, other))
	})
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%s %d", reason, counts[reason])
	}
	return text.Enumerate(reasons, mostReasons)
}
