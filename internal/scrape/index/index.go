// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package index keeps what monitors depend on of the annotated Services and Pods of a cluster. An event about an app costs
// work for that app only: sums are kept up to date, not counted again.
package index

import (
	"slices"
	"sync"

	"github.com/metricspipeline/operator/internal/scrape"
)

// Rules are the criteria of the spec that apps are judged by.
type Rules struct {
	// Prefix of the annotations, which is that of every store.
	Prefix string
	// Selectorless allows Services without a selector.
	Selectorless bool
	// Services and Pods are true when annotations of that kind are honored.
	Services, Pods bool
	// PerService is true when each Service has a monitor of its own.
	PerService bool
	// Near is the number of targets that the Services of a namespace can have from which on a change of its number of Pods is an event;
	// 0 for none.
	Near int
}

// Events are called on changes, under the index's lock: they must not block, and not call the index. All of them must be set.
type Events struct {
	// Rejected is called for an app whose rejection is new, and for a Pod in the network of its node, which is rejected unless its
	// namespace is allowed to have some. first is true for what is found in the first list of its kind: that
	// may have been rejected long before.
	Rejected func(app *App, rejection *scrape.Rejection, first bool)
	// NearMiss is called for an app of which it is new that its metadata almost requests something; first is as that of Rejected.
	NearMiss func(app *App, reason string, first bool)
	// Affected is called for a namespace whose monitors may have to change.
	Affected func(namespace string)
	// Counted is called when what Status counts may have changed.
	Counted func()
	// Listed is called when all apps of a kind have been seen for the first time since its store was opened.
	Listed func(Kind)
}

// Index has the verdicts about apps, by namespace. Stores, which reflectors fill, keep it up to date.
type Index struct {
	events Events

	mu    sync.Mutex
	rules Rules
	apps  map[Kind]map[string]*App // by namespace/name
	// population is the number of Pods of each kind, annotated or not, by namespace.
	population map[Kind]map[string]int
	// version is that of the namespace that has changed last.
	version uint64
	// open are the stores that are being filled, at most one of each kind.
	open       map[Kind]*Store
	namespaces map[string]*namespace
}

// New returns an empty index, which neither rejects nor accepts an app before JudgeBy.
func New(events Events) *Index {
	return &Index{
		events:     events,
		namespaces: map[string]*namespace{},
		apps:       map[Kind]map[string]*App{Service: {}, Pod: {}, HostPod: {}, Deployment: {}, StatefulSet: {}, DaemonSet: {}},
		population: map[Kind]map[string]int{Pod: {}, HostPod: {}},
		open:       map[Kind]*Store{},
	}
}

// verdict is the result of judging an app by itself.
type verdict struct {
	accepted bool
	// class of an accepted Service, and what it costs.
	class class
	cost  scrape.Special
	// query is that of an accepted Pod, and seen what an app requests that is annotated for scraping.
	query scrape.PodQuery
	seen  scrape.Seen
	// rejection is why the app is not scraped although its annotations request it; nil where they do not.
	rejection *scrape.Rejection
	// nearMiss is what the app almost requests, and workload is true for a workload that has its Pods' annotation.
	nearMiss string
	workload bool
}

// judge returns the verdict about an app; nil is no app.
func (r Rules) judge(a *App) verdict {
	none := verdict{class: plain}
	if a == nil || a.details == nil {
		return none
	}
	if a.kind.workload() {
		none.workload = r.Services || r.Pods
		return none
	}
	if a.kind == Service && r.Services || a.kind != Service && r.Pods {
		none.nearMiss = a.details.missed()
	}
	annotations := a.annotations(r.Prefix)
	if !scrape.Wanted(r.Prefix, annotations) {
		return none
	}
	if a.kind != Service {
		if r.Pods {
			return r.judgePod(a, annotations)
		}
		return none
	}
	if !r.Services {
		return none
	}
	cost, rejection := scrape.Classify(a.service(r.Prefix), r.Prefix, r.Selectorless)
	v := verdict{accepted: rejection == nil, class: plain, cost: cost, seen: scrape.See(r.Prefix, annotations), rejection: rejection,
		nearMiss: none.nearMiss}
	v.seen.IPv6 = a.details.ipv6
	switch {
	case !v.accepted:
	case r.PerService:
		v.class = each
	case cost.Query != "":
		v.class = queries
	case cost.Bytes > 0:
		v.class = ports
	}
	return v
}

func (r Rules) judgePod(a *App, annotations map[string]string) verdict {
	query, rejection := scrape.ClassifyPod(r.Prefix, annotations)
	if rejection == nil && query != (scrape.PodQuery{}) && a.HostNetwork() {
		query, rejection = scrape.PodQuery{}, scrape.InHostNetworkWithParams
	}
	return verdict{accepted: rejection == nil, class: plain, query: query, seen: scrape.See(r.Prefix, annotations), rejection: rejection}
}

// change takes the app as it was and as it is, which may be nil, and the verdicts about it.
func (x *Index) change(was, is *App, old, now verdict) {
	if old == now && !now.accepted && now.rejection == nil {
		return
	}
	known := is
	if known == nil {
		known = was
	}
	ns := x.namespaces[known.namespace]
	if ns == nil {
		ns = newNamespace()
		x.namespaces[known.namespace] = ns
	}
	before := ns.shape()
	ns.count(known, old, -1)
	refitted := x.refit(ns, was, is, old, now)
	requeried := x.requery(ns, was, is, old.query, now.query)
	ns.count(known, now, 1)
	if known.kind == Service {
		ns.targets += now.cost.Targets - old.cost.Targets
		x.touch(ns)
	}
	x.note(ns, known, old, now)
	if refitted || requeried || before != ns.shape() {
		x.events.Affected(known.namespace)
	}
	x.events.Counted()
	switch first := !x.open[known.kind].listed; {
	case now.rejection != nil && (old.rejection == nil || *old.rejection != *now.rejection):
		x.events.Rejected(known, now.rejection, first)
	case now.accepted && !old.accepted && known.HostNetwork():
		x.events.Rejected(known, scrape.InHostNetwork, first)
	}
	if ns.empty() {
		delete(x.namespaces, known.namespace)
	}
}

// refit takes an app out of its class and puts it into the other, and rejects what no longer fits there. It returns whether the
// monitors depend on that.
func (x *Index) refit(ns *namespace, was, is *App, old, now verdict) bool {
	switch {
	case old.class == plain && now.class == plain:
		return false
	case old.class == now.class:
		x.exchange(ns, old.class, was, is, now.cost)
		return true
	}
	if old.class != plain {
		x.exchange(ns, old.class, was, nil, old.cost)
	}
	if now.class != plain {
		x.exchange(ns, now.class, nil, is, now.cost)
	}
	return true
}

// exchange replaces an app of a class, which may be nil, by another, which may be nil too.
func (x *Index) exchange(ns *namespace, of class, out, in *App, cost scrape.Special) {
	l := &ns.limited[of]
	over, under := l.change(out, in, cost)
	if out != nil && !slices.Contains(over, in) {
		ns.admit(out) // If it did not fit.
	}
	for _, a := range under {
		ns.admit(a)
	}
	for _, a := range over {
		if ns.reject(a, l.rejection.Reason) {
			x.events.Rejected(a, l.rejection, !x.open[a.kind].listed)
		}
	}
}

// Listed is true once all apps of a kind have been listed: before that, a namespace without apps may have some. It is true for
// a kind without an open store, which has no apps.
func (x *Index) Listed(kind Kind) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	store := x.open[kind]
	return store == nil || store.listed
}

// Namespaces returns the namespaces with accepted apps.
func (x *Index) Namespaces() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.scraped()
}

func (x *Index) scraped() []string {
	var names []string
	for name, ns := range x.namespaces {
		if ns.scraped() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// JudgeBy judges every app again when the criteria have changed.
func (x *Index) JudgeBy(r Rules) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rules == r {
		return
	}
	before, old := x.scraped(), x.rules
	x.rules = r
	for kind, apps := range x.apps {
		store := x.open[kind]
		for _, a := range oldestFirst(apps) {
			x.change(a, a, store.judge(old, a), store.judge(r, a))
		}
	}
	for _, name := range before {
		x.events.Affected(name)
	}
}
