// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// frame is the time between two looks at the cluster.
	frame = 500 * time.Millisecond
	// samplesShown is the width of a sparkline, samplePeriod what one of its columns stands for.
	samplesShown = 32
	samplePeriod = 2 * time.Second
)

// show draws scenes: on a terminal a picture that is drawn over again, elsewhere a line for each thing that changes.
type show struct {
	cluster  *kit.Cluster
	out      io.Writer
	terminal bool
	start    time.Time
	drawn    int
	said     map[string]string

	load            float64
	rates, replicas []float64
	nextSample      time.Time
}

func newShow(cluster *kit.Cluster, out *os.File) *show {
	return &show{
		cluster: cluster, out: out, terminal: term.IsTerminal(int(out.Fd())), start: time.Now(), said: map[string]string{},
	}
}

// say prints a line that stays.
func (s *show) say(format string, args ...any) {
	s.drawn = 0
	fmt.Fprintln(s.out, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// setLoad makes the sample application send itself that many requests each second.
func (s *show) setLoad(ctx context.Context, perSecond float64) error {
	if err := s.cluster.Steer(ctx, app, fmt.Sprintf("/load?rps=%g", perSecond)); err != nil {
		return err
	}
	s.load = perSecond
	return nil
}

// act starts something and draws until it has ended.
func (s *show) act(ctx context.Context, title string, start func(context.Context) error, ended func(scene) bool) error {
	began := time.Now()
	s.say("%s  %s", clock(time.Since(s.start)), title)
	started := make(chan error, 1)
	go func() { started <- start(ctx) }()
	ticks := time.NewTicker(frame)
	defer ticks.Stop()
	for running := true; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-started:
			if err != nil {
				return err
			}
			running = false
		case <-ticks.C:
		}
		now := look(ctx, s.cluster)
		s.draw(now)
		if !running && ended(now) {
			s.wipe()
			s.say("       done in %.1f s", time.Since(began).Seconds())
			return nil
		}
	}
}

// line is one line of the picture. Off the terminal it is printed when key changes.
type line struct{ label, text, key string }

func (s *show) draw(now scene) {
	s.sample(now)
	lines := s.picture(now)
	if !s.terminal {
		for _, l := range lines {
			if l.key != s.said[l.label] {
				s.said[l.label] = l.key
				fmt.Fprintf(s.out, "%s    %-11s %s\n", clock(time.Since(s.start)), strings.TrimRight(l.label, "0123456789"), l.text)
			}
		}
		return
	}
	s.wipe()
	for _, l := range lines {
		fmt.Fprintf(s.out, "       %-11s %s\n", strings.TrimRight(l.label, "0123456789"), l.text)
	}
	s.drawn = len(lines)
}

// wipe removes the picture from the terminal: up to its first line, clear to the end of the screen.
func (s *show) wipe() {
	if s.terminal && s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn)
	}
	s.drawn = 0
}

func (s *show) sample(now scene) {
	if time.Now().Before(s.nextSample) {
		return
	}
	s.nextSample = time.Now().Add(samplePeriod)
	s.rates = tail(append(s.rates, now.metric))
	s.replicas = tail(append(s.replicas, float64(now.replicas)))
}

func (s *show) picture(now scene) []line {
	lines := []line{{"operator", now.operator, now.operator}}
	if text := now.componentsText(); text != "" {
		lines = append(lines, line{"components", text, text})
	}
	for i, text := range now.apisText() {
		lines = append(lines, line{fmt.Sprintf("api%d", i), text, text})
	}
	if !now.metricKnown {
		return lines
	}
	replicas := fmt.Sprintf("%d, wanted %d", now.replicas, now.wanted)
	rate := fmt.Sprintf("%.0f per pod, load %g", now.metric, s.load)
	pods := fmt.Sprintf("%s at %.0f requests/s per pod, load %g", replicas, now.metric, s.load)
	if !s.terminal {
		bar := strings.Repeat("#", int(now.replicas))
		return append(lines, line{"pods", fmt.Sprintf("%-*s %s", kit.SampleMaxReplicas, bar, pods), fmt.Sprint(replicas, s.load)})
	}
	return append(lines,
		line{label: "requests/s", text: fmt.Sprintf("%-*s %s", samplesShown, sparkline(s.rates, load), rate)},
		line{label: "pods", text: fmt.Sprintf("%-*s %s", samplesShown, sparkline(s.replicas, kit.SampleMaxReplicas), replicas)},
	)
}

// sparkline draws values from 0 to top as a row of bars.
func sparkline(values []float64, top float64) string {
	bars := []rune("\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588")
	var drawn strings.Builder
	for _, value := range values {
		level := int(value / top * float64(len(bars)-1))
		drawn.WriteRune(bars[max(0, min(level, len(bars)-1))])
	}
	return drawn.String()
}

func tail(values []float64) []float64 { return values[max(0, len(values)-samplesShown):] }

// clock is a duration as minutes and seconds.
func clock(d time.Duration) string {
	return fmt.Sprintf("%2d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
