// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// The index does not know which Pods a Service selects: selectors and labels are as long as users like. Where that can matter, because
// a namespace has enough Pods for the limit of targets, or Pods in the network of their node, its Services and Pods are listed in
// pieces, of which counts are kept. Unlike EndpointSlices, the operator may read both anyway.
const (
	// lookApart spaces the looks at several namespaces: monitors are written by the same worker.
	lookApart = time.Second
	// longestLook bounds one look. What it has counted until then is a lower bound.
	longestLook = 5 * time.Second
)

// looking marks the request for a look at a namespace.
const looking = "targets"

func lookAt(namespace string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: looking, Name: namespace}}
}

// look is what the Services of a namespace select.
type look struct {
	// version of what was looked at, see index.Bound; 0 before the first look. hosts says whether Pods in the network of their node
	// were allowed.
	version uint64
	hosts   bool
	at      time.Time
	// targets of the scrape pool that has most; there may be more where partly is true.
	targets int
	partly  bool
	// behind are Services with Pods behind them that are not scraped.
	behind []v1alpha1.RejectedApp
	// near is what the status said of the limit before a start, until it is known.
	near string
	// err is why nothing could be found out.
	err error
}

// near is the number of targets from which on it is said that the limit comes near; 0 where there is no limit.
func (s *settings) near() int { return int((s.config.TargetLimit*nearly + 99) / 100) }

// matters is true for a namespace of which it has to be known what its Services select.
func matters(s *settings, ns *metav1.PartialObjectMetadata, bound index.Bound) bool {
	if bound.Version == 0 {
		return false
	}
	hosts := s.scrapesHosts(ns.Labels)
	if !bound.Known {
		return s.near() > 0 || !hosts
	}
	return bound.Hosts > 0 && !hosts || s.near() > 0 && bound.PerPod*bound.Pods >= s.near()
}

// current is true when another look at a namespace can find out no more.
func (l look) current(bound index.Bound, hosts bool) bool {
	return l.version == bound.Version && l.hosts == hosts && l.err == nil
}

// survey returns what is known of each namespace of which it matters what its Services select, and requests looks at those that have
// changed. Until the first look after a start it is what the status lists.
func (r *Reconciler) survey(ctx context.Context, s *settings) map[string]look {
	known, requested := map[string]look{}, 0
	for _, name := range r.index.Namespaces() {
		ns, err := r.namespaceOf(ctx, name)
		if err != nil || s.off || !s.scrapes(ns.Labels) {
			continue // One that cannot be read is about to go.
		}
		bound := r.index.Bound(name)
		if !matters(s, ns, bound) {
			continue
		}
		last, _ := r.lastLook(s, name)
		known[name] = last
		if s.retain || last.current(bound, s.scrapesHosts(ns.Labels)) {
			continue
		}
		wait := lookApart * time.Duration(requested)
		if !last.at.IsZero() {
			wait = max(wait, r.lookEvery-r.clock.Since(last.at))
		}
		requested++
		r.queue.AddAfter(lookAt(name), wait)
	}
	return known
}

// lastLook returns what the last look at a namespace has found: before the first one after a start, what the status lists.
func (r *Reconciler) lastLook(s *settings, name string) (last look, looked bool) {
	if last, looked = r.looks[name]; looked {
		return last, true
	}
	return look{behind: listedBehind(s, name), near: listedNear(s, name)}, false
}

// lookInto finds out what the Services of a namespace select, if that has changed and matters.
func (r *Reconciler) lookInto(ctx context.Context, name string) (ctrl.Result, error) {
	s := r.common.Load()
	if s == nil || s.retain || s.off || !r.listed(s) {
		return ctrl.Result{}, nil
	}
	ns, err := r.namespaceOf(ctx, name)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	bound, hosts := r.index.Bound(name), s.scrapesHosts(ns.Labels)
	last, looked := r.lastLook(s, name)
	if !s.scrapes(ns.Labels) || !matters(s, ns, bound) || last.current(bound, hosts) {
		return ctrl.Result{}, nil
	}
	if wait := r.lookEvery - r.clock.Since(last.at); !last.at.IsZero() && wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	now := look{version: bound.Version, hosts: hosts, at: r.clock.Now()}
	counted, err := r.countTargets(ctx, s, name, hosts, bound)
	switch {
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "It is not known what the Services of a namespace select", "namespace", name)
		now.targets, now.partly, now.behind, now.near, now.err = last.targets, last.partly, last.behind, last.near, err
	default:
		now.targets, now.partly = counted.most(), counted.partly
		now.behind = counted.behind(name)
		if looked || !allPlacesTaken(s) {
			r.announceBehind(name, last.behind, now.behind, counted.uids)
		}
	}
	r.looks[name] = now
	r.recount()
	return ctrl.Result{}, nil
}

// unknown returns the missing permission for which it is not known what Services select; nil where there is none. Any other error is
// one of the moment.
func (r *Reconciler) unknown() error {
	for _, last := range r.looks {
		if last.err != nil && apierrors.IsForbidden(last.err) {
			return last.err
		}
	}
	return nil
}

// listedBehind are the Services that the status lists for what is behind them.
func listedBehind(s *settings, namespace string) []v1alpha1.RejectedApp {
	var listed []v1alpha1.RejectedApp
	if before := s.pipeline.Status.Scrape; before != nil {
		for _, app := range before.Rejected {
			if app.Namespace == namespace && app.Reason == scrape.BehindInHostNetwork {
				listed = append(listed, app)
			}
		}
	}
	return listed
}

// listedNear is what the status says of a namespace that comes near the limit of targets; empty where it says nothing.
func listedNear(s *settings, namespace string) string {
	if before := s.pipeline.Status.Scrape; before != nil {
		for _, listed := range before.NotScraped {
			if listed.Namespace == namespace && listed.Reason == v1alpha1.ReasonTargetLimit {
				return listed.Message
			}
		}
	}
	return ""
}

// allPlacesTaken is true where the status of before a start may have had no place for what was rejected.
func allPlacesTaken(s *settings) bool {
	before := s.pipeline.Status.Scrape
	return before != nil && int(before.RejectedTotal) > len(before.Rejected)
}

// announceBehind sends an Event to each Service that is newly found not to be scraped.
func (r *Reconciler) announceBehind(namespace string, before, now []v1alpha1.RejectedApp, uids map[string]types.UID) {
	for _, app := range now {
		if !slices.Contains(before, app) {
			r.send(&corev1.ObjectReference{APIVersion: "v1", Kind: string(index.Service), Namespace: namespace, Name: app.Name,
				UID: uids[app.Name]}, "ScrapeRejected", app.Reason)
		}
	}
}
