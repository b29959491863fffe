// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
)

const (
	// mostOfNamespace is how many HPAs that fail are examined of a namespace, and mostInAll how many of all, which namespaces share. The
	// others are counted.
	mostOfNamespace, mostInAll = 100, 2000
	// youth is how many times as long a new HPA has: its pods start, and an adapter lists metrics once in a while.
	youth = 2
	// awaited is how long the HPA controller has to look at a new HPA.
	awaited = 5 * time.Minute
	// settling is for how many times as long nothing is said of HPAs while a new pipeline comes up.
	settling = 6
	// first and last bound the wait until an HPA is examined again that fails on, which doubles as long as the reason is the same.
	first, last = 2 * time.Minute, 16 * time.Minute
	// pause is the least time between two examinations of one HPA, whatever changes, and afterChange that after a change of the pipeline,
	// which concerns all of them.
	pause, afterChange = 30 * time.Second, 2 * time.Minute
	// exhausted is how long the questions to Prometheus take to be enough for another HPA once they are used up.
	exhausted = 6 * time.Second
	// mostFailures is how many examinations of one HPA may fail before that is reported.
	mostFailures = 3
	// lasting is how many times as long as the patience an HPA has to work until it is said to work again.
	lasting = 2
)

// schedule says which HPA is examined next, and remembers what was found. Namespaces take turns: one with very many HPAs that fail delays
// no other. It is the worker's.
type schedule struct {
	results map[string]map[string]*result // by namespace and name
	// patience is how long an HPA has to fail before it is said to.
	patience time.Duration
	// turn is the namespace that had the last one.
	turn string
	// pipeline is the digest of what findings depend on of it, and settled when it has come up.
	pipeline string
	settled  time.Time
	// before is what the status said at the start, nil once it has been taken up. unsure are the HPAs of then that have not been
	// examined since, of which it is not known whether an administrator has to remove the cause.
	before *v1alpha1.AutoscalersStatus
	unsure map[string]bool
	// answers is when Prometheus may be asked again.
	answers time.Time
	// pending are Events that are to be sent.
	pending []notice
	started bool
}

// adopt takes a pipeline, and has all HPAs examined again when what findings depend on of it has changed.
func (s *schedule) adopt(pipeline *v1alpha1.MetricsPipeline) {
	if !s.started {
		s.started, s.before = true, pipeline.Status.Autoscalers
	}
	s.settled = time.Time{}
	if since := comesUp(pipeline); !since.IsZero() {
		s.settled = since.Add(settling * s.patience)
	}
	digest := digestOf(pipeline)
	if s.pipeline == digest {
		return
	}
	s.pipeline = digest
	for _, r := range s.all() {
		if !r.examined.IsZero() && r.pipeline != digest {
			r.hurry(r.examined.Add(afterChange))
		}
	}
}

func (s *schedule) all() []*result {
	var all []*result
	for _, name := range slices.Sorted(maps.Keys(s.results)) {
		for _, hpa := range slices.Sorted(maps.Keys(s.results[name])) {
			all = append(all, s.results[name][hpa])
		}
	}
	return all
}

// sync takes up which HPAs fail now, and returns whether what is to be reported has changed.
func (s *schedule) sync(
	failing map[string][]autoscaler.Failure, state func(namespace, name string) autoscaler.State, now time.Time,
) (changed bool) {
	before := s.before
	s.before = nil
	present := map[string]bool{}
	for _, namespace := range slices.Sorted(maps.Keys(failing)) {
		for _, failure := range failing[namespace] {
			present[failure.Key()] = true
			r := s.results[namespace][failure.Name]
			if r == nil || r.failure.UID != failure.UID {
				s.add(failure, before)
				continue
			}
			changed = r.fails(failure, s.patience) || changed
		}
	}
	for _, r := range s.all() {
		if !present[r.failure.Key()] {
			changed = s.leave(r, state(r.failure.Namespace, r.failure.Name), now) || changed
		}
	}
	return changed
}

// add begins with an HPA. before is the status at a start, for what is found then; nil later.
func (s *schedule) add(failure autoscaler.Failure, before *v1alpha1.AutoscalersStatus) {
	r := &result{failure: failure, due: dueOf(failure, s.patience)}
	if before != nil {
		r.resume(before)
		if r.found != nil || r.quiet {
			if s.unsure == nil {
				s.unsure = map[string]bool{}
			}
			s.unsure[failure.Key()] = true
		}
	}
	if s.results == nil {
		s.results = map[string]map[string]*result{}
	}
	if s.results[failure.Namespace] == nil {
		s.results[failure.Namespace] = map[string]*result{}
	}
	s.results[failure.Namespace][failure.Name] = r
}

// dueOf is when an HPA is examined that has not been.
func dueOf(failure autoscaler.Failure, patience time.Duration) time.Time {
	due, young := failure.Since.Add(patience), failure.Created.Add(youth*patience)
	if failure.Awaited {
		young = failure.Created.Add(awaited)
	}
	if due.Before(young) {
		return young
	}
	return due
}

// leave takes up that an HPA does not fail any more, and returns whether anything is to be reported that was not.
func (s *schedule) leave(r *result, is autoscaler.State, now time.Time) (changed bool) {
	changed = s.sure(r) || r.found != nil
	r.found, r.administrator, r.err, r.failed = nil, false, nil, 0
	if is == autoscaler.Working && r.said != "" {
		if r.works.IsZero() {
			r.works, changed = now, true
		}
		if now.Sub(r.works) < lasting*s.patience {
			return changed
		}
		s.pending = append(s.pending, worksAgain(r.failure))
	}
	delete(s.results[r.failure.Namespace], r.failure.Name)
	if len(s.results[r.failure.Namespace]) == 0 {
		delete(s.results, r.failure.Namespace)
	}
	return changed
}

// sure notes that an HPA has been examined since the start, or need not be, and returns whether it was the last one.
func (s *schedule) sure(r *result) bool {
	before := len(s.unsure)
	delete(s.unsure, r.failure.Key())
	return before > 0 && len(s.unsure) == 0
}

// events returns those that are to be sent, once.
func (s *schedule) events() []notice {
	all := s.pending
	s.pending = nil
	return all
}

// next returns the HPA to examine, nil for none, and else after how long one is due; 0 for never.
func (s *schedule) next(now time.Time) (next *result, wait time.Duration) {
	sooner := func(at time.Time) {
		if left := max(at.Sub(now), time.Millisecond); wait == 0 || left < wait {
			wait = left
		}
	}
	names := slices.Sorted(maps.Keys(s.results))
	at, found := slices.BinarySearch(names, s.turn)
	if found {
		at++
	}
	for i := range names {
		name := names[(at+i)%len(names)]
		if due := s.due(name, now, sooner); due != nil {
			s.turn = name
			return due, 0
		}
	}
	return nil, wait
}

// due returns the HPA of a namespace that has been due longest; nil for none.
func (s *schedule) due(namespace string, now time.Time, later func(time.Time)) (longest *result) {
	for _, name := range slices.Sorted(maps.Keys(s.results[namespace])) {
		r := s.results[namespace][name]
		switch at := s.dueAt(r); {
		case !r.works.IsZero():
			later(r.works.Add(lasting * s.patience))
		case at.After(now):
			later(at)
		case longest == nil || r.due.Before(longest.due):
			longest = r
		}
	}
	return longest
}

// dueAt is when an HPA is examined next. Nothing is said of a further one while the pipeline comes up, and one that needs an answer of
// Prometheus keeps its place until there is one.
func (s *schedule) dueAt(r *result) time.Time {
	at := r.due
	if r.said == "" && !r.quiet && at.Before(s.settled) {
		at = s.settled
	}
	if r.failure.Asks && at.Before(s.answers) {
		at = s.answers
	}
	return at
}

// takeIn takes the answer of an examination in, and returns whether what is to be reported has changed.
func (s *schedule) takeIn(a *answer, now time.Time) (changed bool) {
	r := s.results[a.of.Namespace][a.of.Name]
	if r == nil || r.failure.UID != a.of.UID || !r.works.IsZero() {
		return false
	}
	if errors.Is(a.err, collect.ErrNotNow) {
		s.answers = now.Add(exhausted)
		return false
	}
	changed = s.sure(r)
	r.examined, r.evidence, r.pipeline = now, a.evidence, s.pipeline
	changed = r.fail(a.err) || changed
	metric, finding := firstFinding(a.found, r.failure.Awaited)
	r.due = now.Add(max(a.again, pause))
	if r.failed > mostFailures || finding == nil && a.err == nil && !a.gone {
		r.postpone(now, true)
	}
	if a.gone || a.err == nil && (finding == nil || r.passes(*finding, now)) {
		return changed
	}
	changed, r.lasts = changed || !r.lasts, true
	if finding == nil || a.again > 0 && finding.Reason == v1alpha1.AutoscalerUnexplained {
		return changed // What was found before stays.
	}
	is := failureOf(a.of, metric, *finding)
	same := r.found != nil && r.found.Reason == is.Reason
	if same && r.found.SeriesElsewhere > 0 && is.SeriesElsewhere > 0 {
		is.SeriesElsewhere = r.found.SeriesElsewhere // How many there are changes all the time, and is worth no write.
	}
	changed = changed || r.found == nil || *r.found != is || r.administrator != finding.Administrator
	r.found, r.administrator = &is, finding.Administrator
	if a.again == 0 {
		r.postpone(now, same)
	}
	if r.said != is.Reason && !r.quiet {
		s.pending = append(s.pending, found(a.of, is))
	}
	r.said, r.quiet = is.Reason, false
	return changed
}
