// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"time"

	"github.com/metricspipeline/operator/internal/prometheus"
)

// Timing is how long the operator waits for what brings no event. A field that is 0 has its default.
type Timing struct {
	// FirstFailure is the wait after a failed reconcile, 50ms. It doubles with each further failure up to LastFailure, 30s:
	// an outage must not be followed by a wait that is as long.
	FirstFailure, LastFailure time.Duration
	// Conflict is the wait after a write that met a concurrent one, 100ms.
	Conflict time.Duration
	// Pending is when to look again at a CRD that the API server is about to serve, 1s: it says no more when it does.
	Pending time.Duration
	// Stalled is when to look again at what waits for a person to act, where that brings no event, 1m: a missing permission,
	// or a foreign object that is in the way.
	Stalled time.Duration
	// FirstProbe is the wait after an endpoint or a Prometheus did not answer as it should, 1s. It doubles up to
	// LastProbe, 30s.
	FirstProbe, LastProbe time.Duration
	// LastKubelet is the longest wait after which kubelets, and metrics of nodes, that failed are asked again, 2m; the first is
	// FirstProbe.
	LastKubelet time.Duration
	// Counts is how long changes of the counts of annotated apps are gathered for one report, 10s.
	Counts time.Duration
	// Reports is how often what users of namespaces cause is reported, after a few times at once, 1m: each report is a write of the
	// status.
	Reports time.Duration
	// Rest is the least time between two rounds of writes of monitors in one namespace, 2s.
	Rest time.Duration
	// Looks is the least time between two looks at what the Services of one namespace select, 5m.
	Looks time.Duration
	// Targets is the least time between two surveys of what Prometheus scrapes, 1m; five times as long while all is up.
	Targets time.Duration
	// Patience is how long an HPA has to fail before it is examined and said to, 30s.
	Patience time.Duration
	// Handover is how long the earlier backend of a metrics API stays after a switch to another component, 10s: every API server has to
	// see that first, and none says when it has.
	Handover time.Duration
	// Work bounds the stages of one reconcile but the report, 25s: an API server that hangs becomes a condition.
	Work time.Duration
	// Census is how often series of rules are counted.
	Census prometheus.Pace
	// Names is how often series are looked for that rules can be derived from: at most one query in 5 s, 15 s after the first and then
	// up to 2 minutes apart while there are none, since a new app is not to wait long for its metric.
	Names prometheus.Pace
	// Snapshot is how long a report waits for what is to be said of annotated apps after a start or a change of the spec, 1s.
	Snapshot time.Duration
}

// OrDefaults returns the timing with the default of each field that is 0.
func (t Timing) OrDefaults() Timing {
	return Timing{
		FirstFailure: cmp.Or(t.FirstFailure, 50*time.Millisecond),
		LastFailure:  cmp.Or(t.LastFailure, 30*time.Second),
		Conflict:     cmp.Or(t.Conflict, 100*time.Millisecond),
		Pending:      cmp.Or(t.Pending, time.Second),
		Stalled:      cmp.Or(t.Stalled, time.Minute),
		FirstProbe:   cmp.Or(t.FirstProbe, time.Second),
		LastProbe:    cmp.Or(t.LastProbe, 30*time.Second),
		LastKubelet:  cmp.Or(t.LastKubelet, 2*time.Minute),
		Counts:       cmp.Or(t.Counts, 10*time.Second),
		Reports:      cmp.Or(t.Reports, time.Minute),
		Rest:         cmp.Or(t.Rest, 2*time.Second),
		Looks:        cmp.Or(t.Looks, 5*time.Minute),
		Targets:      cmp.Or(t.Targets, time.Minute),
		Patience:     cmp.Or(t.Patience, 30*time.Second),
		Census:       t.Census.OrDefaults(),
		Names: prometheus.Pace{Query: cmp.Or(t.Names.Query, 5*time.Second), Unsettled: cmp.Or(t.Names.Unsettled, 15*time.Second),
			LastUnsettled: cmp.Or(t.Names.LastUnsettled, 2*time.Minute), Settled: t.Names.Settled}.OrDefaults(),
		Handover: cmp.Or(t.Handover, 10*time.Second),
		Work:     cmp.Or(t.Work, 25*time.Second),
		Snapshot: cmp.Or(t.Snapshot, time.Second),
	}
}
