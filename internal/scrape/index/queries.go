// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/internal/scrape"
)

// How much the queries of a namespace's Pods may be: each is a scrape pool of Prometheus, see most.
const (
	mostPodQueries    = 10
	longestPodQueries = 8 << 10
)

var podQueriesRejection = &scrape.Rejection{Reason: "the Pods of the namespace have used up what its monitor may have of " +
	"parameters: 10 different queries, 8 KiB; use those of another Pod, or annotate a Service in front of it instead"}

// podQueries are the different queries of the Pods of a namespace. Pods come and go with each rollout, so that none is older than
// the others: a query keeps its place for as long as a Pod has it, and a free place is that of the query that has waited longest.
type podQueries struct {
	of map[scrape.PodQuery]*podQuery
	// places are how many of them fit, of so many bytes and Pods.
	places, bytes, pods int
	// last is the turn of the newest.
	last int
}

// podQuery is one of them, which has its turn from when it came.
type podQuery struct {
	pods map[string]*App
	fits bool
	turn int
}

func bytesOf(query scrape.PodQuery) int { return len(query.Query) + len(query.Params) }

// admit gives a query a place if there is one.
func (q *podQueries) admit(query scrape.PodQuery) bool {
	if q.places == mostPodQueries || q.bytes+bytesOf(query) > longestPodQueries {
		return false
	}
	of := q.of[query]
	of.fits = true
	q.places, q.bytes, q.pods = q.places+1, q.bytes+bytesOf(query), q.pods+len(of.pods)
	return true
}

// add adds a Pod, and returns whether it fits and whether its query has come with it.
func (q *podQueries) add(a *App, query scrape.PodQuery) (fits, came bool) {
	of := q.of[query]
	if of == nil {
		q.last++
		of, came = &podQuery{pods: map[string]*App{}, turn: q.last}, true
		q.of[query] = of
		q.admit(query)
	}
	of.pods[a.name] = a
	if of.fits {
		q.pods++
	}
	return of.fits, came
}

// remove takes a Pod out, and returns whether its query, which had a place, has gone with it, and the Pods that fit because of that.
func (q *podQueries) remove(name string, query scrape.PodQuery) (gone bool, under []*App) {
	of := q.of[query]
	delete(of.pods, name)
	if of.fits {
		q.pods--
	}
	if len(of.pods) > 0 {
		return false, nil
	}
	delete(q.of, query)
	if !of.fits {
		return false, nil
	}
	q.places, q.bytes = q.places-1, q.bytes-bytesOf(query)
	for q.places < len(q.of) {
		waiting, first := scrape.PodQuery{}, math.MaxInt
		for other, of := range q.of {
			if !of.fits && of.turn < first {
				waiting, first = other, of.turn
			}
		}
		if !q.admit(waiting) {
			break
		}
		under = slices.AppendSeq(under, maps.Values(q.of[waiting].pods))
	}
	return true, under
}

// fitting returns the queries that have places, sorted.
func (q *podQueries) fitting() []scrape.PodQuery {
	var fitting []scrape.PodQuery
	for query, of := range q.of {
		if of.fits {
			fitting = append(fitting, query)
		}
	}
	slices.SortFunc(fitting, func(one, other scrape.PodQuery) int {
		return cmp.Or(strings.Compare(one.Query, other.Query), strings.Compare(one.Params, other.Params), compareBool(one.Slow, other.Slow))
	})
	return fitting
}

func compareBool(one, other bool) int {
	switch {
	case one == other:
		return 0
	case other:
		return -1
	}
	return 1
}

// requery moves a Pod from the query that it had to the one that it has, and rejects what has no place. It returns whether the
// monitors depend on that.
func (x *Index) requery(ns *namespace, was, is *App, old, now scrape.PodQuery) bool {
	none := scrape.PodQuery{}
	if old == now {
		if now != none {
			ns.queries.of[now].pods[is.name] = is
		}
		return false
	}
	changed := false
	if old != none {
		gone, under := ns.queries.remove(was.name, old)
		changed = gone
		for _, a := range append(under, was) { // was, if it did not fit.
			ns.admit(a)
		}
	}
	if now != none {
		fits, came := ns.queries.add(is, now)
		changed = changed || fits && came
		if !fits && ns.reject(is, podQueriesRejection.Reason) {
			x.events.Rejected(is, podQueriesRejection, !x.open[is.kind].listed)
		}
	}
	return changed
}

// oldestFirst returns apps in the order in which they were made, so that after a start the same ones have places.
func oldestFirst(apps map[string]*App) []*App {
	created := func(a *App) int64 {
		if a.details == nil {
			return 0
		}
		return a.details.created
	}
	return slices.SortedFunc(maps.Values(apps), func(one, other *App) int {
		return cmp.Or(cmp.Compare(created(one), created(other)), strings.Compare(one.name, other.name))
	})
}
