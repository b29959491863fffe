// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Screen shows pictures: on a terminal one that is drawn over again, elsewhere a line for each thing that changes.
type Screen struct {
	Out io.Writer
	// Columns is the width of the terminal; nil where Out is none.
	Columns func() int
	Color   bool

	drawn []string
	said  map[string]string
}

// Say prints a text that stays.
func (s *Screen) Say(text string) {
	s.drawn = nil
	fmt.Fprintln(s.Out, strings.TrimRight(text, "\n"))
}

// Show draws what is seen, that long after the start.
func (s *Screen) Show(at time.Duration, now *Seen) {
	if s.Columns == nil {
		s.log(at, now)
		return
	}
	lines := Draw(now, s.Columns()-1, s.Color) // Some terminals wrap a full line.
	if slices.Equal(lines, s.drawn) {
		return
	}
	// In one write, so that it does not flicker.
	fmt.Fprint(s.Out, s.back()+strings.Join(lines, "\n")+"\n")
	s.drawn = lines
}

// Wipe removes the picture from the terminal.
func (s *Screen) Wipe() {
	fmt.Fprint(s.Out, s.back())
	s.drawn = nil
}

// back goes up to the first line of the picture, and clears to the end of the screen.
func (s *Screen) back() string {
	if len(s.drawn) == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", len(s.drawn))
}

// log prints what has changed. What is absent is not said, unless it was there before.
func (s *Screen) log(at time.Duration, now *Seen) {
	if s.said == nil {
		s.said = map[string]string{}
	}
	for _, line := range changes(now) {
		before, known := s.said[line.name]
		if line.key == before || !known && strings.HasPrefix(line.key, Absent.String()) {
			continue
		}
		s.said[line.name] = line.key
		fmt.Fprintf(s.Out, "%s    %-21s  %s\n", Clock(at), line.name, line.text)
	}
}

// Clock is a duration as minutes and seconds.
func Clock(d time.Duration) string {
	return fmt.Sprintf("%2d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
