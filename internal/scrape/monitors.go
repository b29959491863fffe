// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// group is the apps that can share an endpoint of a monitor.
type group struct {
	params     string
	anyAddress bool
	slow       bool
	// part is what the endpoint has of lists of ports: ofList all but the undeclared ones, and what follows one of these.
	part int
}

const ofList = 1

// ofAll is true for the endpoint that takes every app that no other has.
func (g group) ofAll() bool { return g == group{slow: g.slow} }

// entry is an app and how its port is found.
type entry struct {
	name   string
	choice choice
}

// groupsOf sorts apps into endpoints. A list of ports has an app in several.
func groupsOf(apps []App, config Config) map[group][]entry {
	groups := map[group][]entry{}
	for _, app := range apps {
		picked, rejection := classify(app, config.Prefix, config.Selectorless)
		if rejection != nil || config.Schemes == OnlyHTTP && picked.https || config.Schemes == OnlyHTTPS && !picked.https {
			continue
		}
		key := picked.group()
		if picked.listed == nil {
			groups[key] = append(groups[key], entry{app.Name, picked})
			continue
		}
		// Also where each of its ports is undeclared: no other endpoint must have the app.
		key.part = ofList
		groups[key] = append(groups[key], entry{app.Name, picked})
		for _, number := range picked.listed.undeclared {
			key.part++
			groups[key] = append(groups[key], entry{app.Name, choice{wanted: wantRewrite + number}})
		}
	}
	for _, entries := range groups {
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	}
	return groups
}

// ServiceMonitor returns the one monitor for the annotated Services of a namespace. apps must have the special ones, of which
// relabelings cannot see everything; every other one is scraped as well.
func ServiceMonitor(namespace, name string, apps []App, config Config) *monitoringv1.ServiceMonitor {
	groups := groupsOf(apps, config)
	elsewhere := []string{}
	for key, entries := range groups {
		if !key.ofAll() {
			elsewhere = append(elsewhere, names(entries)...)
		}
	}
	slices.Sort(elsewhere)
	elsewhere = slices.Compact(elsewhere)
	for slow, wanted := range map[bool]bool{false: true, true: config.ServicesSeen.Slow} {
		if key := (group{slow: slow}); wanted && groups[key] == nil {
			groups[key] = nil
		}
	}
	var endpoints []monitoringv1.Endpoint
	for _, key := range slices.SortedFunc(maps.Keys(groups), compareGroups) {
		if key.ofAll() {
			endpoints = append(endpoints, serviceEndpoint(config, key, nil, groups[key], elsewhere))
		} else {
			endpoints = append(endpoints, serviceEndpoint(config, key, groups[key], groups[key], nil))
		}
	}
	return serviceMonitor(namespace, name, config, endpoints)
}

// ServiceMonitorFor returns the monitor for one Service alone, or nil where it is refused.
func ServiceMonitorFor(app App, name string, config Config) *monitoringv1.ServiceMonitor {
	if config.OwnHTTPS() {
		config.Schemes = OnlyHTTP
		if https(config.Prefix, app.Annotations) {
			config.Schemes = OnlyHTTPS
		}
	}
	groups := groupsOf([]App{app}, config)
	if len(groups) == 0 {
		return nil
	}
	var endpoints []monitoringv1.Endpoint
	for _, key := range slices.SortedFunc(maps.Keys(groups), compareGroups) {
		endpoints = append(endpoints, serviceEndpoint(config, key, groups[key], groups[key], nil))
	}
	return serviceMonitor(app.Namespace, name, config, endpoints)
}

// compareGroups orders the endpoints. That of most apps is the first: Prometheus knows an endpoint by its place.
func compareGroups(a, b group) int {
	return cmp.Or(cmp.Compare(a.part, b.part), compareBool(a.slow, b.slow), compareBool(a.anyAddress, b.anyAddress),
		cmp.Compare(a.params, b.params))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func names(entries []entry) []string {
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.name)
	}
	return all
}

// alternatives matches exactly the given names.
func alternatives(all []string) string {
	quoted := make([]string, 0, len(all))
	for _, name := range all {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return strings.Join(quoted, "|")
}
