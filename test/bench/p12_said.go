// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
	"github.com/metricspipeline/operator/test/e2e/puppets"
)

// p12Waits are how long it took until it was said why HPAs fail, in seconds. Of fewer than a hundred the p99 is the most.
type p12Waits struct{ median, most float64 }

// p12Said changes HPAs so that they fail and makes others anew, and waits until an Event of the operator says why each does. Times are from
// the request that made it fail.
func p12Said(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, step progress) (changed, created p12Waits, err error) {
	ctx, cancel := context.WithTimeout(ctx, p12Limit)
	defer cancel()
	broken := make([]time.Time, p12Changed+p12Created)
	if err := kit.InParallel(ctx, len(broken), func(ctx context.Context, i int) error {
		broken[i] = time.Now()
		if i < p12Changed {
			return p12Change(ctx, cluster, fleet, i)
		}
		return p12Create(ctx, cluster, fleet, i)
	}); err != nil {
		return changed, created, err
	}
	said := map[string]corev1.Event{}
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		events := &corev1.EventList{}
		err := cluster.Client.List(ctx, events, client.MatchingFields{
			"involvedObject.kind": "HorizontalPodAutoscaler", "reportingComponent": kit.OperatorName})
		for _, event := range events.Items {
			said[event.InvolvedObject.Namespace+"/"+event.InvolvedObject.Name] = event
		}
		return len(said) == len(broken), err
	})
	if err != nil {
		return changed, created, fmt.Errorf("wait until it is said why %d HPAs fail, of %d it is: %w", len(broken), len(said), err)
	}
	reasons := map[string]bool{}
	waits := func(from, to int) p12Waits {
		var all []float64
		for i := from; i < to; i++ {
			event := said[fleet.Key(i).String()]
			reasons[event.Reason] = true
			all = append(all, event.EventTime.Sub(broken[i]).Seconds())
		}
		slices.Sort(all)
		return p12Waits{all[len(all)/2], all[len(all)-1]}
	}
	changed, created = waits(0, p12Changed), waits(p12Changed, len(broken))
	step("  it is said why HPAs fail (%s): of %d that were changed after %.1f s in the median and %.1f s at most, of %d new ones after "+
		"%.1f and %.1f s", strings.Join(slices.Sorted(maps.Keys(reasons)), ", "), p12Changed, changed.median, changed.most, p12Created,
		created.median, created.most)
	return changed, created, nil
}
