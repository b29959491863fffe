// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/prometheus"
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
	if !r.listed(s) {
		return
	}
	now := &Snapshot{Of: Of(s.pipeline)}
	now.Status = r.index.Status(r.scrapedBy(ctx, s))
	var err error
	if s.served {
		now.Status.Monitors, err = r.count(ctx)
	}
	now.State = r.state(ctx, s, err)
	if before := r.snapshot.Swap(now); before == nil || !equality.Semantic.DeepEqual(before, now) {
		r.announce()
	}
}

// reported is true for a rejected app that has its Event from before a start, or where that cannot be known. The status of then
// lists the first of the rejected apps in the namespaces that are not left out, whose reasons an upgrade may have reworded.
func (r *Reconciler) reported(app *index.App) bool {
	s, this := r.common.Load(), app.Reference()
	if s == nil {
		return true // The pipeline is gone.
	}
	before := s.pipeline.Status.Scrape
	if before == nil {
		return false
	}
	return int(before.RejectedTotal) > len(before.Rejected) || !r.scrapedBy(r.reflectors.ctx, s)(this.Namespace) ||
		slices.ContainsFunc(before.Rejected, func(listed v1alpha1.RejectedApp) bool {
			return listed.Kind == this.Kind && listed.Namespace == this.Namespace && listed.Name == this.Name
		})
}

// withdraw forgets the snapshot.
func (r *Reconciler) withdraw() {
	if r.snapshot.Swap(nil) != nil {
		r.announce()
	}
}

// state returns the condition. err is what else failed.
func (r *Reconciler) state(ctx context.Context, s *settings, err error) State {
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
	if err == nil && s.state.Met && s.target.ServiceMonitors != nil && !s.off {
		var excluded string
		if excluded, err = r.excluded(ctx, s); excluded != "" {
			return State{Reason: v1alpha1.ReasonNotSelected, Message: excluded}
		}
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

// scrapedBy returns whether the apps of a namespace are scraped, which is remembered for as long as one count takes.
func (r *Reconciler) scrapedBy(ctx context.Context, s *settings) func(string) bool {
	known := map[string]bool{}
	return func(name string) bool {
		scraped, looked := known[name]
		if !looked {
			ns, err := r.namespaceOf(ctx, name)
			scraped = err == nil && s.scrapes(ns.Labels) // One that cannot be read is about to go.
			known[name] = scraped
		}
		return scraped
	}
}

// excluded names a namespace with annotated apps into which the Prometheus does not look, and the selector; empty for none.
func (r *Reconciler) excluded(ctx context.Context, s *settings) (string, error) {
	for _, name := range r.index.Namespaces() {
		ns, err := r.namespaceOf(ctx, name)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return "", err
		case err != nil || !s.scrapes(ns.Labels):
			continue
		}
		if excluded := r.excludes(s, ns); excluded != "" {
			return excluded, nil
		}
	}
	return "", nil
}

// excludes names the selector by which the Prometheus does not look into a namespace for the kinds of monitors that it has;
// empty where it does.
func (r *Reconciler) excludes(s *settings, ns *metav1.PartialObjectMetadata) string {
	var selections []*prometheus.Selection
	services, pods := r.index.Has(ns.Name)
	if services {
		selections = append(selections, s.target.ServiceMonitors)
	}
	if pods {
		selections = append(selections, s.target.PodMonitors)
	}
	for _, selection := range selections {
		selected, err := selection.SelectsNamespace(ns.Name, ns.Labels)
		if err != nil {
			return fmt.Sprintf("%s: %v.", s.target.Origin, err)
		}
		if !selected {
			value := "unset, which selects its own namespace alone"
			if selection.Namespaces != nil {
				value = fmt.Sprintf("%q", metav1.FormatLabelSelector(selection.Namespaces))
			}
			return fmt.Sprintf("%s does not look for monitors in namespace %s: its %s is %s; change the selector, or leave the "+
				"namespace out by spec.scrape.namespaceSelector.", s.target.Origin, ns.Name, selection.NamespaceField, value)
		}
	}
	return ""
}
