// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import "github.com/metricspipeline/operator/internal/store"

// Store is the store of the reflector of one kind, and fills the index.
type Store struct {
	*store.Store[*App]

	index  *Index
	kind   Kind
	prefix string
	// listed is true once Replace was called. Guarded by the index's lock.
	listed bool
}

// Open returns the store for the apps of a kind with annotations of a prefix, and closes the one that was open before.
func (x *Index) Open(kind Kind, prefix string) *Store {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close(kind)
	s := &Store{index: x, kind: kind, prefix: prefix}
	s.Store = store.New(store.Sink[*App]{Compact: compactor(kind, prefix), Put: locked(s, s.put), Remove: locked(s, s.remove),
		Replace: locked(s, s.replace)})
	x.open[kind] = s
	return s
}

// Close forgets the apps of a kind. The store ignores what its reflector still adds before it ends.
func (x *Index) Close(kind Kind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close(kind)
}

func (x *Index) close(kind Kind) {
	open := x.open[kind]
	if open == nil {
		return
	}
	for key := range x.apps[kind] {
		open.remove(key)
	}
	delete(x.open, kind)
}

// closed is true when the store no longer fills the index.
func (s *Store) closed() bool { return s.index.open[s.kind] != s }

// locked lets a closed store ignore what its reflector still adds before it ends.
func locked[T any](s *Store, do func(T)) func(T) {
	return func(of T) {
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		if !s.closed() {
			do(of)
		}
	}
}

// replace stores all apps.
func (s *Store) replace(apps map[string]*App) {
	for key := range s.index.apps[s.kind] {
		if apps[key] == nil {
			s.remove(key)
		}
	}
	for _, a := range oldestFirst(apps) {
		s.put(a)
	}
	if !s.listed {
		s.listed = true
		s.index.events.Listed(s.kind)
	}
}

// judge returns the verdict about an app of the store, which has no annotations of another prefix.
func (s *Store) judge(r Rules, a *App) verdict {
	if s.prefix != r.Prefix {
		return r.judge(nil)
	}
	return r.judge(a)
}

func (s *Store) put(after *App) {
	if s.kind.workload() && after.details == nil {
		s.remove(after.Key()) // Nothing depends on it.
		return
	}
	apps := s.index.apps[s.kind]
	before := apps[after.Key()]
	apps[after.Key()] = after
	if before == nil {
		s.index.populate(s.kind, after.namespace, 1)
	}
	s.index.change(before, after, s.judge(s.index.rules, before), s.judge(s.index.rules, after))
}

func (s *Store) remove(key string) {
	apps := s.index.apps[s.kind]
	if before := apps[key]; before != nil {
		delete(apps, key)
		s.index.populate(s.kind, before.namespace, -1)
		s.index.change(before, nil, s.judge(s.index.rules, before), s.judge(s.index.rules, nil))
	}
}
