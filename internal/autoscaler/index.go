// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/internal/store"
)

// Events are called on changes, under the index's lock: they must not block, and not call the index. All of them must be set.
type Events struct {
	// Failing is called when what Failing returns has changed.
	Failing func()
	// Counted is called when the counts have changed.
	Counted func()
	// Asked is called when what Asked returns has changed, but for who of those who ask fails.
	Asked func()
	// Listed is called when all HPAs have been seen for the first time since the store was opened.
	Listed func()
}

// Index has what is known of the HPAs of a cluster. An event costs work for its HPA only: the HPA controller writes the status of one
// as often as its metrics have other values, every 15 seconds.
type Index struct {
	events Events
	clock  clock.PassiveClock

	mu         sync.Mutex
	namespaces map[string]*namespace
	counts     Counts
	// open is the store that is being filled; nil for none. listed is true once it has been filled.
	open   *store.Store[*compact]
	listed bool
}

// namespace has the HPAs of a namespace.
type namespace struct {
	name string
	hpas map[string]*compact
	// failing are those that do not work, the longest first.
	failing []*compact
	asked   askers
}

// Counts of HPAs. Those that the HPA controller has not looked at yet neither work nor fail.
type Counts struct{ Total, Working, Failing int }

// NewIndex returns an empty index.
func NewIndex(events Events, clock clock.PassiveClock) *Index {
	return &Index{events: events, clock: clock, namespaces: map[string]*namespace{}}
}

// Open returns the store of a reflector of HPAs, and closes the one that was open before.
func (x *Index) Open() cache.TransformingStore {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close()
	var s *store.Store[*compact]
	s = store.New(store.Sink[*compact]{
		Compact: compactor,
		Put:     func(c *compact) { x.locked(s, func() { x.put(c) }) },
		Remove:  func(key string) { x.locked(s, func() { x.remove(key) }) },
		Replace: func(all map[string]*compact) { x.locked(s, func() { x.replace(all) }) },
	})
	x.open = s
	return s
}

// Close forgets all HPAs. The store ignores what its reflector still adds before it ends.
func (x *Index) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close()
}

func (x *Index) close() {
	x.replaceBy(nil)
	x.open, x.listed = nil, false
}

// locked lets a closed store ignore what its reflector still adds before it ends.
func (x *Index) locked(s *store.Store[*compact], do func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open == s {
		do()
	}
}

func (x *Index) replace(all map[string]*compact) {
	x.replaceBy(all)
	if !x.listed {
		x.listed = true
		x.events.Listed()
	}
}

// replaceBy removes what is not in a list and puts what is, oldest first: after a restart the same metrics have places.
func (x *Index) replaceBy(all map[string]*compact) {
	for name, ns := range x.namespaces {
		for hpa := range ns.hpas {
			if key := name + "/" + hpa; all[key] == nil {
				x.remove(key)
			}
		}
	}
	for _, c := range slices.SortedFunc(maps.Values(all), func(one, other *compact) int {
		return cmp.Or(cmp.Compare(one.created, other.created), strings.Compare(one.Key(), other.Key()))
	}) {
		x.put(c)
	}
}

// put enters a new or changed HPA.
func (x *Index) put(is *compact) {
	ns := x.namespaces[is.namespace]
	if ns == nil {
		ns = &namespace{name: is.namespace, hpas: map[string]*compact{}, asked: askers{}}
		x.namespaces[is.namespace] = ns
	}
	was := ns.hpas[is.name]
	is.namespace = ns.name // Once in memory.
	ns.hpas[is.name] = is
	is.since = x.clock.Now().UnixNano()
	if was != nil && was.state == is.state && was.uid == is.uid {
		is.since = was.since
	}
	x.stand(ns, was, is)
	asked := was != nil && ns.unask(was, is)
	asked = ns.ask(is) || asked
	if asked || was != nil && !was.asksAs(is) {
		x.events.Asked()
	}
}

// remove takes an HPA out.
func (x *Index) remove(key string) {
	name, hpa, _ := strings.Cut(key, "/")
	ns := x.namespaces[name]
	if ns == nil || ns.hpas[hpa] == nil {
		return
	}
	was := ns.hpas[hpa]
	delete(ns.hpas, hpa)
	x.stand(ns, was, nil)
	if ns.unask(was, nil) {
		x.events.Asked()
	}
	if len(ns.hpas) == 0 {
		delete(x.namespaces, name)
	}
}

// stand takes how an HPA stands out of the counts and puts how it stands now in. Either may be nil.
func (x *Index) stand(ns *namespace, was, is *compact) {
	before := x.counts
	x.counts.add(was, -1)
	x.counts.add(is, 1)
	if before != x.counts || (was == nil) != (is == nil) {
		x.events.Counted()
	}
	failed, fails := was.fails(), is.fails()
	if failed {
		if at, found := slices.BinarySearchFunc(ns.failing, was, longestFirst); found {
			ns.failing = slices.Delete(ns.failing, at, at+1)
		}
	}
	if fails {
		at, _ := slices.BinarySearchFunc(ns.failing, is, longestFirst)
		ns.failing = slices.Insert(ns.failing, at, is)
	}
	if failed != fails || fails && (was.evidence != is.evidence || was.state != is.state) {
		x.events.Failing()
	}
}

// fails is false for an HPA that works or does not exist.
func (c *compact) fails() bool { return c != nil && c.state != Working }

func longestFirst(one, other *compact) int {
	return cmp.Or(cmp.Compare(one.since, other.since), strings.Compare(one.name, other.name))
}

func (c *Counts) add(of *compact, by int) {
	if of == nil {
		return
	}
	c.Total += by
	switch of.state {
	case Working:
		c.Working += by
	case Fails:
		c.Failing += by
	}
}

// Listed is true once all HPAs have been listed.
func (x *Index) Listed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed
}

// Counts returns how many HPAs there are.
func (x *Index) Counts() Counts {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.counts
}

// Failing returns the HPAs that fail or wait for the HPA controller, by namespace, of each at most so many, those that have longest
// first. Of very many namespaces each has an equal share of inAll, and one at least.
func (x *Index) Failing(most, inAll int) map[string][]Failure {
	x.mu.Lock()
	defer x.mu.Unlock()
	all, namespaces := map[string][]Failure{}, 0
	for _, ns := range x.namespaces {
		if len(ns.failing) > 0 {
			namespaces++
		}
	}
	most = max(1, min(most, inAll/max(1, namespaces)))
	for name, ns := range x.namespaces {
		for _, c := range ns.failing[:min(len(ns.failing), most)] {
			all[name] = append(all[name], c.failure())
		}
	}
	return all
}

// State returns how an HPA stands.
func (x *Index) State(namespace, name string) State {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[namespace]
	if ns == nil || ns.hpas[name] == nil {
		return Gone
	}
	return ns.hpas[name].state
}
