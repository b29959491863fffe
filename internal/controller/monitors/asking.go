// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/text"
)

// An app is scraped only when Prometheus has its target, so who scrapes is asked for its targets: by one request that is bounded, not
// more often than once in Options.Targets, and a fifth as often while all of them are up and no app comes or goes. The network stays
// out of the worker: a request of its own begins a survey, and takes its answer in.
const (
	// longestSurvey bounds one survey.
	longestSurvey = 20 * time.Second
	// atRest is how many times rarer the surveys are while there is nothing to find out.
	atRest = 5
)

// asking is the request that begins a survey, or takes its answer in.
var asking = reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "prometheus"}}

// Source is whom to ask for targets.
type Source struct {
	Target prometheus.Target
	// Access is how Target.URL is queried, and Problem why it must not be; empty where it may.
	Access  prometheus.Access
	Problem string
}

// key changes with all that an answer depends on. It does not reveal credentials.
func (s *Source) key() string {
	if s == nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d %q", s.Target.URL, s.Target.TargetsURL, s.Target.Object, s.Access.Digest(),
		s.Target.Shards, s.Problem))
	return hex.EncodeToString(sum[:8])
}

// heard is the last that Ask was called with.
type heard struct{ source *Source }

// Ask says whom to ask from now on; nil where there is nobody. It may be called from any goroutine, and never waits.
func (r *Reconciler) Ask(source *Source) {
	before := r.heard.Swap(&heard{source})
	if before != nil && before.source.key() == source.key() {
		return
	}
	select {
	case r.sourceChanged <- event.GenericEvent{Object: &v1alpha1.MetricsPipeline{}}:
	default: // The last call has not been noticed yet.
	}
}

// asked is what is known of the targets. Only the worker uses it.
type asked struct {
	// key is that of the source, in use since a time. began is when the last survey began, and asking true until its answer is taken in.
	key    string
	since  time.Time
	began  time.Time
	asking bool
	// known is true once there was an answer: until then the status says what it said, unless that was a problem of another source
	// and is corrected. Of the last one last is nil where it was an error, and problem says which.
	known, corrected bool
	last             *prometheus.Scraped
	problem          string
	// settled is true where the next survey may wait.
	settled bool
	// down are the apps that were down in the last survey, confirmed those of them that were so in the one before as well, by namespace,
	// of which reported have had their Event.
	down      map[app]bool
	confirmed map[string][]v1alpha1.DownApp
	reported  map[app]bool
	// missing is why namespaces with running apps have no target, and examined what is known of the Pods of those without one.
	// Those whose monitors were loaded all the same in the last survey are idle.
	missing  map[string]string
	examined map[string]examination
	idle     map[string]bool
}

// arrival is the outcome of a survey.
type arrival struct {
	key     string
	scraped *prometheus.Scraped
	err     error
}

// askForTargets takes in the answer of the last survey, and begins the next when it is due.
func (r *Reconciler) askForTargets(ctx context.Context) (ctrl.Result, error) {
	s, from := r.common.Load(), r.heard.Load()
	if answer := r.arrived.Swap(nil); answer != nil {
		r.asked.asking = false
		if s != nil && answer.key == r.asked.key {
			r.takeIn(ctx, s, answer)
		}
	}
	if s == nil || from == nil || r.asked.asking {
		return ctrl.Result{}, nil
	}
	if key := from.source.key(); key != r.asked.key || r.asked.since.IsZero() {
		r.asked = asked{key: key, since: r.clock.Now(), began: r.asked.began, reported: r.asked.reported,
			corrected: r.asked.known && r.asked.last == nil}
		r.recount()
	}
	if from.source == nil || s.off || !s.scrapesApps() {
		return ctrl.Result{}, nil // A change of that asks again.
	}
	if problem := from.source.Problem; problem != "" {
		r.asked.known, r.asked.last, r.asked.problem = true, nil, problem
		return ctrl.Result{}, nil
	}
	if wait := r.untilNextSurvey(); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	standing := r.standing(ctx, s)
	expected := slices.DeleteFunc(r.index.Namespaces(), func(name string) bool { return !standing(name).Scraped })
	r.asked.asking, r.asked.began = true, r.clock.Now()
	//nolint:contextcheck // a survey outlives the reconcile
	r.begin(arrival{key: r.asked.key}, prometheus.Survey{Target: from.source.Target, Access: from.source.Access, Ours: isOurs,
		Expected: expected, Roughly: r.asked.last != nil && r.asked.last.Lasting})
	return ctrl.Result{}, nil
}

// untilNextSurvey returns how long the next one has to wait. The first waits too: Prometheus loads a new configuration within a minute or
// so.
func (r *Reconciler) untilNextSurvey() time.Duration {
	every := r.surveyEvery
	if r.asked.settled {
		every *= atRest
	}
	last := r.asked.since
	if r.asked.began.After(last) {
		last = r.asked.began
	}
	return every - r.clock.Since(last)
}

// begin sends a survey, and requests that its answer is taken in.
func (r *Reconciler) begin(answer arrival, survey prometheus.Survey) {
	parent := r.reflectors.ctx
	r.spawn(func() {
		ctx, cancel := context.WithTimeout(parent, longestSurvey)
		defer cancel()
		answer.scraped, answer.err = survey.Do(ctx)
		r.arrived.Store(&answer)
		r.queue.Add(asking)
	})
}

// isOurs is true for a scrape pool of a monitor of annotated apps.
func isOurs(pool prometheus.Pool) bool {
	return pool.Monitor == monitorName || pool.Monitor == scrape.HTTPSName(monitorName) || strings.HasPrefix(pool.Monitor, monitorName+"-")
}

// takeIn makes of an answer what the status says.
func (r *Reconciler) takeIn(ctx context.Context, s *settings, answer *arrival) {
	a := &r.asked
	first := !a.known
	a.known, a.last, a.problem = true, answer.scraped, ""
	r.recount()
	if answer.err != nil {
		a.settled, a.problem, a.down, a.confirmed, a.missing = false, text.Shorten(answer.err.Error(), longestMessage), nil, nil, nil
		return
	}
	ours := sets.New(r.index.Namespaces()...)
	maps.DeleteFunc(a.last.Namespaces, func(name string, _ *prometheus.NamespaceTargets) bool { return !ours.Has(name) })
	r.confirmDown(ctx, s, first)
	suspects := r.findMissing(ctx, s)
	a.settled = suspects == 0 && len(a.down) == 0
	for _, targets := range answer.scraped.Namespaces {
		a.settled = a.settled && targets.Down+targets.Pending == 0
	}
}

// unsettle has the next survey come soon: monitors have been written, or apps have come or gone.
func (r *Reconciler) unsettle() {
	r.asked.settled = false
	if from := r.heard.Load(); from != nil && from.source != nil {
		r.queue.AddAfter(asking, r.surveyEvery)
	}
}

// setTargets writes into a status what is known of targets. Until there is an answer it is what the status said.
func (r *Reconciler) setTargets(s *settings, status *v1alpha1.ScrapeStatus) {
	from := r.heard.Load()
	if s.off || from != nil && from.source == nil {
		return
	}
	a := &r.asked
	switch {
	case !a.known:
		if last := r.lastStatus(s); last != nil && !a.corrected {
			status.Targets, status.Down, status.DownTotal = last.Targets, last.Down, last.DownTotal
		}
	case a.last == nil && status.Services+status.Pods == 0:
		// There is nothing to have targets.
	case a.last == nil:
		status.Targets = &v1alpha1.TargetCounts{Message: "The targets are not known: " + strings.TrimSuffix(a.problem, ".") + "."}
	default:
		status.Targets = a.counts()
		status.Down, status.DownTotal = a.listDown()
	}
}

// counts are those of the last answer.
func (a *asked) counts() *v1alpha1.TargetCounts {
	counts := &v1alpha1.TargetCounts{}
	for _, targets := range a.last.Namespaces {
		counts.Up += int32(targets.Up)
		counts.Down += int32(targets.Down)
	}
	if a.last.Roughly {
		counts.Message = fmt.Sprintf("Counted roughly, by the series up at %s: why a target is down is not known there. Name the "+
			"Prometheus object that scrapes in spec.prometheus.ref where there is one that the operator reaches.", a.last.Source)
	}
	return counts
}

// lastStatus is what the status says; nil where it says nothing.
func (r *Reconciler) lastStatus(s *settings) *v1alpha1.ScrapeStatus {
	if before := r.snapshot.Load(); before != nil {
		return &before.Status
	}
	return s.pipeline.Status.Scrape
}

// hasTargets is true for a namespace of which there is a target.
func (a *asked) hasTargets(namespace string) bool {
	targets := ptr.Deref(a.last.Namespaces[namespace], prometheus.NamespaceTargets{})
	return targets.Up+targets.Down+targets.Pending > 0
}
