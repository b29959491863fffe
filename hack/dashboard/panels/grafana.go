// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package panels

import "fmt"

// The parts of Grafana's model of a dashboard that this one needs.
type (
	dashboard struct {
		UID           string      `json:"uid"`
		Title         string      `json:"title"`
		Description   string      `json:"description"`
		Tags          []string    `json:"tags"`
		SchemaVersion int         `json:"schemaVersion"`
		Editable      bool        `json:"editable"`
		Refresh       string      `json:"refresh"`
		Time          timeRange   `json:"time"`
		Templating    templating  `json:"templating"`
		Panels        []gridPanel `json:"panels"`
	}
	timeRange struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	templating struct {
		List []variable `json:"list"`
	}
	variable struct {
		Name  string `json:"name"`
		Label string `json:"label"`
		Type  string `json:"type"`
		Query string `json:"query"`
	}
	gridPanel struct {
		ID          int         `json:"id"`
		Type        Kind        `json:"type"`
		Title       string      `json:"title"`
		Description string      `json:"description,omitempty"`
		Datasource  datasource  `json:"datasource"`
		GridPos     gridPos     `json:"gridPos"`
		Targets     []target    `json:"targets"`
		FieldConfig fieldConfig `json:"fieldConfig"`
		Options     any         `json:"options"`
	}
	datasource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	gridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	target struct {
		RefID        string     `json:"refId"`
		Datasource   datasource `json:"datasource"`
		Expr         string     `json:"expr"`
		LegendFormat string     `json:"legendFormat"`
		Instant      bool       `json:"instant,omitempty"`
		Range        bool       `json:"range,omitempty"`
	}
	fieldConfig struct {
		Defaults  defaults `json:"defaults"`
		Overrides []any    `json:"overrides"`
	}
	defaults struct {
		Unit     string    `json:"unit,omitempty"`
		Mappings []mapping `json:"mappings,omitempty"`
		Min      *float64  `json:"min,omitempty"`
	}
	mapping struct {
		Type    string            `json:"type"`
		Options map[string]result `json:"options"`
	}
	result struct {
		Text  string `json:"text"`
		Color string `json:"color"`
		Index int    `json:"index"`
	}
	statOptions struct {
		ReduceOptions reduce `json:"reduceOptions"`
		TextMode      string `json:"textMode,omitempty"`
		ColorMode     string `json:"colorMode,omitempty"`
		DisplayMode   string `json:"displayMode,omitempty"`
		Orientation   string `json:"orientation,omitempty"`
	}
	reduce struct {
		Calcs []string `json:"calcs"`
	}
	graphOptions struct {
		Legend  legend  `json:"legend"`
		Tooltip tooltip `json:"tooltip"`
	}
	legend struct {
		DisplayMode string `json:"displayMode"`
		Placement   string `json:"placement"`
		ShowLegend  bool   `json:"showLegend"`
	}
	tooltip struct {
		Mode string `json:"mode"`
	}
)

// columns of a dashboard.
const columns = 24

var prometheusSource = datasource{Type: "prometheus", UID: "${datasource}"}

// Dashboard returns the dashboard as Grafana imports it.
func Dashboard() any {
	d := dashboard{
		UID: "metricspipeline", Title: "MetricsPipeline", Tags: []string{"metricspipeline"}, SchemaVersion: 39, Editable: true,
		Description: "The metrics stack of the cluster: kubectl top, HorizontalPodAutoscalers, and what Prometheus scrapes. " +
			"Generated; see docs/metrics.md.",
		Refresh: "30s", Time: timeRange{"now-1h", "now"},
		Templating: templating{[]variable{{Name: "datasource", Label: "Prometheus", Type: "datasource", Query: "prometheus"}}},
	}
	for _, placed := range Placed() {
		d.Panels = append(d.Panels, placed.grafana(len(d.Panels)+1))
	}
	return d
}

// Place is a panel with its place on the dashboard.
type Place struct {
	Panel
	X, Y int
}

// Placed returns the panels with their places: each beside the one before, as long as there is room.
func Placed() []Place {
	var all []Place
	x, y, height := 0, 0, 0
	for _, p := range All() {
		if x+p.Width > columns {
			x, y, height = 0, y+height, 0
		}
		all = append(all, Place{Panel: p, X: x, Y: y})
		x, height = x+p.Width, max(height, p.Height)
	}
	return all
}

func (p Place) grafana(id int) gridPanel {
	g := gridPanel{ID: id, Type: p.Kind, Title: p.Title, Description: p.Description, Datasource: prometheusSource,
		GridPos: gridPos{H: p.Height, W: p.Width, X: p.X, Y: p.Y}, FieldConfig: fieldConfig{Overrides: []any{}}}
	g.FieldConfig.Defaults.Unit = p.Unit
	if len(p.Words) > 0 {
		words := map[string]result{}
		for i, word := range p.Words {
			words[word.Value] = result{Text: word.Text, Color: word.Color, Index: i}
		}
		g.FieldConfig.Defaults.Mappings = []mapping{{Type: "value", Options: words}}
	}
	for i, query := range p.Queries {
		g.Targets = append(g.Targets, target{RefID: fmt.Sprintf("%c", 'A'+i), Datasource: prometheusSource, Expr: query.Expr,
			LegendFormat: query.Legend, Instant: p.Kind != TimeSeries, Range: p.Kind == TimeSeries})
	}
	last := reduce{Calcs: []string{"lastNotNull"}}
	switch p.Kind {
	case Stat:
		g.Options = statOptions{ReduceOptions: last, TextMode: "value_and_name", ColorMode: "background"}
	case BarGauge:
		g.Options = statOptions{ReduceOptions: last, DisplayMode: "basic", Orientation: "horizontal"}
	case TimeSeries:
		g.Options = graphOptions{
			Legend: legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true}, Tooltip: tooltip{Mode: "multi"}}
	}
	return g
}
