// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package probe asks questions of the network outside of the reconcile worker, so that an endpoint which does not answer
// never blocks it. A question is asked once; its answer is remembered until the question itself changes, and a new
// answer is announced. Only a failed question, or one with a period, is asked again.
package probe

import (
	"context"
	"sync"
	"time"
)

// timeout bounds one try.
const timeout = 5 * time.Second

// Question is something that only the network can answer.
type Question struct {
	// Key identifies the question: it holds everything that the answer depends on.
	Key string
	// Ask returns nil for yes.
	Ask func(context.Context) error
	// Period is how long a yes holds; 0 is until the key changes.
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
	// firstRetry and lastRetry bound the wait between tries of a question that fails.
	firstRetry, lastRetry time.Duration

	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	answer Answer
	cancel context.CancelFunc
}

// New returns a prober that calls announce whenever an answer changes. announce must not block. A question that fails is
// asked again after firstRetry, which doubles up to lastRetry.
func New(announce func(), firstRetry, lastRetry time.Duration) *Prober {
	return &Prober{announce: announce, firstRetry: firstRetry, lastRetry: lastRetry, entries: map[string]*entry{}}
}

// Answers returns what is known about the questions, in their order, starts to ask those that are new, and forgets every
// other question. It never waits.
func (p *Prober) Answers(questions ...Question) []Answer {
	p.mu.Lock()
	defer p.mu.Unlock()

	wanted := make(map[string]bool, len(questions))
	answers := make([]Answer, 0, len(questions))
	for _, question := range questions {
		wanted[question.Key] = true
		e, known := p.entries[question.Key]
		if !known {
			ctx, cancel := context.WithCancel(context.Background())
			e = &entry{cancel: cancel}
			p.entries[question.Key] = e
			go p.keepAsking(ctx, question, e)
		}
		answers = append(answers, e.answer)
	}
	for key, e := range p.entries {
		if !wanted[key] {
			e.cancel()
			delete(p.entries, key)
		}
	}
	return answers
}

// Stop forgets every question.
func (p *Prober) Stop() { p.Answers() }

// keepAsking asks until the answer is yes for good, or the question is forgotten.
func (p *Prober) keepAsking(ctx context.Context, question Question, e *entry) {
	retry := p.firstRetry
	for {
		try, cancel := context.WithTimeout(ctx, timeout)
		err := question.Ask(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		p.record(e, Answer{Known: true, Err: err})

		wait := question.Period
		if err != nil {
			wait, retry = retry, min(2*retry, p.lastRetry)
		} else if retry = p.firstRetry; wait == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// record stores an answer and announces it if it differs in what it says.
func (p *Prober) record(e *entry, answer Answer) {
	p.mu.Lock()
	changed := !e.answer.Known || message(e.answer.Err) != message(answer.Err)
	e.answer = answer
	p.mu.Unlock()
	if changed {
		p.announce()
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
