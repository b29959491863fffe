// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package picture draws the dashboard as an SVG, from what a Prometheus answers to its queries. It shows what a person sees in Grafana,
// without one.
package picture

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/metricspipeline/operator/hack/dashboard/panels"
)

// Series is what a query gave: labels, and values by time in seconds since 1970.
type Series struct {
	Labels map[string]string
	Times  []float64
	Values []float64
}

// last is the newest value.
func (s Series) last() float64 {
	if len(s.Values) == 0 {
		return math.NaN()
	}
	return s.Values[len(s.Values)-1]
}

// Sizes in pixels: of a column and a row of the dashboard, and of what is in a panel.
const (
	column, row = 60, 36
	gap, pad    = 6, 12
	lineHeight  = 17
	letter      = 6.6 // of the legend, on average
)

var (
	colors = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#ff7383", "#8ab8ff", "#c0d8ff", "#96d98d", "#ffb357",
		"#d8d9da", "#37872d", "#e0b400", "#1f60c4"}
	backgrounds = map[string]string{"green": "#2f7a34", "red": "#c4162a", "orange": "#d9822b", "": "#1f60c4"}
)

// canvas collects the parts of an SVG.
type canvas struct{ bytes.Buffer }

func (c *canvas) rect(x, y, width, height float64, fill string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3" fill="%s"/>`+"\n", x, y, width, height, fill)
}

func (c *canvas) text(x, y, size float64, fill, anchor, content string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" font-size="%.0f" fill="%s" text-anchor="%s">%s</text>`+"\n", x, y, size, fill, anchor,
		html.EscapeString(content))
}

// Draw returns the picture. answer has the series of each query.
func Draw(answer func(panels.Query) []Series) []byte {
	placed := panels.Placed()
	height := 0
	for _, p := range placed {
		height = max(height, p.Y+p.Height)
	}
	c := &canvas{}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Inter, Helvetica, Arial, sans-serif">`+"\n",
		24*column+2*gap, height*row+2*gap)
	c.rect(0, 0, float64(24*column+2*gap), float64(height*row+2*gap), "#111217")
	for _, p := range placed {
		x, y := float64(p.X*column+gap+gap/2), float64(p.Y*row+gap+gap/2)
		area{c, x, y, float64(p.Width*column - gap), float64(p.Height*row - gap)}.panel(p.Panel, answer)
	}
	c.WriteString("</svg>\n")
	return c.Bytes()
}

// area is a rectangle of the picture.
type area struct {
	*canvas
	x, y, width, height float64
}

func (a area) panel(p panels.Panel, answer func(panels.Query) []Series) {
	a.rect(a.x, a.y, a.width, a.height, "#181b1f")
	a.text(a.x+pad, a.y+20, 13, "#ccccdc", "start", p.Title)
	var all []Series
	var names []string
	for _, query := range p.Queries {
		for _, series := range answer(query) {
			all, names = append(all, series), append(names, legend(query.Legend, series.Labels))
		}
	}
	inner := area{a.canvas, a.x + pad, a.y + 30, a.width - 2*pad, a.height - 30 - pad}
	switch p.Kind {
	case panels.Stat:
		inner.stats(p, all, names)
	case panels.BarGauge:
		inner.bars(p, all, names)
	case panels.TimeSeries:
		inner.lines(p, all, names)
	}
}

// legend fills the labels into a template.
func legend(template string, labels map[string]string) string {
	for name, value := range labels {
		template = strings.ReplaceAll(template, "{{"+name+"}}", value)
	}
	return template
}

// stats draws a tile for each series.
func (a area) stats(p panels.Panel, all []Series, names []string) {
	width := a.width / float64(max(len(all), 1))
	for i, series := range all {
		shown, color := format(series.last(), p.Unit), ""
		for _, word := range p.Words {
			if word.Value == strconv.FormatFloat(series.last(), 'f', -1, 64) {
				shown, color = word.Text, word.Color
			}
		}
		x := a.x + float64(i)*width
		a.rect(x, a.y, width-gap, a.height, backgrounds[color])
		a.text(x+width/2-gap/2, a.y+a.height/2+2, 20, "#ffffff", "middle", shown)
		a.text(x+width/2-gap/2, a.y+a.height-10, 11, "#ffffff", "middle", names[i])
	}
}

// bars draws a bar for each series.
func (a area) bars(p panels.Panel, all []Series, names []string) {
	length := func(series Series) float64 { // NaN compares with nothing.
		if value := series.last(); value > 0 {
			return value
		}
		return 0
	}
	most := 1.0
	for _, series := range all {
		most = max(most, length(series))
	}
	height := min(a.height/float64(max(len(all), 1)), 52)
	for i, series := range all {
		y := a.y + float64(i)*height
		a.text(a.x, y+14, 12, "#ccccdc", "start", names[i])
		a.rect(a.x, y+20, (a.width-70)*length(series)/most, height-28, "#73bf69")
		a.text(a.x+a.width, y+22+(height-28)/2, 13, "#ffffff", "end", format(series.last(), p.Unit))
	}
}

// lines draws a graph of all series, with a legend below.
func (a area) lines(p panels.Panel, all []Series, names []string) {
	rows := a.legend(all, names)
	graph := area{a.canvas, a.x + 48, a.y, a.width - 48, a.height - float64(rows)*lineHeight - 22}
	low, high, from, to := bounds(all)
	for i := range 4 {
		share := float64(i) / 3
		y := graph.y + graph.height*(1-share)
		fmt.Fprintf(a, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#2c3235"/>`+"\n", graph.x, y, graph.x+graph.width, y)
		a.text(graph.x-6, y+4, 11, "#9fa7b3", "end", format(low+(high-low)*share, p.Unit))
		at := time.Unix(int64(from+(to-from)*share), 0).UTC().Format("15:04:05")
		a.text(graph.x+graph.width*(0.06+0.88*share), graph.y+graph.height+16, 11, "#9fa7b3", "middle", at)
	}
	for i, series := range all {
		var points []string
		for j, value := range series.Values {
			if !math.IsNaN(value) {
				points = append(points, fmt.Sprintf("%.1f,%.1f", graph.x+graph.width*(series.Times[j]-from)/(to-from),
					graph.y+graph.height*(1-(value-low)/(high-low))))
			}
		}
		fmt.Fprintf(a, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(points, " "),
			colors[i%len(colors)])
	}
}

// legend writes the names of the series at the bottom, and returns how many lines they take.
func (a area) legend(all []Series, names []string) int {
	type entry struct {
		x    float64
		line int
	}
	var entries []entry
	x, line := 0.0, 0
	for i := range all {
		width := 24 + letter*float64(len(names[i]))
		if x > 0 && x+width > a.width {
			x, line = 0, line+1
		}
		entries = append(entries, entry{x, line})
		x += width
	}
	for i, e := range entries {
		y := a.y + a.height - float64(line-e.line)*lineHeight
		a.rect(a.x+e.x, y-7, 12, 4, colors[i%len(colors)])
		a.text(a.x+e.x+16, y, 11, "#ccccdc", "start", names[i])
	}
	return line + 1
}

// bounds returns those of the values, 0 among them, and of the times.
func bounds(all []Series) (low, high, from, to float64) {
	from, to = math.Inf(1), math.Inf(-1)
	for _, series := range all {
		for i, value := range series.Values {
			if !math.IsNaN(value) {
				low, high = min(low, value), max(high, value)
			}
			from, to = min(from, series.Times[i]), max(to, series.Times[i])
		}
	}
	if high == low {
		high = low + 1
	}
	if to <= from {
		from, to = 0, 1
	}
	return low, high, from, to
}

// format writes a value in a unit of Grafana's.
func format(value float64, unit string) string {
	switch {
	case math.IsNaN(value):
		return "-"
	case unit == "bytes":
		return fmt.Sprintf("%.0f MiB", value/(1<<20))
	case unit == "s" && value >= 48*3600:
		return fmt.Sprintf("%.0f days", value/86400)
	case unit == "s" && value < 1:
		return fmt.Sprintf("%.3g ms", value*1000)
	case unit == "s":
		return fmt.Sprintf("%.3g s", value)
	case unit == "reqps":
		return fmt.Sprintf("%.2g/s", value)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}
