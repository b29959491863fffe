// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// Store is the store of the reflector of one kind, and fills the index. It compacts each object before the reflector keeps it,
// so that a first list of many thousands is never in memory whole.
type Store struct {
	index   *Index
	kind    Kind
	prefix  string
	compact cache.TransformFunc
	// listed is true once Replace was called. Guarded by the index's lock.
	listed bool
}

var _ cache.TransformingStore = &Store{}

// Open returns the store for the apps of a kind with annotations of a prefix, and closes the one that was open before.
func (x *Index) Open(kind Kind, prefix string) *Store {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close(kind)
	s := &Store{index: x, kind: kind, prefix: prefix, compact: compactor(kind, prefix)}
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
	store := x.open[kind]
	if store == nil {
		return
	}
	for key := range x.apps[kind] {
		store.remove(key)
	}
	delete(x.open, kind)
}

// closed is true when the store no longer fills the index.
func (s *Store) closed() bool { return s.index.open[s.kind] != s }

// Transformer is for what the reflector streams before it calls Replace.
func (s *Store) Transformer() cache.TransformFunc { return s.compact }

// Add stores a new or changed object.
func (s *Store) Add(object any) error {
	after, err := s.app(object)
	if err != nil {
		return err
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if !s.closed() {
		s.put(after)
	}
	return nil
}

// Update is the same as Add.
func (s *Store) Update(object any) error { return s.Add(object) }

// Delete removes a deleted object.
func (s *Store) Delete(object any) error {
	deleted, err := s.app(object)
	if err != nil {
		return err
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if !s.closed() {
		s.remove(deleted.key())
	}
	return nil
}

// Replace stores a full list: what is not in it was deleted while no watch was open.
func (s *Store) Replace(objects []any, _ string) error {
	apps := make(map[string]*App, len(objects))
	for _, object := range objects {
		a, err := s.app(object)
		if err != nil {
			return err
		}
		apps[a.key()] = a
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if s.closed() {
		return nil
	}
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
	return nil
}

// Resync does nothing: no event is repeated on a timer.
func (s *Store) Resync() error { return nil }

// judge returns the verdict about an app of the store, which has no annotations of another prefix.
func (s *Store) judge(r Rules, a *App) verdict {
	if s.prefix != r.Prefix {
		return r.judge(nil)
	}
	return r.judge(a)
}

func (s *Store) put(after *App) {
	if s.kind.workload() && after.details == nil {
		s.remove(after.key()) // Nothing depends on it.
		return
	}
	apps := s.index.apps[s.kind]
	before := apps[after.key()]
	apps[after.key()] = after
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

func (s *Store) app(object any) (*App, error) {
	compacted, err := s.compact(object)
	if err != nil {
		return nil, err
	}
	a, ok := compacted.(*App)
	if !ok {
		return nil, fmt.Errorf("unexpected %T among the %ss", object, s.kind)
	}
	return a, nil
}
