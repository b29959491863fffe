// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"
)

// HistoryShown is how many of the rates are drawn.
const HistoryShown = 24

// How a state looks on a terminal: the mark of a step, that of a link, and the color.
var looks = map[State]struct{ step, link, color string }{
	Absent:  {"·", "┊", "90"},
	Waiting: {"…", "┊", "33"},
	Works:   {"✓", "│", "32"},
	Broken:  {"✗", "✗", "31"},
}

// Draw is the picture for a terminal with that many columns, line by line. No line is longer, so that none is wrapped: what is drawn can
// be drawn over.
func Draw(now *Seen, columns int, color bool) []string {
	lines := []string{drawn(Operator(now), columns, color)}
	if now.Pipeline == nil {
		return lines
	}
	lines = append(lines, "")
	for _, part := range Chain(now) {
		lines = append(lines, drawn(part, columns, color))
	}
	if now.App == nil || now.Scaler == nil {
		return lines
	}
	return append(lines, "",
		cut(fmt.Sprintf("  %-11s %-*s  %s", "requests/s", HistoryShown, bars(now.Rates, now.Load), ratesText(now)), columns),
		cut(fmt.Sprintf("  %-11s %-*s  %s", "pods", HistoryShown, boxes(now, "■", "□"), podsText(now)), columns))
}

func drawn(part Part, columns int, color bool) string {
	look := looks[part.State]
	name, mark, text := part.Name, look.step, part.Text
	if part.Link {
		name, mark, text = "", look.link, "  "+part.Text
	}
	before := fmt.Sprintf("  %-11s ", name)
	line := cut(before+mark+" "+text, columns)
	if !color || len([]rune(line)) <= len([]rune(before)) {
		return line
	}
	return before + "\x1b[" + look.color + "m" + mark + "\x1b[0m" + strings.TrimPrefix(line, before+mark)
}

// cut shortens a line to a number of columns; each rune that is drawn here takes one.
func cut(line string, columns int) string {
	runes := []rune(strings.TrimRight(strings.ReplaceAll(line, "\n", " "), " "))
	if len(runes) <= columns {
		return string(runes)
	}
	return string(runes[:max(0, columns-1)]) + "…"
}

// bars draws the newest values as a row of bars. The highest is that of the largest value, or of top where that is larger.
func bars(values []float64, top float64) string {
	heights := []rune("▁▂▃▄▅▆▇█")
	values = values[max(0, len(values)-HistoryShown):]
	for _, value := range values {
		top = max(top, value)
	}
	var row strings.Builder
	for _, value := range values {
		level := 0
		if top > 0 {
			level = int(value / top * float64(len(heights)-1))
		}
		row.WriteRune(heights[max(0, min(level, len(heights)-1))])
	}
	return row.String()
}

// boxes draws a box for each pod that serves, and an empty one for each that the HPA wants besides.
func boxes(now *Seen, full, empty string) string {
	ready, wanted := int(now.Replicas()), int(now.Scaler.Status.DesiredReplicas)
	return strings.Repeat(full, ready) + strings.Repeat(empty, max(0, wanted-ready))
}

func ratesText(now *Seen) string {
	text := decimal(now.Load) + " sent"
	if rate, known := now.Rate(); known {
		_, target := now.Metric()
		text += fmt.Sprintf("; the HPA reads %s per pod, target %s", decimal(rate), decimal(target))
	}
	return text
}

func podsText(now *Seen) string {
	text := fmt.Sprintf("%d ready", now.Replicas())
	if wanted := now.Scaler.Status.DesiredReplicas; wanted > 0 {
		text += fmt.Sprintf(", %d wanted", wanted)
	}
	return text + fmt.Sprintf(", at most %d", now.Scaler.Spec.MaxReplicas)
}

// change is a line for a log: text is printed when the key of what has that name has changed.
type change struct{ name, key, text string }

// changes are the lines for a log, in ASCII.
func changes(now *Seen) []change {
	parts := []Part{Operator(now)}
	if now.Pipeline != nil {
		parts = append(parts, Chain(now)...)
	}
	all := make([]change, 0, len(parts)+1)
	for _, part := range parts {
		key := part.Key
		if key == "" {
			key = part.Text
		}
		all = append(all, change{part.Name, part.State.String() + key, fmt.Sprintf("%-7s  %s", part.State, part.Text)})
	}
	if _, known := now.Rate(); known && now.App != nil {
		all = append(all, change{"pods", podsText(now) + decimal(now.Load),
			fmt.Sprintf("%-*s  %s; requests/s: %s", now.Scaler.Spec.MaxReplicas+4, boxes(now, "#", "-"), podsText(now), ratesText(now))})
	}
	return all
}
