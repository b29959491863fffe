// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// A workload that has the annotation of its template is a near miss, unless a Service that is scraped selects its Pods: then nothing is
// missed. The index knows no selectors, so where a namespace has such Services, these are listed in pieces, and the labels of the
// workload's template are read. That is the same kind of look at a namespace as the one at its targets, and as rare.
const (
	// nearing marks the request for a look at the workloads of a namespace.
	nearing = "workloads"
	// mostTemplates is how many workloads of a namespace are read in one look; the others are left out of it.
	mostTemplates = 100
)

func lookAtWorkloads(namespace string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: nearing, Name: namespace}}
}

// sighting is what a look at the workloads of a namespace has found.
type sighting struct {
	// version of what was looked at, see index.Annotated; 0 before the first look.
	version uint64
	// at is when the API server was last asked.
	at time.Time
	// missed are the first of the workloads whose Pods are not scraped, and total is how many there are.
	missed []*corev1.ObjectReference
	total  int
	// err is why nothing could be found out.
	err error
}

// current is true when another look can find out no more.
func (g sighting) current(version uint64) bool { return g.version == version && g.err == nil }

// surveyWorkloads returns what is known of the workloads of each namespace that has any with the annotation of their template, and
// requests looks at those that have changed; one that needs no request is made at once. Until the first look after a start it is what
// the status lists.
func (r *Reconciler) surveyWorkloads(ctx context.Context, s *settings, scraped func(string) index.Namespace) map[string]sighting {
	known, requested, versions := map[string]sighting{}, 0, r.index.AnnotatedVersions()
	for name, last := range r.sightings {
		switch {
		case versions[name] != 0:
		case r.waitToSee(last) == 0:
			delete(r.sightings, name)
		default: // Who takes an annotation away and puts it back is not looked at more often for it.
			r.sightings[name] = sighting{at: last.at}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if s.off || !scraped(name).Scraped {
			continue
		}
		last, _ := r.lastSighting(s, name)
		if s.retain || last.current(versions[name]) {
			known[name] = last
			continue
		}
		found := r.index.Annotated(name)
		if found.Services == 0 {
			known[name] = r.sight(ctx, s, name, found)
			continue
		}
		known[name] = last.still(found)
		r.queue.AddAfter(lookAtWorkloads(name), max(r.waitToSee(last), lookApart*time.Duration(requested)))
		requested++
	}
	return known
}

// still returns what is left of a sighting: an annotation that was moved to its template is no near miss from then on.
func (g sighting) still(found index.Annotated) sighting {
	was := len(g.missed)
	g.missed = slices.DeleteFunc(slices.Clone(g.missed), func(missed *corev1.ObjectReference) bool {
		return !slices.ContainsFunc(found.Workloads, func(workload *corev1.ObjectReference) bool { return same(missed, workload) })
	})
	g.total -= was - len(g.missed)
	return g
}

// same is true for references to one workload; one from the status has no UID.
func same(known, workload *corev1.ObjectReference) bool {
	return known.Kind == workload.Kind && known.Name == workload.Name && (known.UID == "" || known.UID == workload.UID)
}

// lastSighting returns what the last look has found: before the first one after a start, what the status lists.
func (r *Reconciler) lastSighting(s *settings, name string) (last sighting, looked bool) {
	if last, looked = r.sightings[name]; looked {
		return last, true
	}
	if before := s.pipeline.Status.Scrape; before != nil {
		for _, listed := range before.NearMisses {
			if listed.Namespace == name && slices.Contains(index.Workloads(), index.Kind(listed.Kind)) {
				last.missed = append(last.missed, &corev1.ObjectReference{Kind: listed.Kind, Namespace: name, Name: listed.Name})
			}
		}
	}
	last.total = len(last.missed)
	return last, false
}

// lookIntoWorkloads finds out which workloads of a namespace are near misses, if that may have changed.
func (r *Reconciler) lookIntoWorkloads(ctx context.Context, name string) (ctrl.Result, error) {
	s := r.common.Load()
	if s == nil || s.retain || s.off || !r.allListed(s.follows()) {
		return ctrl.Result{}, nil
	}
	ns, err := r.namespaceOf(ctx, name)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	found := r.index.Annotated(name)
	last, _ := r.lastSighting(s, name)
	if found.Version == 0 || !s.scrapes(ns.Labels) || last.current(found.Version) {
		return ctrl.Result{}, nil
	}
	if wait := r.waitToSee(last); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.sight(ctx, s, name, found)
	r.recount()
	return ctrl.Result{}, nil
}

// waitToSee returns how long to wait for the next look after the last one.
func (r *Reconciler) waitToSee(last sighting) time.Duration {
	if last.at.IsZero() {
		return 0
	}
	return max(0, r.lookEvery-r.clock.Since(last.at))
}

// sight looks at the workloads of a namespace.
func (r *Reconciler) sight(ctx context.Context, s *settings, name string, found index.Annotated) sighting {
	last, looked := r.lastSighting(s, name)
	now := sighting{version: found.Version, at: last.at}
	if found.Services > 0 {
		now.at = r.clock.Now() // Only what costs requests has to wait for the next time.
	}
	missed, err := r.missed(ctx, name, found)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "It is not known whether annotated workloads of a namespace are scraped", "namespace", name)
		now.missed, now.total, now.err = last.missed, last.total, err
	} else {
		now.missed, now.total = missed[:min(len(missed), mostBehind)], len(missed)
		if before := s.pipeline.Status.Scrape; looked || before == nil || int(before.NearMissesTotal) <= len(before.NearMisses) {
			r.announceMissed(s, last.missed, now.missed)
		}
	}
	r.sightings[name] = now
	return now
}

// missed returns the workloads whose Pods no scraped Service selects.
func (r *Reconciler) missed(ctx context.Context, namespace string, found index.Annotated) ([]*corev1.ObjectReference, error) {
	if found.Services == 0 {
		return found.Workloads, nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestLook)
	defer cancel()
	selectors, err := r.scrapedSelectors(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var missed []*corev1.ObjectReference
	for _, workload := range found.Workloads[:min(len(found.Workloads), mostTemplates)] {
		template, err := r.pieces.Template(ctx, index.Kind(workload.Kind), namespace, workload.Name)
		switch {
		case apierrors.IsNotFound(err):
			continue // An event follows.
		case err != nil:
			return nil, fmt.Errorf("read %s %s/%s: %w", workload.Kind, namespace, workload.Name, err)
		}
		if !slices.ContainsFunc(selectors, func(selector labels.Selector) bool { return selector.Matches(labels.Set(template)) }) {
			missed = append(missed, workload)
		}
	}
	return missed, nil
}

// scrapedSelectors returns the selectors of the Services of a namespace that are scraped. Of more than can be evaluated it returns one
// that selects everything: what is not known is not reported.
func (r *Reconciler) scrapedSelectors(ctx context.Context, namespace string) ([]labels.Selector, error) {
	var selectors []labels.Selector
	bytes := 0
	for resume, first := "", true; first || resume != ""; first = false {
		list, err := r.pieces.Services(ctx, namespace, resume)
		if err != nil {
			return nil, fmt.Errorf("list Services of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			service := &list.Items[i]
			if _, accepted := r.index.Accepted(namespace, service.Name); !accepted || len(service.Spec.Selector) == 0 {
				continue
			}
			if bytes += len(labels.FormatLabels(service.Spec.Selector)); bytes > mostSelectors {
				return []labels.Selector{labels.Everything()}, nil
			}
			selectors = append(selectors, labels.SelectorFromValidatedSet(service.Spec.Selector))
		}
		resume = list.Continue
	}
	return selectors, nil
}

// announceMissed sends an Event to each workload that is newly found.
func (r *Reconciler) announceMissed(s *settings, before, now []*corev1.ObjectReference) {
	for _, workload := range now {
		if !slices.ContainsFunc(before, func(known *corev1.ObjectReference) bool { return same(known, workload) }) {
			r.send(workload, nearMiss, s.nearMissOf(workload))
		}
	}
}

// nearMiss is the reason of the Events.
const nearMiss = "ScrapeNearMiss"

func (s *settings) nearMissOf(workload *corev1.ObjectReference) string {
	return scrape.NearMissOfWorkload(s.config.Prefix, workload.Kind, s.config.Pods)
}

// listed are the workloads as the status lists them.
func (g sighting) listed(s *settings) []v1alpha1.RejectedApp {
	var listed []v1alpha1.RejectedApp
	for _, workload := range g.missed {
		listed = append(listed, v1alpha1.RejectedApp{Kind: workload.Kind, Namespace: workload.Namespace, Name: workload.Name,
			Reason: s.nearMissOf(workload)})
	}
	return listed
}
