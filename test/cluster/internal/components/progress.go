package components

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// progressPeriod is how often a running build says how far it is.
const progressPeriod = 15 * time.Second

// measurable is how much of a build must be done before its pace says anything of what is left.
const measurable = 0.05

// progress says how far a series of builds is, and how long what is left will take: [Component.Cold], which was measured
// on another machine, times the pace of this one.
type progress struct {
	log   func(format string, args ...any)
	begun time.Time
	// components are what is built, in this order.
	components []Component
	// current is the index of the one that is being built.
	current int

	mu       sync.Mutex
	compiled int
}

// start begins with a component and says so, and every so often how far it is. The returned function ends it and gives
// the time taken.
func (p *progress) start(index int, what string) func() time.Duration {
	p.mu.Lock()
	p.current, p.compiled = index, 0
	p.mu.Unlock()
	begun := time.Now()
	elapsed := func() time.Duration { return time.Since(begun).Round(100 * time.Millisecond) }
	say := func() {
		p.log("building %d of %d, %s: %s", index+1, len(p.components), what, p.describe(time.Since(p.begun)))
	}
	say()
	stop := make(chan struct{})
	go func() {
		ticker := time.NewTicker(progressPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				say()
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return elapsed()
	}
}

// describe says how long it has taken so far and how long what is left will take.
func (p *progress) describe(elapsed time.Duration) string {
	return fmt.Sprintf("%s so far, about %s left", minutes(elapsed), minutes(p.left(elapsed)))
}

// left is how long what is left will take.
func (p *progress) left(elapsed time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var done, all float64
	for i, component := range p.components {
		cold := component.Cold.Seconds()
		all += cold
		switch {
		case i < p.current:
			done += cold
		case i == p.current && component.Packages > 0:
			done += cold * min(float64(p.compiled)/float64(component.Packages), 1)
		}
	}
	pace := 1.0
	if done > measurable*all {
		pace = elapsed.Seconds() / done
	}
	return time.Duration(pace * (all - done) * float64(time.Second))
}

// packages counts the packages that `go build -v` names on its standard error, and keeps all else that it says.
func (p *progress) packages(message *strings.Builder) *lineWriter {
	return &lineWriter{line: func(line string) {
		// A message has a space, or names a file; a package has neither.
		if strings.ContainsAny(line, " \t:") {
			message.WriteString(line + "\n")
			return
		}
		p.mu.Lock()
		p.compiled++
		p.mu.Unlock()
	}}
}

// minutes writes a duration as people say it: 40 s, 3 min 20 s.
func minutes(d time.Duration) string {
	seconds := int(d.Round(5*time.Second) / time.Second)
	if seconds < 60 {
		return fmt.Sprintf("%d s", seconds)
	}
	return fmt.Sprintf("%d min %d s", seconds/60, seconds%60)
}

// lineWriter calls line for each whole line that is written to it, without its end.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(data), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}
