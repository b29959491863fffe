// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
)

// mostDown bounds the list of apps that are down.
const mostDown = 20

// app names an annotated app.
type app struct{ kind, namespace, name string }

// confirmDown finds the apps that are down in two surveys in a row, and sends an Event to each that newly is: while pods are replaced,
// a target is down for a moment. first is true for the first answer of a source; what the status lists has been down before, and has
// had its Event.
func (r *Reconciler) confirmDown(ctx context.Context, s *settings, first bool) {
	a, standing := &r.asked, r.standing(ctx, s)
	listed, all := r.listedDown(s)
	now, confirmed, reported := map[app]bool{}, map[string][]v1alpha1.DownApp{}, map[app]bool{}
	for namespace, targets := range a.last.Namespaces {
		if !standing(namespace).Scraped {
			continue // Its monitors are about to go.
		}
		for _, one := range targets.DownApps {
			is := app{one.Kind, namespace, one.Name}
			now[is] = true
			if !a.down[is] && (!first || !listed[is]) {
				continue
			}
			confirmed[namespace] = append(confirmed[namespace],
				v1alpha1.DownApp{Kind: one.Kind, Namespace: namespace, Name: one.Name, Error: one.Error})
			reported[is] = true
			if reference := r.index.Reference(is.kind, is.namespace, is.name); reference != nil && !a.reported[is] && !listed[is] && all {
				r.send(reference, "ScrapeDown", downMessage(a.last.Source, one.Error))
			}
		}
	}
	a.down, a.confirmed, a.reported = now, confirmed, reported
}

func downMessage(source, because string) string {
	if because == "" {
		return fmt.Sprintf("%s says that a target of it is down: up is 0.", source)
	}
	return fmt.Sprintf("%s cannot scrape it: %s", source, because)
}

// listedDown are the apps that the status lists as down, and whether these are all that are. Where they are not, it is not known which
// have had their Event from before a start.
func (r *Reconciler) listedDown(s *settings) (listed map[app]bool, all bool) {
	listed = map[app]bool{}
	last := r.lastStatus(s)
	if last == nil {
		return listed, true
	}
	for _, one := range last.Down {
		listed[app{one.Kind, one.Namespace, one.Name}] = true
	}
	return listed, len(r.asked.reported) > 0 || int(last.DownTotal) <= len(last.Down)
}

// listDown is the list of the status, in which namespaces take turns, and the number of apps.
func (a *asked) listDown() ([]v1alpha1.DownApp, int32) {
	var lists [][]v1alpha1.DownApp
	total := 0
	for _, namespace := range slices.Sorted(maps.Keys(a.confirmed)) {
		apps := a.confirmed[namespace]
		lists = append(lists, apps)
		total += len(apps)
		if known := a.last.Namespaces[namespace]; len(apps) == len(known.DownApps) {
			total += known.DownTotal - len(known.DownApps) // Those that are not kept.
		}
	}
	return text.Share(lists, mostDown, func(one, other v1alpha1.DownApp) int {
		return cmp.Or(strings.Compare(one.Namespace, other.Namespace), strings.Compare(one.Kind, other.Kind),
			strings.Compare(one.Name, other.Name))
	}), int32(total)
}
