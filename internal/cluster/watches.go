// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster knows which kinds the cluster serves and whether the operator can read them. It owns the watches on all of
// them: controllers subscribe to kinds, and each kind has one watch however many there are. Nothing in it waits for an informer.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/kinds"
)

const (
	// patience is how long a kind may fail for a reason that can pass, or give no answer, before it counts as unreadable.
	patience = 20 * time.Second
	// retry is when an informer that could not be made or ended is tried again.
	retry = 10 * time.Second
)

// Kind is a kind in the form in which a cache has it.
type Kind struct {
	// CRD is the name of the kind's CRD; empty for a kind that is always served.
	CRD string
	// GroupVersionKind of the objects, and Object an empty one in the form of Cache.
	schema.GroupVersionKind
	Object client.Object
	Cache  cache.Cache
}

func (k Kind) key() key {
	return key{cache: k.Cache, kind: k.GroupVersionKind, form: formOf(k.Object)}
}

// Cluster is what the watches need of a manager.
type Cluster interface {
	GetScheme() *runtime.Scheme
	GetRESTMapper() meta.RESTMapper
	GetCache() cache.Cache
	GetAPIReader() client.Reader
}

// Watches owns the watches on all kinds.
type Watches struct {
	clock   clock.PassiveClock
	cluster Cluster

	// ensuring lets one Ensure run at a time, and guards the names of the CRDs that there ever were, and of those that have gone.
	ensuring   sync.Mutex
	seen, gone sets.Set[string]

	// mu guards what follows and is never held during a request.
	mu sync.Mutex
	// observers are those of a kind's informers: in a cache of several namespaces it has one for each.
	observers   map[key][]*observer
	kinds       []*watched
	subscribers []*Subscriber
	feeds       []*Feed
	// moved is closed, and replaced, when a kind has been answered otherwise than before.
	moved chan struct{}
	// ended is closed when the controllers end.
	ended <-chan struct{}
}

// watched is a kind and its watch.
type watched struct {
	Kind
	// looked is true once it is known whether there is the CRD, defined when there is, served when the API server knows the kind.
	looked, defined, served bool
	// informer is nil while there is none; began is when it was made, and stop ends what waits for it.
	informer cache.Informer
	began    time.Time
	stop     chan struct{}
	// attempt is what became of the last attempt to make the informer, or to find out whether the kind is served.
	attempt answer
}

// NewWatches returns watches that have not begun. The caches whose kinds are added should be made by their NewCache.
func NewWatches(c clock.PassiveClock) *Watches {
	return &Watches{clock: c, seen: sets.Set[string]{}, observers: map[key][]*observer{}, moved: make(chan struct{})}
}

// Use connects the watches with a manager, whose cache must have CRDs as metadata.
func (w *Watches) Use(c Cluster) {
	w.cluster = c
	w.Add(w.CRDs())
}

// CRDs is the kind of CRDs.
func (w *Watches) CRDs() Kind {
	return Kind{GroupVersionKind: kinds.CRD.GroupVersionKind, Object: kinds.CRD.New(), Cache: w.cluster.GetCache()}
}

// Add has kinds watched. It adds nothing twice.
func (w *Watches) Add(kinds ...Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range kinds {
		if w.find(kind.key()) == nil {
			w.kinds = append(w.kinds, &watched{Kind: kind, looked: kind.CRD == "", served: kind.CRD == ""})
		}
	}
}

func (w *Watches) find(of key) *watched {
	i := slices.IndexFunc(w.kinds, func(kind *watched) bool { return kind.key() == of })
	if i < 0 {
		return nil
	}
	return w.kinds[i]
}

// Ensure begins and ends the watches to match what is served, for all subscribers at once, and returns what there is. It sends
// nothing but discovery requests, and those only about a CRD that has come. It never fails as a whole: what is wrong with a kind
// is in the result.
func (w *Watches) Ensure(ctx context.Context) Served {
	w.ensuring.Lock()
	defer w.ensuring.Unlock()
	w.mu.Lock()
	kinds := slices.Clone(w.kinds)
	w.mu.Unlock()

	for _, kind := range kinds {
		if kind.CRD == "" {
			w.begin(ctx, kind)
		}
	}
	crds, err := w.crds(ctx)
	for _, kind := range kinds {
		if kind.CRD != "" && !IsPending(err) {
			// Without the list of CRDs, discovery alone decides; what it once found it does not forget.
			w.follow(ctx, kind, err != nil || slices.ContainsFunc(crds, func(crd string) bool {
				return strings.HasPrefix(crd, kind.CRD+"@")
			}), err == nil)
		}
	}
	w.mu.Lock()
	feeds := slices.Clone(w.feeds)
	w.mu.Unlock()
	result := w.result(kinds)
	result.readFeeds(feeds)
	result.finish()
	result.CRDs, result.gone = strings.Join(crds, " "), w.gone
	return result
}

// fail notes the outcome of an attempt.
func (k *watched) fail(err error, now time.Time) {
	since := now
	if k.attempt.err != nil {
		since = k.attempt.since
	}
	k.attempt = answer{}
	if err != nil {
		k.attempt = answer{err: err, since: since}
	}
}

// begin starts a kind's watch where there is none, and attaches the subscribers that are not attached yet.
func (w *Watches) begin(ctx context.Context, kind *watched) {
	err := w.inform(ctx, kind)
	if err == nil && kind.informer != nil {
		for _, s := range w.running() {
			err = errors.Join(err, s.attach(kind))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kind.fail(err, w.clock.Now())
}

// inform makes a kind's informer where there is none.
func (w *Watches) inform(ctx context.Context, kind *watched) error {
	if kind.informer != nil {
		return nil
	}
	// Without this option it waits until everything has been listed, for ever if the operator may not list.
	informer, err := kind.Cache.GetInformer(ctx, kind.Object, cache.BlockUntilSynced(false))
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind.CRD != "" && meta.IsNoMatchError(err) {
		kind.served = false // It was removed since discovery, and the event of its CRD is still to come.
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", kind.GroupVersionKind.Kind, err)
	}
	kind.informer, kind.began, kind.stop = informer, w.clock.Now(), make(chan struct{})
	go w.awaitSync(informer, kind.stop, w.ended)
	return nil
}

// awaitSync reports when everything has been listed: without an object there is no other event.
func (w *Watches) awaitSync(informer cache.Informer, stop, ended <-chan struct{}) {
	select {
	case <-informer.HasSyncedChecker().Done():
		w.changed()
	case <-stop:
	case <-ended:
	}
}

// end stops a kind's watch: without a CRD it would fail, and be tried again, for ever.
func (w *Watches) end(ctx context.Context, kind *watched) {
	var err error
	if kind.informer != nil {
		err = kind.Cache.RemoveInformer(ctx, kind.Object)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		kind.fail(fmt.Errorf("stop watching %s: %w", kind.GroupVersionKind.Kind, err), w.clock.Now())
		return
	}
	kind.attempt = answer{}
	if kind.informer == nil {
		return
	}
	close(kind.stop)
	kind.informer = nil
	delete(w.observers, kind.key())
}

// result says what is known of the kinds.
func (w *Watches) result(kinds []*watched) Served {
	w.mu.Lock()
	defer w.mu.Unlock()
	result := Served{states: map[schema.GroupVersionKind]State{}, errs: map[schema.GroupVersionKind]*UnreadableError{},
		served: map[string]bool{}}
	for _, kind := range kinds {
		state, err, after := w.judge(kind)
		result.add(kind.Kind, kind.served, state, err)
		result.again(after)
	}
	return result
}

// judge returns the state of a kind, and after how long it may be another without an event.
func (w *Watches) judge(kind *watched) (State, *UnreadableError, time.Duration) {
	now := w.clock.Now()
	if kind.attempt.err != nil {
		state, err, after := judge(kind.GroupVersionKind, false, kind.attempt, kind.attempt.since, now)
		if after == 0 || after > retry {
			after = retry
		}
		return state, err, after
	}
	switch {
	case !kind.looked, !kind.served && kind.defined:
		return Pending, nil, 0
	case !kind.served:
		return Absent, nil, 0
	case kind.informer == nil:
		return judge(kind.GroupVersionKind, false, answer{}, now, now)
	}
	last := w.last(kind.key())
	if kind.CRD != "" && isGone(last.err) {
		return Absent, nil, 0 // The event of its CRD is still to come.
	}
	return judge(kind.GroupVersionKind, kind.informer.HasSynced(), last, kind.began, now)
}

// Unreadable returns why a kind that was added cannot be read, or is no longer; nil where it can be, or has not been answered yet.
func (w *Watches) Unreadable(of schema.GroupVersionKind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range w.kinds {
		if kind.GroupVersionKind != of {
			continue
		}
		if _, err, _ := w.judge(kind); err != nil && !err.Pending {
			return err
		}
	}
	return nil
}

// lookup returns the state of a kind; false when it was not added.
func (w *Watches) lookup(of key) (State, *UnreadableError, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := w.find(of)
	if kind == nil {
		return Absent, nil, false
	}
	state, err, _ := w.judge(kind)
	return state, err, true
}
