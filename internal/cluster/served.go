// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
)

// State is what can be done with a kind.
type State int

// States, from the one that says least to the one that says most.
const (
	// Absent: the cluster does not serve the kind.
	Absent State = iota
	// Pending: the kind's CRD is there and not served yet, or the API server has not answered the first list yet.
	Pending
	// Unreadable: the API server refuses to list the kind, or what it answers cannot be decoded.
	Unreadable
	// Ready: every object of the kind is in the cache.
	Ready
)

// UnreadableError says that objects of a kind cannot be read, and why.
type UnreadableError struct {
	// Kind of the objects.
	Kind schema.GroupVersionKind
	// Namespace that was to be read; empty for all, and where it is not known.
	Namespace string
	// Pending is true while nothing has failed: the API server has not answered yet, and an event follows when it does.
	Pending bool
	// Stale is true when the cache still shows what was read before; reads succeed.
	Stale bool
	// Err is what the API server answered.
	Err error
}

// Error names the kind and repeats the API server's answer, which names the permission or the object.
func (e *UnreadableError) Error() string {
	where := ""
	if e.Namespace != "" {
		where = " in namespace " + e.Namespace
	}
	group := e.Kind.GroupVersion().String()
	return fmt.Sprintf("%s objects (%s)%s cannot be read: %v", e.Kind.Kind, group, where, e.Err)
}

// Unwrap returns what the API server answered.
func (e *UnreadableError) Unwrap() error { return e.Err }

// errNoAnswer is the error of a kind whose first list has not been answered.
var errNoAnswer = errors.New("the API server has not answered yet")

// Served is what the cluster served when Ensure looked.
type Served struct {
	states map[schema.GroupVersionKind]State
	errs   map[schema.GroupVersionKind]*UnreadableError
	// served are the CRDs of ours, and whether their kinds are served.
	served map[string]bool
	// Pending is true when a CRD is there and the API server does not serve it yet, or has not answered a first list yet. Only
	// the latter brings an event.
	Pending bool
	// Unreadable are the kinds that are served and cannot be read, or no longer: sorted by kind.
	Unreadable []*UnreadableError
	// RequeueAfter is when to look again because a kind that is Pending, or that fails for a reason that may pass, counts as
	// unreadable then; 0 where there is none.
	RequeueAfter time.Duration
	// CRDs changes whenever any CRD is created, changed or deleted, also one that we do not use.
	CRDs string
	// gone are the names of the CRDs that there were, and that are no longer there or are being deleted.
	gone sets.Set[string]
}

// Has is true when the kind of a CRD is served, or when that is not known: what is unknown is not absent. Whether it can be read is
// another question: see Err.
func (s Served) Has(crd string) bool { return s.served[crd] }

// State returns the state of a kind; Absent for one that was not added.
func (s Served) State(kind schema.GroupVersionKind) State { return s.states[kind] }

// Err returns why a kind that is served cannot be read: an error that is Pending, or one that says what has to be done. It is
// nil when the kind can be read or is not served.
func (s Served) Err(kind schema.GroupVersionKind) error {
	if err := s.errs[kind]; err != nil && !err.Stale {
		return err
	}
	return nil
}

// Waiting is true when there is a kind that may yet be listed for the first time; that brings an event.
func (s Served) Waiting() bool {
	for _, err := range s.errs {
		if err.Pending {
			return true
		}
	}
	return false
}

// add enters what is known of one cache's form of a kind. Of several forms the worst counts.
func (s *Served) add(kind Kind, served bool, state State, err *UnreadableError) {
	if kind.CRD != "" {
		s.served[kind.CRD] = served && state != Absent || state == Unreadable
	}
	rank := func(state State) int { return slices.Index([]State{Ready, Absent, Pending, Unreadable}, state) }
	if known, found := s.states[kind.GroupVersionKind]; !found || rank(state) >= rank(known) {
		s.states[kind.GroupVersionKind] = state
		delete(s.errs, kind.GroupVersionKind)
		if err != nil {
			s.errs[kind.GroupVersionKind] = err
		}
	}
	s.Pending = s.Pending || state == Pending
}

// finish lists what is unreadable.
func (s *Served) finish() {
	for _, err := range s.errs {
		if !err.Pending {
			s.Unreadable = append(s.Unreadable, err)
		}
	}
	slices.SortFunc(s.Unreadable, func(one, other *UnreadableError) int {
		return strings.Compare(one.Kind.String(), other.Kind.String())
	})
}

// judge returns the state of a kind that is served, whose first list began some time before now, and after how long it may be
// another without an event; 0 for never.
func judge(kind schema.GroupVersionKind, synced bool, last answer, began, now time.Time) (State, *UnreadableError, time.Duration) {
	var left time.Duration
	if last.err != nil && !last.definite {
		left = max(0, patience-now.Sub(last.since))
	}
	failed := last.err != nil && left == 0
	switch {
	case synced && !failed:
		return Ready, nil, left
	case failed:
		return Unreadable, &UnreadableError{Kind: kind, Stale: synced, Err: last.err}, 0
	}
	err := last.err
	if err == nil {
		err = errNoAnswer
	}
	if waited := now.Sub(began); waited < patience {
		return Pending, &UnreadableError{Kind: kind, Pending: true, Err: err}, patience - waited
	}
	return Unreadable, &UnreadableError{Kind: kind, Err: fmt.Errorf("%w, for %s", err, patience)}, 0
}

// Serving returns what a cluster serves in which the kinds of the given CRDs, and no others of ours, can be read: for callers
// that are tested without a cluster.
func Serving(crds ...string) Served {
	s := Served{served: map[string]bool{}, CRDs: strings.Join(crds, " ")}
	for _, crd := range crds {
		s.served[crd] = true
	}
	return s
}
