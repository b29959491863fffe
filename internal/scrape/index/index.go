// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package index keeps what monitors depend on of the annotated Services and Pods of a cluster. An event about an app costs
// work for that app only: sums are kept up to date, not counted again.
package index

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
)

// mostRejected bounds the list of rejected apps in the status.
const mostRejected = 20

// Kind of apps.
type Kind string

// Kinds of apps.
const (
	Service Kind = "Service"
	Pod     Kind = "Pod"
)

// Rules are the criteria of the spec that apps are judged by.
type Rules struct {
	// Prefix of the annotations.
	Prefix string
	// Selectorless allows Services without a selector.
	Selectorless bool
	// Services and Pods are true when annotations of that kind are honored.
	Services, Pods bool
	// PerService is true when each Service has a monitor of its own.
	PerService bool
}

// Events are called on changes, under the index's lock: they must not block, and not call the index. All of them must be set.
type Events struct {
	// Rejected is called for an app whose rejection is new. first is true for what is found in the first list of its kind: that
	// may have been rejected long before.
	Rejected func(app *App, rejection *scrape.Rejection, first bool)
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
	// open are the stores that are being filled, at most one of each kind.
	open       map[Kind]*Store
	namespaces map[string]*namespace
	// rejected apps, sorted.
	rejected []v1alpha1.RejectedApp
}

// namespace is what a namespace's monitors depend on.
type namespace struct {
	// plain is the number of accepted Services of which relabelings see everything.
	plain int
	// special are the accepted Services of which they do not, and services are all accepted ones, by name.
	special, services map[string]*App
	// pods is the number of accepted Pods.
	pods int
}

// New returns an empty index, which neither rejects nor accepts an app before JudgeBy.
func New(events Events) *Index {
	return &Index{
		events:     events,
		namespaces: map[string]*namespace{},
		apps:       map[Kind]map[string]*App{Service: {}, Pod: {}},
		open:       map[Kind]*Store{},
	}
}

// verdict is the result of judging an app.
type verdict struct {
	accepted bool
	// special is true for a Service of which relabelings do not see everything.
	special bool
	// rejection is why the app is not scraped although its annotations request it; nil where they do not.
	rejection *scrape.Rejection
}

// judge returns the verdict about an app; nil is no app.
func (r Rules) judge(a *App) verdict {
	if a == nil || !scrape.Wanted(r.Prefix, a.annotations(r.Prefix)) {
		return verdict{}
	}
	if a.kind == Pod {
		if !r.Pods {
			return verdict{}
		}
		_, rejection := scrape.ParsePod(r.Prefix, a.annotations(r.Prefix))
		return verdict{accepted: rejection == nil, rejection: rejection}
	}
	if !r.Services {
		return verdict{}
	}
	special, rejection := scrape.Classify(a.service(r.Prefix), r.Prefix, r.Selectorless)
	return verdict{accepted: rejection == nil, special: special, rejection: rejection}
}

// change takes the old and the new verdict about an app.
func (x *Index) change(known *App, old, now verdict) {
	if old == (verdict{}) && now == (verdict{}) {
		return
	}
	ns := x.namespaces[known.namespace]
	if ns == nil {
		ns = &namespace{special: map[string]*App{}, services: map[string]*App{}}
		x.namespaces[known.namespace] = ns
	}
	hadPlain, hadPods := ns.plain > 0, ns.pods > 0
	x.count(ns, known, old, -1)
	x.count(ns, known, now, 1)
	if known.kind == Service && now.accepted {
		ns.services[known.name] = known
	}
	if now.special {
		ns.special[known.name] = known
	}
	if ns.plain == 0 && ns.pods == 0 && len(ns.special) == 0 {
		delete(x.namespaces, known.namespace)
	}
	each := x.rules.PerService && (old.accepted || now.accepted) && known.kind == Service
	if each || hadPlain != (ns.plain > 0) || hadPods != (ns.pods > 0) || old.special || now.special {
		x.events.Affected(known.namespace)
	}
	x.events.Counted()
	if now.rejection != nil && (old.rejection == nil || *old.rejection != *now.rejection) {
		x.events.Rejected(known, now.rejection, !x.open[known.kind].listed)
	}
}

// count adds a verdict to the sums, or subtracts it.
func (x *Index) count(ns *namespace, a *App, v verdict, by int) {
	switch {
	case v.rejection != nil:
		x.reject(a, v.rejection.Reason, by > 0)
	case !v.accepted:
	case a.kind == Pod:
		ns.pods += by
	default:
		if !v.special {
			ns.plain += by
		}
		delete(ns.special, a.name)
		delete(ns.services, a.name)
	}
}

func (x *Index) reject(a *App, reason string, add bool) {
	entry := v1alpha1.RejectedApp{Kind: string(a.kind), Namespace: a.namespace, Name: a.name, Reason: reason}
	at, found := slices.BinarySearchFunc(x.rejected, entry, func(one, other v1alpha1.RejectedApp) int {
		return cmp.Or(strings.Compare(one.Namespace, other.Namespace),
			strings.Compare(one.Kind, other.Kind), strings.Compare(one.Name, other.Name))
	})
	switch {
	case add && !found:
		x.rejected = slices.Insert(x.rejected, at, entry)
	case add:
		x.rejected[at] = entry
	case found:
		x.rejected = slices.Delete(x.rejected, at, at+1)
	}
}

// View is what a namespace's monitors depend on.
type View struct {
	// Plain is true when there is a Service of which relabelings see everything.
	Plain bool
	// Special are the Services of which they do not, and Services all of them, by name; Services only where each has a monitor
	// of its own.
	Special, Services []scrape.App
	// Pods is true when there is an annotated Pod.
	Pods bool
}

// View returns what the monitors of a namespace depend on.
func (x *Index) View(name string) View {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil {
		return View{}
	}
	v := View{Plain: ns.plain > 0, Pods: ns.pods > 0, Special: x.list(ns.special)}
	if x.rules.PerService {
		v.Services = x.list(ns.services)
	}
	return v
}

// Has returns which kinds of accepted apps a namespace has.
func (x *Index) Has(name string) (services, pods bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	return ns != nil && len(ns.services) > 0, ns != nil && ns.pods > 0
}

func (x *Index) list(apps map[string]*App) []scrape.App {
	var all []scrape.App
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		all = append(all, apps[name].service(x.rules.Prefix))
	}
	return all
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
	return slices.Sorted(maps.Keys(x.namespaces))
}

// JudgeBy judges every app again when the criteria have changed.
func (x *Index) JudgeBy(r Rules) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rules == r {
		return
	}
	before, old := slices.Collect(maps.Keys(x.namespaces)), x.rules
	x.rules = r
	for _, apps := range x.apps {
		for _, a := range apps {
			x.change(a, old.judge(a), r.judge(a))
		}
	}
	for _, name := range before {
		x.events.Affected(name)
	}
}

// Status counts the apps of the wanted namespaces. Those of the others are known, but not scraped.
func (x *Index) Status(wanted func(namespace string) bool) v1alpha1.ScrapeStatus {
	x.mu.Lock()
	defer x.mu.Unlock()
	var status v1alpha1.ScrapeStatus
	for name, ns := range x.namespaces {
		if wanted(name) {
			status.Services += int32(ns.plain + len(ns.special))
			status.Pods += int32(ns.pods)
		}
	}
	for _, app := range x.rejected {
		if !wanted(app.Namespace) {
			continue
		}
		status.RejectedTotal++
		if len(status.Rejected) < mostRejected {
			status.Rejected = append(status.Rejected, app)
		}
	}
	return status
}
