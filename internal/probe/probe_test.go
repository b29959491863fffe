// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// firstRetry and lastRetry are the defaults of controller.Timing.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// network answers questions as the test says, and counts. Each question is sent by a goroutine of its own, for which
// neither the sleep of the test nor that of another question orders anything: the lock does.
type network struct {
	mu        sync.Mutex
	sent      int
	at        []time.Duration
	announced int
	start     time.Time
	answer    error
}

func newNetwork() (*network, *Prober) {
	n := &network{start: time.Now()}
	return n, New(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.announced++
	}, firstRetry, lastRetry)
}

// answers lets the network answer otherwise from now on.
func (n *network) answers(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = err
}

// times returns when questions were sent since the last call, and counts the time from now on.
func (n *network) times() []time.Duration {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.at
	n.at, n.start = nil, time.Now()
	return at
}

// counts is what a question does that the network does not answer.
func (n *network) counts() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent++
}

// ask makes the questions those of one round.
func ask(p *Prober, questions ...Question) []Answer {
	round := p.Round()
	defer round.Forget()
	var answers []Answer
	for _, question := range questions {
		answers = append(answers, round.Ask(question))
	}
	return answers
}

// question is answered by the network.
func (n *network) question(key string, period time.Duration) Question {
	return Question{Key: key, Period: period, Ask: func(context.Context) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.sent++
		n.at = append(n.at, time.Since(n.start))
		return n.answer
	}}
}

// expect compares the numbers of sent questions and announcements, once the tries of this instant have ended.
func (n *network) expect(t *testing.T, sent, announced int) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sent != sent || n.announced != announced {
		t.Errorf("sent %d times and announced %d times, want %d and %d", n.sent, n.announced, sent, announced)
	}
}

func TestYesIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		question := n.question("a", 0)
		if answer := ask(p, question)[0]; answer.Known || answer.Yes() {
			t.Errorf("answered %+v before the question was sent", answer)
		}
		synctest.Wait()
		if answer := ask(p, question)[0]; !answer.Yes() {
			t.Errorf("answered %+v", answer)
		}
		time.Sleep(time.Hour)
		ask(p, question)
		n.expect(t, 1, 1)
	})
}

// TestNeverWaits: where the network does not answer at all, the reconcile worker is not blocked, and the try times out.
func TestNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		question := Question{Key: "a", Ask: func(ctx context.Context) error {
			n.counts()
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		before := time.Now()
		ask(p, question)
		synctest.Wait()
		if answer := ask(p, question)[0]; answer.Known {
			t.Errorf("answered %+v", answer)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Ask waited for %s", waited)
		}
		time.Sleep(timeout)
		synctest.Wait()
		if answer := ask(p, question)[0]; !errors.Is(answer.Err, context.DeadlineExceeded) {
			t.Errorf("after %s: %+v", timeout, answer)
		}
		n.expect(t, 1, 1)
		p.Stop()
	})
}

func TestFailureIsRetriedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		n.answers(errors.New("connection refused"))
		question := n.question("a", 0)
		ask(p, question)
		time.Sleep(2 * time.Minute)
		var want []time.Duration
		for _, seconds := range []int{0, 1, 3, 7, 15, 31, 61, 91} {
			want = append(want, time.Duration(seconds)*time.Second)
		}
		if diff := cmp.Diff(want, n.times()); diff != "" {
			t.Errorf("sent at (-want +got):\n%s", diff)
		}
		// The same error again is no change.
		n.expect(t, len(want), 1)
		if answer := ask(p, question)[0]; !answer.Known || answer.Yes() || answer.Err == nil {
			t.Errorf("answered %+v", answer)
		}

		n.answers(nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if answer := ask(p, question)[0]; !answer.Yes() {
			t.Errorf("answered %+v", answer)
		}
		time.Sleep(time.Hour)
		n.expect(t, len(want)+1, 2)
	})
}

func TestPeriodRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		question := n.question("a", time.Minute)
		ask(p, question)
		time.Sleep(3*time.Minute + time.Second)
		n.expect(t, 4, 1) // At once, and after each minute.

		n.answers(errors.New("down"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if answer := ask(p, question)[0]; answer.Err == nil || !answer.Known {
			t.Errorf("answered %+v after the end of Prometheus", answer)
		}
		n.expect(t, 6, 2) // The failed one once more a second later.

		n.answers(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		n.expect(t, 7, 3)
		// The next failure is looked at again as soon as the first one was.
		n.answers(errors.New("down"))
		n.times()
		time.Sleep(time.Minute + 4*time.Second)
		if at := n.times(); len(at) < 2 || at[1]-at[0] != firstRetry {
			t.Errorf("sent at %s, want the second %s after the first", at, firstRetry)
		}
		p.Stop()
	})
}

func TestAnnouncesOnlyWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		var tries atomic.Int32
		question := Question{Key: "a", Ask: func(context.Context) error {
			n.counts()
			return fmt.Errorf("reason %d", tries.Add(1)/3) // Changes at the third try.
		}}
		ask(p, question)
		time.Sleep(4 * time.Second)
		n.expect(t, 3, 2)
		p.Stop()
	})
}

func TestForgottenQuestionIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		var canceled atomic.Bool
		question := Question{Key: "a", Ask: func(ctx context.Context) error {
			n.counts()
			<-ctx.Done()
			canceled.Store(errors.Is(ctx.Err(), context.Canceled))
			return ctx.Err()
		}}
		ask(p, question)
		synctest.Wait()
		p.Stop()
		synctest.Wait()
		if !canceled.Load() {
			t.Error("the try goes on")
		}
		time.Sleep(time.Hour)
		n.expect(t, 1, 0)
	})
}

func TestForgottenPeriodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		ask(p, n.question("a", time.Minute))
		time.Sleep(30 * time.Second)
		p.Round().Forget()
		time.Sleep(time.Hour)
		n.expect(t, 1, 1)
	})
}

// TestForgottenIsAskedAgain when it comes back: what it was answered may no longer be so.
func TestForgottenIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		ask(p, n.question("a", 0))
		synctest.Wait()
		ask(p, n.question("b", 0))
		synctest.Wait()
		if answer := ask(p, n.question("a", 0))[0]; answer.Known {
			t.Errorf("remembered %+v", answer)
		}
		synctest.Wait()
		n.expect(t, 3, 3)
	})
}

// TestParts of one reconcile ask one after the other, and none makes the prober forget the question of another.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		metricsServer, adapter := n.question("metrics-server", 0), n.question("prometheus-adapter", 0)
		metricsServer.Owner, adapter.Owner = metricsServer.Key, adapter.Key
		ask(p, metricsServer, adapter)
		n.expect(t, 2, 2)
		ask(p, metricsServer, adapter)
		n.expect(t, 2, 2)

		round := p.Round()
		round.Ask(adapter)
		round.Retain(metricsServer.Owner)
		round.Forget()
		if answer := ask(p, metricsServer, adapter)[0]; !answer.Yes() {
			t.Errorf("the answer of a part that failed before it could ask is %+v, want it retained", answer)
		}
		n.expect(t, 2, 2)

		ask(p, adapter)
		if answer := ask(p, metricsServer, adapter)[0]; answer.Known {
			t.Errorf("the answer to a question that is no longer asked is %+v, want it forgotten", answer)
		}
		n.expect(t, 3, 3)
	})
}

// TestForgottenFailureDelaysNothing: the same question in a later round is retried as soon as any new one.
func TestForgottenFailureDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		n.answers(errors.New("connection refused"))
		ask(p, n.question("a", 0))
		time.Sleep(20 * time.Second)
		p.Stop()
		n.times()
		ask(p, n.question("a", 0))
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff([]time.Duration{0, firstRetry}, n.times()); diff != "" {
			t.Errorf("sent at (-want +got):\n%s", diff)
		}
		p.Stop()
	})
}
