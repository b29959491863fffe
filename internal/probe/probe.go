// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package probe sends network probes outside of the reconcile worker, so that an endpoint which does not answer never blocks
// it. A question is sent once; its answer is remembered until the question changes, and a changed answer is announced. Only a
// question that failed, or that has a period, is sent again.
package probe

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/flowcontrol"
)

// timeout of one try.
const timeout = 5 * time.Second

// Question is one probe of the network.
type Question struct {
	// Key identifies the question: it contains everything that the answer depends on.
	Key string
	// Owner is the part that needs the answer, such as a component, see Round.Retain.
	Owner string
	// Ask sends the question; nil is yes.
	Ask func(context.Context) error
	// Period is how long a yes is valid; 0 is until the key changes.
	Period time.Duration
}

// Answer is the last answer to a question.
type Answer struct {
	// Known is false until the first try has ended.
	Known bool
	// Err is nil for yes.
	Err error
}

// Yes is true when the last try succeeded.
func (a Answer) Yes() bool { return a.Known && a.Err == nil }

// Prober remembers answers. Its methods may be called from any goroutine.
type Prober struct {
	announce func()
	// backoff is the wait between tries of a question that fails, by its key.
	backoff *flowcontrol.Backoff

	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	owner  string
	answer Answer
	cancel context.CancelFunc
}

// New returns a prober that calls announce whenever an answer changes. announce must not block. A question that fails is
// sent again after firstRetry, a backoff that doubles up to lastRetry.
func New(announce func(), firstRetry, lastRetry time.Duration) *Prober {
	return &Prober{announce: announce, backoff: flowcontrol.NewBackOff(firstRetry, lastRetry), entries: map[string]*entry{}}
}

// Round is the questions of one reconcile. Each part of it asks its own, and the last step forgets those that no part has. A
// round is for one goroutine, and a prober for one round at a time.
type Round struct {
	prober *Prober
	wanted map[string]bool
	owners map[string]bool
}

// Round begins a round.
func (p *Prober) Round() *Round {
	return &Round{prober: p, wanted: map[string]bool{}, owners: map[string]bool{}}
}

// Ask returns what is known about a question, and starts to send it where it is new. It never waits.
func (r *Round) Ask(question Question) Answer {
	r.wanted[question.Key] = true
	p := r.prober
	p.mu.Lock()
	defer p.mu.Unlock()
	e, known := p.entries[question.Key]
	if !known {
		ctx, cancel := context.WithCancel(context.Background())
		e = &entry{owner: question.Owner, cancel: cancel}
		p.entries[question.Key] = e
		go p.repeat(ctx, question, e)
	}
	return e.answer
}

// Retain keeps every question of an owner whose part of the reconcile failed before it asked: it is not known whether the
// answers are still needed.
func (r *Round) Retain(owner string) { r.owners[owner] = true }

// Forget ends the round: questions neither asked nor retained in it are stopped, and their answers forgotten.
func (r *Round) Forget() {
	p := r.prober
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.entries {
		if !r.wanted[key] && !r.owners[e.owner] {
			e.cancel()
			p.backoff.Reset(key)
			delete(p.entries, key)
		}
	}
}

// Stop forgets every question.
func (p *Prober) Stop() { p.Round().Forget() }

// repeat sends a question until the answer is a yes without a period, or the question is forgotten.
func (p *Prober) repeat(ctx context.Context, question Question, e *entry) {
	for {
		try, cancel := context.WithTimeout(ctx, timeout)
		err := question.Ask(try)
		cancel()
		wait, again := p.record(ctx, question, e, err)
		if !again {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// record stores an answer, announces it if its text differs, and returns when to send the question again. The answer to a
// question that was forgotten meanwhile is dropped: its backoff must not delay the same question in a later round.
func (p *Prober) record(ctx context.Context, question Question, e *entry, err error) (wait time.Duration, again bool) {
	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return 0, false
	}
	changed := !e.answer.Known || message(e.answer.Err) != message(err)
	e.answer = Answer{Known: true, Err: err}
	if err != nil {
		p.backoff.Next(question.Key, p.backoff.Clock.Now())
		wait = p.backoff.Get(question.Key)
	} else {
		p.backoff.Reset(question.Key)
		wait = question.Period
	}
	p.mu.Unlock()
	if changed {
		p.announce()
	}
	return wait, wait > 0
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
