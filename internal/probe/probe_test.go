// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
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

// network answers questions as the test says, and counts.
type network struct {
	asked     int
	at        []time.Duration
	announced int
	start     time.Time
	answer    error
}

func newNetwork() (*network, *Prober) {
	n := &network{start: time.Now()}
	return n, New(func() { n.announced++ }, firstRetry, lastRetry)
}

// question asks the network.
func (n *network) question(key string, period time.Duration) Question {
	return Question{Key: key, Period: period, Ask: func(context.Context) error {
		n.asked++
		n.at = append(n.at, time.Since(n.start))
		return n.answer
	}}
}

// expect compares how often was asked and announced.
func (n *network) expect(t *testing.T, asked, announced int) {
	t.Helper()
	if n.asked != asked || n.announced != announced {
		t.Errorf("asked %d times and announced %d times, want %d and %d", n.asked, n.announced, asked, announced)
	}
}

func TestYesIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		question := n.question("a", 0)
		if answer := p.Answers(question)[0]; answer.Known || answer.Yes() {
			t.Errorf("answered %+v before anybody was asked", answer)
		}
		synctest.Wait()
		if answer := p.Answers(question)[0]; !answer.Yes() {
			t.Errorf("answered %+v", answer)
		}
		time.Sleep(time.Hour)
		p.Answers(question)
		n.expect(t, 1, 1)
	})
}

// TestNeverWaits holds for a network that does not answer at all: the reconcile worker goes on, and the try ends by itself.
func TestNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		question := Question{Key: "a", Ask: func(ctx context.Context) error {
			n.asked++
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		before := time.Now()
		p.Answers(question)
		synctest.Wait()
		if answer := p.Answers(question)[0]; answer.Known {
			t.Errorf("answered %+v", answer)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Answers waited for %s", waited)
		}
		time.Sleep(timeout)
		synctest.Wait()
		if answer := p.Answers(question)[0]; !errors.Is(answer.Err, context.DeadlineExceeded) {
			t.Errorf("after %s: %+v", timeout, answer)
		}
		n.expect(t, 1, 1)
		p.Stop()
	})
}

func TestFailureIsRetriedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		n.answer = errors.New("connection refused")
		question := n.question("a", 0)
		p.Answers(question)
		time.Sleep(2 * time.Minute)
		var want []time.Duration
		for _, seconds := range []int{0, 1, 3, 7, 15, 31, 61, 91} {
			want = append(want, time.Duration(seconds)*time.Second)
		}
		if diff := cmp.Diff(want, n.at); diff != "" {
			t.Errorf("asked at (-want +got):\n%s", diff)
		}
		// The same words again are no news.
		n.expect(t, len(want), 1)
		if answer := p.Answers(question)[0]; !answer.Known || answer.Yes() || answer.Err == nil {
			t.Errorf("answered %+v", answer)
		}

		n.answer = nil
		time.Sleep(lastRetry)
		synctest.Wait()
		if answer := p.Answers(question)[0]; !answer.Yes() {
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
		p.Answers(question)
		time.Sleep(3*time.Minute + time.Second)
		n.expect(t, 4, 1) // At once, and after each minute.

		n.answer = errors.New("down")
		time.Sleep(time.Minute)
		synctest.Wait()
		if answer := p.Answers(question)[0]; answer.Err == nil || !answer.Known {
			t.Errorf("answered %+v after the end of Prometheus", answer)
		}
		n.expect(t, 6, 2) // The failed one once more a second later.

		n.answer = nil
		time.Sleep(2 * time.Second)
		synctest.Wait()
		n.expect(t, 7, 3)
		// The next failure is looked at again as soon as the first one was.
		n.answer, n.at = errors.New("down"), nil
		time.Sleep(time.Minute + 4*time.Second)
		if len(n.at) < 2 || n.at[1]-n.at[0] != firstRetry {
			t.Errorf("asked at %s, want the second %s after the first", n.at, firstRetry)
		}
		p.Stop()
	})
}

func TestAnnouncesOnlyWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		var tries atomic.Int32
		question := Question{Key: "a", Ask: func(context.Context) error {
			n.asked++
			return fmt.Errorf("reason %d", tries.Add(1)/3) // Changes at the third try.
		}}
		p.Answers(question)
		time.Sleep(4 * time.Second)
		n.expect(t, 3, 2)
		p.Stop()
	})
}

func TestForgottenQuestionIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		canceled := false
		question := Question{Key: "a", Ask: func(ctx context.Context) error {
			n.asked++
			<-ctx.Done()
			canceled = errors.Is(ctx.Err(), context.Canceled)
			return ctx.Err()
		}}
		p.Answers(question)
		synctest.Wait()
		p.Stop()
		synctest.Wait()
		if !canceled {
			t.Error("the try goes on")
		}
		time.Sleep(time.Hour)
		n.expect(t, 1, 0)
	})
}

func TestForgottenPeriodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		p.Answers(n.question("a", time.Minute))
		time.Sleep(30 * time.Second)
		p.Answers()
		time.Sleep(time.Hour)
		n.expect(t, 1, 1)
	})
}

// TestForgottenIsAskedAgain when it comes back: what it was answered may no longer be so.
func TestForgottenIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, p := newNetwork()
		p.Answers(n.question("a", 0))
		synctest.Wait()
		p.Answers(n.question("b", 0))
		synctest.Wait()
		if answer := p.Answers(n.question("a", 0))[0]; answer.Known {
			t.Errorf("remembered %+v", answer)
		}
		synctest.Wait()
		n.expect(t, 3, 3)
	})
}

func TestAnswersKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(func() {}, firstRetry, lastRetry)
		var questions []Question
		for _, key := range []string{"c", "a", "b"} {
			questions = append(questions, Question{Key: key, Ask: func(context.Context) error { return errors.New(key) }})
		}
		p.Answers(questions...)
		synctest.Wait()
		for i, answer := range p.Answers(questions...) {
			if answer.Err == nil || answer.Err.Error() != questions[i].Key {
				t.Errorf("answer %d is %v, want that to %s", i, answer.Err, questions[i].Key)
			}
		}
		p.Stop()
	})
}
