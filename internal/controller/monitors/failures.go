// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"maps"
	"slices"
	"sync"
)

// failures are the namespaces whose monitors could not be written.
type failures struct {
	mu     sync.Mutex
	errors map[string]error
}

// note keeps the outcome of a namespace, and returns true when first returns another failure than before.
func (f *failures) note(namespace string, err error) bool {
	name, before := f.first()
	f.mu.Lock()
	if err != nil {
		if f.errors == nil {
			f.errors = map[string]error{}
		}
		f.errors[namespace] = err
	} else {
		delete(f.errors, namespace)
	}
	f.mu.Unlock()
	now, after := f.first()
	return now != name || (before == nil) != (after == nil) || before != nil && before.Error() != after.Error()
}

// first returns one failure, always the same of several; nil where there is none.
func (f *failures) first() (namespace string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errors) == 0 {
		return "", nil
	}
	name := slices.Min(slices.Collect(maps.Keys(f.errors)))
	return name, f.errors[name]
}

// namespaces returns those with a failure.
func (f *failures) namespaces() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.errors))
}

// reset forgets all of them.
func (f *failures) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = nil
}

// seen are the labels of each Namespace as they were last reconciled: the snapshot depends on them.
type seen struct {
	mu   sync.Mutex
	last map[string]string
}

// changed keeps the labels of a Namespace, and returns true when they are new.
func (s *seen) changed(name, labels string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, known := s.last[name]; known && last == labels {
		return false
	}
	if s.last == nil {
		s.last = map[string]string{}
	}
	s.last[name] = labels
	return true
}

func (s *seen) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, name)
}
