// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store has the store of a reflector that keeps little of each object.
package store

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Kept is what is kept of an object: namespace and name at least, for the stores of reflectors.
type Kept interface {
	metav1.ObjectMetaAccessor
	// Key is namespace/name.
	Key() string
}

// Sink is what a store fills. Its functions are called with what Compact has made of objects, by the reflector's goroutine.
type Sink[T Kept] struct {
	// Compact returns what is kept of an object, as a T, and a T as it is. It must not keep a part of the object.
	Compact cache.TransformFunc
	// Put takes a new or changed object, Remove the key of a deleted one, and Replace all objects by their keys.
	Put     func(T)
	Remove  func(key string)
	Replace func(map[string]T)
}

// Store compacts each object before the reflector keeps it, so that a first list of many thousands is never in memory whole. What is kept
// is up to its sink.
type Store[T Kept] struct{ sink Sink[T] }

var _ cache.TransformingStore = &Store[Kept]{}

// New returns the store of a sink, all of whose functions must be set.
func New[T Kept](sink Sink[T]) *Store[T] { return &Store[T]{sink: sink} }

// Transformer is for what the reflector streams before it calls Replace.
func (s *Store[T]) Transformer() cache.TransformFunc { return s.sink.Compact }

// Add stores a new or changed object.
func (s *Store[T]) Add(object any) error {
	kept, err := s.compact(object)
	if err != nil {
		return err
	}
	s.sink.Put(kept)
	return nil
}

// Update is the same as Add.
func (s *Store[T]) Update(object any) error { return s.Add(object) }

// Delete removes a deleted object.
func (s *Store[T]) Delete(object any) error {
	kept, err := s.compact(object)
	if err != nil {
		return err
	}
	s.sink.Remove(kept.Key())
	return nil
}

// Replace stores a full list: what is not in it was deleted while no watch was open.
func (s *Store[T]) Replace(objects []any, _ string) error {
	all := make(map[string]T, len(objects))
	for _, object := range objects {
		kept, err := s.compact(object)
		if err != nil {
			return err
		}
		all[kept.Key()] = kept
	}
	s.sink.Replace(all)
	return nil
}

// Resync does nothing: no event is repeated on a timer.
func (s *Store[T]) Resync() error { return nil }

func (s *Store[T]) compact(object any) (T, error) {
	var none T
	compacted, err := s.sink.Compact(object)
	if err != nil {
		return none, err
	}
	kept, ok := compacted.(T)
	if !ok {
		return none, fmt.Errorf("unexpected %T, want %T", object, none)
	}
	return kept, nil
}
