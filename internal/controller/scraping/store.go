// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// store takes what a reflector sees of one kind into the index. It compacts each object before the reflector keeps it
// anywhere, so that a first list of many thousands never exists whole.
type store struct {
	index   *index
	kind    string
	compact cache.TransformFunc
}

var _ cache.TransformingStore = store{}

// Transformer is used by the reflector for what it streams before it calls Replace.
func (s store) Transformer() cache.TransformFunc { return s.compact }

// Add takes a new or changed object.
func (s store) Add(object any) error {
	after, err := s.app(object)
	if err != nil {
		return err
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	s.put(after)
	return nil
}

// Update is the same as Add.
func (s store) Update(object any) error { return s.Add(object) }

// Delete takes an object that is gone.
func (s store) Delete(object any) error {
	gone, err := s.app(object)
	if err != nil {
		return err
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	s.remove(gone.key())
	return nil
}

// Replace takes a full list, and so finds what happened while nobody watched.
func (s store) Replace(objects []any, _ string) error {
	apps := make(map[string]*app, len(objects))
	for _, object := range objects {
		a, err := s.app(object)
		if err != nil {
			return err
		}
		apps[a.key()] = a
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for key := range s.index.apps[s.kind] {
		if apps[key] == nil {
			s.remove(key)
		}
	}
	for _, a := range apps {
		s.put(a)
	}
	if !s.index.synced[s.kind] {
		s.index.synced[s.kind] = true
		s.index.affected("")
	}
	return nil
}

// Resync has nothing to do: nothing is repeated on a timer.
func (s store) Resync() error { return nil }

func (s store) put(after *app) {
	apps := s.index.apps[s.kind]
	s.index.change(apps[after.key()], after)
	apps[after.key()] = after
}

func (s store) remove(key string) {
	apps := s.index.apps[s.kind]
	if before := apps[key]; before != nil {
		s.index.change(before, nil)
		delete(apps, key)
	}
}

func (s store) app(object any) (*app, error) {
	compacted, err := s.compact(object)
	if err != nil {
		return nil, err
	}
	a, ok := compacted.(*app)
	if !ok {
		return nil, fmt.Errorf("unexpected %T among the %ss", object, s.kind)
	}
	return a, nil
}
