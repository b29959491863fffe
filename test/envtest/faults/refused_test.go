// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var errInjected = errors.New("injected")

// refusals are the ways in which a write can fail.
var refusals = []struct {
	name string
	// taken is true when only the answer is lost.
	taken  bool
	answer func(write) error
}{
	{"409 conflict", false, func(w write) error {
		return apierrors.NewConflict(schema.GroupResource{}, w.object, errInjected)
	}},
	{"422 invalid", false, func(w write) error { return apierrors.NewInvalid(schema.GroupKind{}, w.object, nil) }},
	{"429 with Retry-After", false, func(write) error { return apierrors.NewTooManyRequests("injected", 1) }},
	{"500 internal error", false, func(write) error { return apierrors.NewInternalError(errInjected) }},
	{"timeout after the commit", true, func(w write) error { return fmt.Errorf("%s: %w", w, context.DeadlineExceeded) }},
}

// TestRefusedWrites: every write fails the first time that it is tried.
func TestRefusedWrites(t *testing.T) {
	eachScenario(t, func(w *world, s scenario) {
		begin, end, _ := w.undisturbed(s)
		for _, refusal := range refusals {
			w.prepare(s, begin)
			tried := &once{answer: refusal.answer}
			if refusal.taken {
				w.fault.Store(&fault{lose: tried.fail})
			} else {
				w.fault.Store(&fault{refuse: tried.fail})
			}
			survived := false
			func() {
				defer func() { tally.add(refusal.name, len(tried.seen), map[bool]int{true: len(tried.seen)}[survived]) }()
				w.do(s, 0)
				w.reaches(end, s.name+", every write fails once with "+refusal.name)
				survived = !w.Failed()
			}()
		}
	})
}

// once lets each write fail that it has not seen.
type once struct {
	answer func(write) error
	mutex  sync.Mutex
	seen   map[write]bool
}

func (o *once) fail(w write) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.seen[w] {
		return nil
	}
	if o.seen == nil {
		o.seen = map[write]bool{}
	}
	o.seen[w] = true
	return o.answer(w)
}
