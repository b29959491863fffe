// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
)

// Feed is a kind that a controller reflects by itself, into a store of its own instead of a cache. Served lists it when it cannot
// be read, and subscribers are woken, as for the kinds of caches; Has, State and Err are about those only.
type Feed struct {
	watches  *Watches
	kind     schema.GroupVersionKind
	requests toolscache.ListerWatcher
	observer *observer
	synced   func() bool
	began    time.Time
}

// Reflect returns a feed of a kind; synced is true once everything has been listed. It ends with Stop.
func (w *Watches) Reflect(kind schema.GroupVersionKind, requests toolscache.ListerWatcher, synced func() bool) *Feed {
	f := &Feed{watches: w, kind: kind, synced: synced, began: w.clock.Now(), observer: &observer{clock: w.clock, changed: w.changed,
		locate: func(context.Context) error { return nil }}}
	f.requests = f.observer.observe(requests)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feeds = append(w.feeds, f)
	return f
}

// Requests are those of Fill.
func (f *Feed) Requests() toolscache.ListerWatcher { return f.requests }

// Fill lists and watches objects of the kind, in the form of an empty one, and keeps a store filled with them until the context ends.
// It does not wait.
func (f *Feed) Fill(ctx context.Context, object runtime.Object, store toolscache.TransformingStore) {
	go toolscache.NewReflectorWithOptions(f.requests, object, store, toolscache.ReflectorOptions{}).RunWithContext(ctx)
}

// Stop forgets the feed, whose store its owner no longer has filled.
func (f *Feed) Stop() {
	f.watches.mu.Lock()
	defer f.watches.mu.Unlock()
	f.watches.feeds = slices.DeleteFunc(f.watches.feeds, func(other *Feed) bool { return other == f })
}

// Err returns why the kind cannot be read; nil when it can.
func (f *Feed) Err() *UnreadableError {
	_, err, _ := f.judge()
	return err
}

func (f *Feed) judge() (State, *UnreadableError, time.Duration) {
	return judge(f.kind, f.synced(), f.observer.answer(), f.began, f.watches.clock.Now())
}

// readFeeds adds what is known of feeds.
func (s *Served) readFeeds(feeds []*Feed) {
	for _, f := range feeds {
		_, err, after := f.judge()
		s.again(after)
		if err != nil && !err.Pending {
			s.Unreadable = append(s.Unreadable, err)
		}
	}
}

// again has Ensure called after a time, if nothing is due earlier.
func (s *Served) again(after time.Duration) {
	if after > 0 && (s.RequeueAfter == 0 || after < s.RequeueAfter) {
		s.RequeueAfter = after
	}
}
