// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Selector is one whose series are to be counted, or found.
type Selector struct {
	Text string
	// Settled is true where what was counted is as it should be, and need not be counted again soon.
	Settled bool
}

// Bounds of one query of a census: sent by GET it is a URL, of which many proxies take 8 KiB at most.
const (
	mostSelectors = 25
	mostText      = 2 << 10
	censusTimeout = 10 * time.Second
)

// Pace is how often a census may query. A field that is 0 has its default.
type Pace struct {
	// Query is the least time between two queries, 15s.
	Query time.Duration
	// Unsettled is when a selector that is not settled is counted again, 1m. It is doubled with each time up to LastUnsettled, 10m.
	Unsettled, LastUnsettled time.Duration
	// Settled is when others are, 1h.
	Settled time.Duration
}

// OrDefaults returns the pace with the default of each field that is 0.
func (p Pace) OrDefaults() Pace {
	return Pace{Query: cmp.Or(p.Query, 15*time.Second), Unsettled: cmp.Or(p.Unsettled, time.Minute),
		LastUnsettled: cmp.Or(p.LastUnsettled, 10*time.Minute), Settled: cmp.Or(p.Settled, time.Hour)}
}

// Census finds out of series, outside of the reconcile worker, and remembers what: T is a number of them, or what else is known of a
// selector. Each selector is counted once and, rarely, again; all of them together have a bounded number of queries, and the one that has
// waited longest is the first. Its methods may be called from any goroutine.
type Census[T any] struct {
	announce func()
	clock    clock.PassiveClock
	pace     Pace

	mu      sync.Mutex
	source  string
	entries map[string]*entry[T]
	// next is when the next query may be sent, and busy is true while one is under way.
	next time.Time
	busy bool
}

// entry is a selector.
type entry[T any] struct {
	series  T
	known   bool
	settled bool
	// due is when it is to be counted, and tries how often it has been without being settled.
	due   time.Time
	tries int
	// alone is true after a query of several has failed: any of them may be why.
	alone bool
}

// NewCensus returns a census that calls announce after each query. announce must not block.
func NewCensus[T any](announce func(), clock clock.PassiveClock, pace Pace) *Census[T] {
	return &Census[T]{announce: announce, clock: clock, pace: pace.OrDefaults(), entries: map[string]*entry[T]{}}
}

// Series returns what has been counted at a source, by selector.
func (c *Census[T]) Series(source string) map[string]T {
	c.mu.Lock()
	defer c.mu.Unlock()
	series := map[string]T{}
	for selector, e := range c.entries {
		if e.known && source == c.source {
			series[selector] = e.series
		}
	}
	return series
}

// Counter counts the series of selectors in one query.
type Counter[T any] func(ctx context.Context, selectors []string) (map[string]T, error)

// Take has the series of selectors counted at a source, and forgets all others. It never waits, and returns when to call it again; 0
// where that need not be, or where an announcement comes first.
func (c *Census[T]) Take(source string, selectors []Selector, count Counter[T]) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	c.want(source, selectors, now)
	if c.busy || len(c.entries) == 0 {
		return 0
	}
	batch, next := c.batch(now)
	if wait := c.next.Sub(now); len(batch) > 0 && wait > 0 {
		return wait
	}
	if len(batch) == 0 {
		return next.Sub(now)
	}
	c.busy = true
	go c.query(source, batch, count)
	return 0
}

// want takes up what is wanted.
func (c *Census[T]) want(source string, selectors []Selector, now time.Time) {
	if source != c.source {
		c.source, c.entries = source, map[string]*entry[T]{}
	}
	settled := map[string]bool{}
	for _, selector := range selectors {
		before, seen := settled[selector.Text]
		settled[selector.Text] = selector.Settled && (before || !seen)
	}
	maps.DeleteFunc(c.entries, func(selector string, _ *entry[T]) bool { _, wanted := settled[selector]; return !wanted })
	for selector, settled := range settled {
		e := c.entries[selector]
		if e == nil {
			c.entries[selector] = &entry[T]{due: now}
			continue
		}
		if e.known && e.settled != settled {
			e.settled, e.tries = settled, 0
			e.due = now.Add(c.wait(e))
		}
	}
}

// wait is how long until a selector that has been counted is counted again.
func (c *Census[T]) wait(e *entry[T]) time.Duration {
	if e.settled {
		return c.pace.Settled
	}
	return min(c.pace.Unsettled<<min(e.tries, 16), c.pace.LastUnsettled)
}

// batch returns the selectors of the next query, and when the next is due where there are none.
func (c *Census[T]) batch(now time.Time) (batch []string, next time.Time) {
	length := 0
	for _, selector := range slices.SortedFunc(maps.Keys(c.entries), c.sooner) {
		e := c.entries[selector]
		if e.due.After(now) {
			if next.IsZero() || e.due.Before(next) {
				next = e.due
			}
			continue
		}
		full := len(batch) == mostSelectors || length+len(selector) > mostText || e.alone || len(batch) > 0 && c.entries[batch[0]].alone
		if len(batch) == 0 || !full {
			batch, length = append(batch, selector), length+len(selector)
		}
	}
	return batch, next
}

// sooner orders selectors by when they are due: where there are more than can be counted, each has its turn.
func (c *Census[T]) sooner(a, b string) int {
	return cmp.Or(c.entries[a].due.Compare(c.entries[b].due), cmp.Compare(a, b))
}

// query counts, and records the answer unless another source has taken the place of this one.
func (c *Census[T]) query(source string, batch []string, count Counter[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), censusTimeout)
	defer cancel()
	series, err := count(ctx, batch)

	c.mu.Lock()
	now := c.clock.Now()
	c.busy, c.next = false, now.Add(c.pace.Query)
	for _, selector := range batch {
		e := c.entries[selector]
		if e == nil || source != c.source {
			continue
		}
		if err != nil {
			e.alone = len(batch) > 1
		} else {
			e.series, e.known, e.alone = series[selector], true, false
		}
		e.due = now.Add(c.wait(e))
		e.tries++
	}
	c.mu.Unlock()
	c.announce() // Also of an answer that changes nothing: another query may wait.
}
