// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"
)

// bureau is a census at a Prometheus of numbers, and what was queried.
type bureau struct {
	*Census[int64]
	t         *testing.T
	clock     *testclock.FakePassiveClock
	announced chan struct{}
	numbers   map[string]int64
	refuse    string // Selector that no query may have.
	queries   [][]string
}

func newBureau(t *testing.T) *bureau {
	t.Helper()
	b := &bureau{t: t, clock: testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)),
		announced: make(chan struct{}, 1), numbers: map[string]int64{}}
	b.Census = NewCensus[int64](func() { b.announced <- struct{}{} }, b.clock, Pace{})
	return b
}

// take has selectors counted, those with a bang as settled ones, and waits for the answer where a query is sent.
func (b *bureau) take(source, selectors string) time.Duration {
	b.t.Helper()
	var wanted []Selector
	for _, text := range strings.Fields(selectors) {
		name, settled := strings.CutSuffix(text, "!")
		wanted = append(wanted, Selector{Text: name, Settled: settled})
	}
	before := len(b.queries)
	wait := b.Take(source, wanted, func(_ context.Context, selectors []string) (map[string]int64, error) {
		b.queries = append(b.queries, selectors)
		counts := map[string]int64{}
		for _, selector := range selectors {
			if selector == b.refuse {
				return nil, errors.New("too many series")
			}
			counts[selector] = b.numbers[selector]
		}
		return counts, nil
	})
	if wait > 0 || len(b.entries) == 0 {
		return wait
	}
	<-b.announced
	if len(b.queries) != before+1 {
		b.t.Fatalf("queries: %q", b.queries[before:])
	}
	return 0
}

func (b *bureau) pass(d time.Duration) { b.clock.SetTime(b.clock.Now().Add(d)) }

// has expects what is known of a source.
func (b *bureau) has(source string, want map[string]int64) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.Series(source)); diff != "" {
		b.t.Errorf("series (-want +got):\n%s", diff)
	}
}

// TestCensusCountsOnce: what is counted is counted in one query, and again only after a long time, or where something is amiss.
func TestCensusCountsOnce(t *testing.T) {
	b := newBureau(t)
	b.numbers["a"] = 3
	b.take("one", "a b")
	b.has("one", map[string]int64{"a": 3, "b": 0})
	if wait := b.take("one", "a! b"); wait != time.Minute {
		t.Errorf("b is counted again after %s", wait)
	}
	var waits []time.Duration
	for range 6 { // b is not there, and is looked for more and more rarely.
		b.pass(b.take("one", "a! b"))
		b.take("one", "a! b")
		waits = append(waits, b.take("one", "a! b"))
	}
	want := []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if last := b.queries[len(b.queries)-1]; !cmp.Equal(last, []string{"b"}) {
		t.Errorf("the last query counted %q", last)
	}
	if wait := b.take("one", "a! b!"); wait <= 0 || wait > time.Hour {
		t.Errorf("settled, they are counted again after %s", wait)
	}
	queries := len(b.queries)
	b.pass(59 * time.Minute)
	b.take("one", "a!")
	if added := b.queries[queries:]; len(added) != 1 || !cmp.Equal(added[0], []string{"a"}) {
		t.Errorf("after an hour, %q were counted", added)
	}
}

// TestCensusIsBounded: many selectors are counted in few queries, at most four a minute.
func TestCensusIsBounded(t *testing.T) {
	b := newBureau(t)
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprintf("s%03d!", i))
	}
	selectors := strings.Join(all, " ")
	for i, want := range []int{25, 50, 75, 100} {
		b.take("one", selectors)
		if known := len(b.Series("one")); known != want {
			t.Errorf("%d are known after %d queries", known, i+1)
		}
		if wait := b.take("one", selectors); want < 100 && wait != 15*time.Second {
			t.Errorf("the next query is sent after %s", wait)
		}
		b.pass(15 * time.Second)
	}
	b.take("one", strings.Repeat("x", mostText)+" "+strings.Repeat("y", mostText))
	if last := b.queries[len(b.queries)-1]; len(last) != 1 {
		t.Errorf("%d long selectors are counted in one query", len(last))
	}
}

// TestCensusTakesTurns: where more are due than can be counted, those that were counted wait for the others.
func TestCensusTakesTurns(t *testing.T) {
	b := newBureau(t)
	b.pace.Unsettled, b.pace.LastUnsettled = time.Second, time.Second
	var all []string
	for i := range 60 {
		all = append(all, fmt.Sprintf("s%03d", i))
	}
	for range 3 {
		b.take("one", strings.Join(all, " "))
		b.pass(15 * time.Second)
	}
	if known := len(b.Series("one")); known != 60 {
		t.Errorf("%d of 60 are known", known)
	}
}

// TestCensusSurvivesRefusals: a selector that Prometheus refuses, as one of too many series, keeps no other from being counted.
func TestCensusSurvivesRefusals(t *testing.T) {
	b := newBureau(t)
	b.numbers, b.refuse = map[string]int64{"a": 1, "c": 2}, "b"
	b.take("one", "a b c")
	b.has("one", map[string]int64{})
	for range 3 {
		b.pass(b.take("one", "a b c"))
		b.take("one", "a b c")
	}
	b.has("one", map[string]int64{"a": 1, "c": 2})
	for _, query := range b.queries[1:] {
		if len(query) != 1 {
			t.Errorf("%q were counted together again", query)
		}
	}
}

// TestCensusForgets what is no longer wanted, and everything of another source.
func TestCensusForgets(t *testing.T) {
	b := newBureau(t)
	b.numbers = map[string]int64{"a": 1, "b": 2}
	b.take("one", "a b")
	b.take("one", "a!")
	b.has("one", map[string]int64{"a": 1})
	b.has("other", map[string]int64{})
	b.pass(time.Minute)
	b.numbers["a"] = 7
	b.take("other", "a")
	b.has("other", map[string]int64{"a": 7})
	b.has("one", map[string]int64{})
	if wait := b.take("other", ""); wait != 0 {
		t.Errorf("nothing is wanted, after %s", wait)
	}
}
