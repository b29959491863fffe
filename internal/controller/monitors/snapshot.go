// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// Snapshot is what the report says of scraping. It is never changed once it is published.
type Snapshot struct {
	// Of is the digest of what it was computed from: see the function Of.
	Of string
	// State is the condition ScrapeReady, Status counts the apps and monitors.
	State  State
	Status v1alpha1.ScrapeStatus
}

// Of is the digest of what a snapshot depends on of a pipeline: a snapshot of another value is about an earlier spec.
func Of(pipeline *v1alpha1.MetricsPipeline) string {
	text, err := json.Marshal(struct {
		UID        types.UID
		Scrape     v1alpha1.ScrapeSpec
		Prometheus v1alpha1.PrometheusSpec
	}{pipeline.UID, pipeline.Spec.Scrape, pipeline.Spec.Prometheus})
	if err != nil {
		return "" // A spec that was read can be written.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Snapshot returns the last one; nil before the first, and while there is no pipeline.
func (r *Reconciler) Snapshot() *Snapshot { return r.snapshot.Load() }

// publish computes the snapshot, and announces it when it differs from the last one. It keeps the last one as long as a first
// list of apps is on its way: a restart must not count fewer apps than there are.
func (r *Reconciler) publish(ctx context.Context, s *settings) {
	if !r.allListed(s.follows()) {
		return
	}
	now, reported := &Snapshot{Of: Of(s.pipeline)}, r.standing(ctx, s)
	known, workloads := r.survey(ctx, s), r.surveyWorkloads(ctx, s, reported)
	now.Status = r.index.Status(func(name string) index.Namespace {
		is := reported(name)
		is.Behind = known[name].behind
		is.Workloads, is.WorkloadsTotal = workloads[name].listed(s), workloads[name].total
		return is
	})
	r.setTargets(s, &now.Status)
	var err error
	switch {
	case s.plain:
		var configured []string
		configured, err = r.shards.namespaces(ctx)
		now.Status.Monitors = int32(len(configured))
	case s.served:
		now.Status.Monitors, err = r.count(ctx)
	}
	unread := r.listProblems(ctx, s, known, now)
	now.State = r.state(s, errors.Join(err, unread, r.unknown()))
	before := r.snapshot.Load()
	switch {
	case before == nil:
		r.queue.Add(asking)
	case before.Status.Services != now.Status.Services, before.Status.Pods != now.Status.Pods:
		r.unsettle()
	}
	if before != nil && equality.Semantic.DeepEqual(before, now) {
		return
	}
	if before != nil && before.Of == now.Of {
		// Whatever brought the request, such as a Namespace that gets another label: it must not set the rate of reports.
		if paced := !r.reports.AllowN(r.clock.Now(), 1); paced && before.State == now.State {
			r.recount()
			return
		}
	}
	r.snapshot.Store(now)
	r.announce()
}

// rejectedApps and nearMisses are lists of the status, and how many there are in all.
func rejectedApps(s *v1alpha1.ScrapeStatus) ([]v1alpha1.RejectedApp, int32) {
	return s.Rejected, s.RejectedTotal
}

func nearMisses(s *v1alpha1.ScrapeStatus) ([]v1alpha1.RejectedApp, int32) {
	return s.NearMisses, s.NearMissesTotal
}

// reported is true for an app that has its Event from before a start, or where that cannot be known. The list of the status of then
// has the first such apps in the namespaces that are not left out, whose reasons an upgrade may have reworded.
func (r *Reconciler) reported(app *index.App, list func(*v1alpha1.ScrapeStatus) ([]v1alpha1.RejectedApp, int32)) bool {
	s, this := r.common.Load(), app.Reference()
	if s == nil {
		return true // The pipeline is gone.
	}
	before := s.pipeline.Status.Scrape
	if before == nil {
		return false
	}
	all, total := list(before)
	return int(total) > len(all) || !r.standing(r.reflectors.ctx, s)(this.Namespace).Scraped ||
		slices.ContainsFunc(all, func(listed v1alpha1.RejectedApp) bool {
			return listed.Kind == this.Kind && listed.Namespace == this.Namespace && listed.Name == this.Name
		})
}

// leftOut is true for an app of a namespace that is not scraped at all, and for a Pod in the network of its node whose namespace may
// have such Pods.
func (r *Reconciler) leftOut(app *index.App, rejection *scrape.Rejection) bool {
	s := r.common.Load()
	if s == nil {
		return true // The pipeline is gone.
	}
	is := r.standing(r.reflectors.ctx, s)(app.Reference().Namespace)
	return !is.Scraped || is.HostNetwork && rejection == scrape.InHostNetwork
}

// withdraw forgets the snapshot.
func (r *Reconciler) withdraw() {
	if r.snapshot.Swap(nil) != nil {
		r.announce()
	}
}

// state returns the condition. err is what else failed.
func (r *Reconciler) state(s *settings, err error) State {
	failed := func(format string, args ...any) State {
		return State{Reason: v1alpha1.ReasonMonitorsFailed, Message: fmt.Sprintf(format, args...)}
	}
	if s.retain {
		return s.state
	}
	for _, kind := range s.follows() {
		if err := r.reflectors.err(kind); err != nil && !err.Pending {
			return failed("Annotated apps are not followed: %v.", err)
		}
	}
	if failure := r.firstFailure(); failure != "" {
		return failed("%s", failure)
	}
	if err != nil {
		return failed("It cannot be said whether annotated apps are scraped: %v.", err)
	}
	return s.state
}

// count returns the number of monitors.
func (r *Reconciler) count(ctx context.Context) (int32, error) {
	var sum int32
	for _, kind := range kinds.Monitors {
		monitors := &metav1.PartialObjectMetadataList{}
		monitors.SetGroupVersionKind(kind.GroupVersionKind)
		if err := r.monitors.List(ctx, monitors); err != nil {
			return sum, fmt.Errorf("list %ss: %w", kind.Kind, err)
		}
		sum += int32(len(monitors.Items))
	}
	return sum, nil
}

// namespaceOf reads a Namespace.
func (r *Reconciler) namespaceOf(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(kinds.Namespace.GroupVersionKind)
	if err := r.client.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
		return nil, fmt.Errorf("read Namespace %s: %w", name, err)
	}
	return ns, nil
}

// standing returns how the apps of a namespace stand, which is remembered for as long as one count takes.
func (r *Reconciler) standing(ctx context.Context, s *settings) func(string) index.Namespace {
	known := map[string]index.Namespace{}
	return func(name string) index.Namespace {
		is, looked := known[name]
		if !looked {
			if ns, err := r.namespaceOf(ctx, name); err == nil { // One that cannot be read is about to go.
				is = index.Namespace{Scraped: s.scrapes(ns.Labels), HostNetwork: s.scrapesHosts(ns.Labels)}
			}
			known[name] = is
		}
		return is
	}
}
