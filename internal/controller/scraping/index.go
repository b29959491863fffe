// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scraping watches annotated Services and Pods and keeps a bounded number of monitors for them. An event about an
// app costs work for that app alone: what is known of a namespace is kept up to date, not counted again.
package scraping

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

// Kinds of apps.
const (
	kindService = "Service"
	kindPod     = "Pod"
)

// rules are what a verdict about an app depends on beside the app.
type rules struct {
	prefix         string
	selectorless   bool
	services, pods bool
	// perService is true when each Service has a monitor of its own.
	perService bool
}

// index is what is known of the apps, by namespace. The stores that the reflectors fill keep it up to date.
type index struct {
	// told is called for an app whose rejection is new, affected for a namespace whose monitors may have to change, and
	// counted when the sums may have changed. All are called under the lock and must not block.
	told     func(*app, *scrape.Rejection)
	affected func(namespace string)
	counted  func()

	mu         sync.Mutex
	rules      rules
	apps       map[string]map[string]*app // by kind and by namespace/name
	synced     map[string]bool            // kinds of which everything has been seen
	namespaces map[string]*namespace
	// rejected apps, sorted.
	rejected []v1alpha1.RejectedApp
}

// namespace is what a namespace's monitors depend on.
type namespace struct {
	// plain is the number of accepted Services of which relabelling can tell everything by itself.
	plain int
	// special are those of the accepted Services of which it cannot, and services are all of them, by name.
	special, services map[string]*app
	// pods is the number of accepted Pods.
	pods int
}

func newIndex() *index {
	return &index{
		namespaces: map[string]*namespace{},
		apps:       map[string]map[string]*app{kindService: {}, kindPod: {}},
		synced:     map[string]bool{},
	}
}

// verdict is what becomes of an app.
type verdict struct {
	accepted bool
	// special is true for a Service of which relabelling cannot tell everything.
	special bool
	// rejection is why the app is not scraped although it wants to be; nil where it does not want to be.
	rejection *scrape.Rejection
}

// judge applies the rules to an app.
func (r rules) judge(a *app) verdict {
	if a == nil || !scrape.Wanted(r.prefix, a.annotations(r.prefix)) {
		return verdict{}
	}
	if a.kind == kindPod {
		if !r.pods {
			return verdict{}
		}
		_, rejection := scrape.ParsePod(r.prefix, a.annotations(r.prefix))
		return verdict{accepted: rejection == nil, rejection: rejection}
	}
	if !r.services {
		return verdict{}
	}
	special, rejection := scrape.Classify(a.service(r.prefix), r.prefix, r.selectorless)
	return verdict{accepted: rejection == nil, special: special, rejection: rejection}
}

// change takes an app's old and new form, of which either may be nil.
func (x *index) change(before, after *app) {
	known := after
	if known == nil {
		known = before
	}
	old, now := x.rules.judge(before), x.rules.judge(after)
	if old == (verdict{}) && now == (verdict{}) {
		return
	}
	ns := x.namespaces[known.namespace]
	if ns == nil {
		ns = &namespace{special: map[string]*app{}, services: map[string]*app{}}
		x.namespaces[known.namespace] = ns
	}
	had := view{plain: ns.plain > 0, pods: ns.pods > 0}
	x.count(ns, known, old, -1)
	x.count(ns, known, now, 1)
	if known.kind == kindService && now.accepted {
		ns.services[known.name] = after
	}
	if now.special {
		ns.special[known.name] = after
	}
	if ns.plain == 0 && ns.pods == 0 && len(ns.special) == 0 {
		delete(x.namespaces, known.namespace)
	}
	each := x.rules.perService && (old.accepted || now.accepted) && known.kind == kindService
	if each || had.plain != (ns.plain > 0) || had.pods != (ns.pods > 0) || old.special || now.special {
		x.affected(known.namespace)
	}
	x.counted()
	if now.rejection != nil && (old.rejection == nil || *old.rejection != *now.rejection) {
		x.told(known, now.rejection)
	}
}

// count adds a verdict to the sums, or takes it away.
func (x *index) count(ns *namespace, a *app, v verdict, by int) {
	switch {
	case v.rejection != nil:
		x.reject(a, v.rejection.Reason, by > 0)
	case !v.accepted:
	case a.kind == kindPod:
		ns.pods += by
	default:
		if !v.special {
			ns.plain += by
		}
		delete(ns.special, a.name)
		delete(ns.services, a.name)
	}
}

func (x *index) reject(a *app, reason string, add bool) {
	entry := v1alpha1.RejectedApp{Kind: a.kind, Namespace: a.namespace, Name: a.name, Reason: reason}
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

// view is what a namespace's monitors depend on.
type view struct {
	// plain is true when there is a Service of which relabelling can tell everything by itself.
	plain bool
	// special are the Services of which it cannot, and services all of them, by name; services only where each has a
	// monitor of its own.
	special, services []scrape.App
	// pods is true when there is an annotated Pod.
	pods bool
}

// of returns what the monitors of a namespace depend on.
func (x *index) of(name string) view {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil {
		return view{}
	}
	v := view{plain: ns.plain > 0, pods: ns.pods > 0, special: x.list(ns.special)}
	if x.rules.perService {
		v.services = x.list(ns.services)
	}
	return v
}

// has says which kinds of accepted apps a namespace has.
func (x *index) has(name string) (services, pods bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	return ns != nil && len(ns.services) > 0, ns != nil && ns.pods > 0
}

func (x *index) list(apps map[string]*app) []scrape.App {
	var all []scrape.App
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		all = append(all, apps[name].service(x.rules.prefix))
	}
	return all
}

// ready is true once everything has been seen: before, a namespace without apps may be one whose apps are still to come.
func (x *index) ready() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.synced[kindService] && x.synced[kindPod]
}

// names returns the namespaces with accepted apps.
func (x *index) names() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Sorted(maps.Keys(x.namespaces))
}

// judgeBy judges every app again when the rules have changed.
func (x *index) judgeBy(r rules) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rules == r {
		return
	}
	before := slices.Collect(maps.Keys(x.namespaces))
	x.rules, x.namespaces = r, map[string]*namespace{}
	x.rejected = nil
	for _, apps := range x.apps {
		for _, a := range apps {
			x.change(nil, a)
		}
	}
	for _, name := range before {
		x.affected(name)
	}
}

// status counts the apps of the namespaces that are wanted. The others' are known, but nobody scrapes them.
func (x *index) status(wanted func(namespace string) bool) v1alpha1.ScrapeStatus {
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
