// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package panels has what the dashboard of the stack shows, in the order of a platform engineer's questions: does it work, what is
// about to break, who uses it, what is scraped, and how the operator does.
package panels

// The jobs of the targets: prometheus-operator names them after their Services.
const (
	operatorJob = `job="metricspipeline-operator-metrics"`
	servers     = `job=~"metrics-server|prometheus-adapter", group=~".*metrics.k8s.io"`
)

// Kind of a panel.
type Kind string

// Kinds.
const (
	Stat       Kind = "stat"
	TimeSeries Kind = "timeseries"
	BarGauge   Kind = "bargauge"
)

// Panel is one of the dashboard.
type Panel struct {
	Kind               Kind
	Title, Description string
	// Unit of the values, by Grafana's name for it.
	Unit    string
	Queries []Query
	// Words are what values stand for, and whether that is well; nil where the number is shown.
	Words []Word
	// Width is in 24ths of the dashboard, Height in rows of it.
	Width, Height int
}

// Query is PromQL, and how its series are named: by Grafana's template of their labels.
type Query struct{ Expr, Legend string }

// Word stands for a value.
type Word struct {
	Value string
	Text  string
	Color string
}

const (
	green = "green"
	red   = "red"
	amber = "orange"
)

func yesNo(yes, no string) []Word {
	return []Word{{"1", yes, green}, {"0", no, red}, {"-1", "Unknown", amber}}
}

func one(expr, legend string) []Query { return []Query{{expr, legend}} }

// All are the panels, from left to right and from top to bottom.
func All() []Panel {
	return append(works(), append(uses(), operator()...)...)
}

// works says what works, and what is about to break.
func works() []Panel {
	return []Panel{
		{Kind: Stat, Title: "Pipeline", Width: 4, Height: 4, Words: yesNo("Ready", "Not ready"),
			Description: "The condition Ready of the MetricsPipeline.",
			Queries:     one(`max(metricspipeline_condition{condition="Ready"})`, "Ready")},
		{Kind: Stat, Title: "Metrics APIs", Width: 14, Height: 4, Words: yesNo("Available", "Unavailable"),
			Description: "Those that the pipeline demands. While one is unavailable, HorizontalPodAutoscalers on it stand still, and no " +
				"namespace can be deleted.",
			Queries: one(`max by (apiservice) (metricspipeline_apiservice_available)`, "{{apiservice}}")},
		{Kind: Stat, Title: "Alerts that fire", Width: 3, Height: 4,
			Description: "Alerts about the stack, see docs/alerts.md.",
			Queries:     one(`count(ALERTS{alertname=~"MetricsPipeline.*", alertstate="firing"}) or vector(0)`, "firing")},
		{Kind: Stat, Title: "Version", Width: 3, Height: 4, Description: "Of the operator, by its replicas.",
			Queries: one(`count by (version) (metricspipeline_build_info)`, "{{version}}")},
		{Kind: TimeSeries, Title: "Conditions", Width: 12, Height: 8, Unit: "none",
			Description: "1 is True, 0 is False, -1 is Unknown. Stalled and Reconciling should be 0, all others 1.",
			Queries:     one(`max by (condition) (metricspipeline_condition)`, "{{condition}}")},
		{Kind: TimeSeries, Title: "Pods of the components", Width: 6, Height: 8, Unit: "none",
			Queries: []Query{
				{`max by (component) (metricspipeline_component_replicas_ready)`, "{{component}} ready"},
				{`max by (component) (metricspipeline_component_replicas)`, "{{component}} desired"}}},
		{Kind: BarGauge, Title: "Certificates: time left", Width: 6, Height: 8, Unit: "s",
			Description: "A third of its life before it ends, a certificate is renewed.",
			Queries:     one(`min by (secret) (metricspipeline_certificate_expiry_timestamp_seconds) - time()`, "{{secret}}")},
	}
}

// uses says who asks the metrics APIs, and what is scraped.
func uses() []Panel {
	return []Panel{
		{Kind: TimeSeries, Title: "Requests to the metrics APIs", Width: 12, Height: 7, Unit: "reqps",
			Description: "By HorizontalPodAutoscalers, kubectl top and others, by group and answer.",
			Queries:     one(`sum by (group, code) (rate(apiserver_request_total{`+servers+`}[5m]))`, "{{group}} {{code}}")},
		{Kind: TimeSeries, Title: "Duration of these requests, 99th percentile", Width: 12, Height: 7, Unit: "s",
			Queries: one(`histogram_quantile(0.99, sum by (le, group) (rate(apiserver_request_duration_seconds_bucket{`+servers+`}[5m])))`,
				"{{group}}")},
		{Kind: TimeSeries, Title: "Annotated apps that are scraped", Width: 6, Height: 7, Unit: "none",
			Queries: []Query{
				{`max by (kind) (metricspipeline_scrape_apps)`, "{{kind}}s"},
				{`max(metricspipeline_scrape_monitors)`, "monitors"},
				{`max by (state) (metricspipeline_scrape_targets)`, "targets {{state}}"}}},
		{Kind: TimeSeries, Title: "Apps and namespaces that are not", Width: 6, Height: 7, Unit: "none",
			Description: "status.scrape lists them, with the reason, and status.autoscalers the HPAs that fail, here by reason.",
			Queries: []Query{
				{`max(metricspipeline_scrape_apps_rejected)`, "rejected apps"},
				{`max(metricspipeline_scrape_namespaces_not_scraped)`, "namespaces"},
				{`max by (reason) (metricspipeline_autoscaler_failing) > 0 or on () label_replace(vector(0), "reason", "none", "", "")`,
					"HPAs that fail: {{reason}}"}}},
		{Kind: TimeSeries, Title: "Rules by state", Width: 6, Height: 7, Unit: "none",
			Description: "Rejected rules serve nothing, those in their last good form have to be corrected.",
			Queries:     one(`max by (state) (metricspipeline_rules)`, "{{state}}")},
		{Kind: TimeSeries, Title: "Managed objects", Width: 6, Height: 7, Unit: "none",
			Queries: one(`max by (kind) (metricspipeline_managed_objects)`, "{{kind}}")},
	}
}

// operator says how the operator does.
func operator() []Panel {
	return []Panel{
		{Kind: TimeSeries, Title: "Reconcile errors by phase", Width: 8, Height: 7, Unit: "none",
			Queries: one(`sum by (phase) (increase(metricspipeline_reconcile_errors_total[5m]))`, "{{phase}}")},
		{Kind: TimeSeries, Title: "Reconciles: duration, 99th percentile", Width: 8, Height: 7, Unit: "s",
			Queries: one(`histogram_quantile(0.99, sum by (le, controller) (rate(controller_runtime_reconcile_time_seconds_bucket{`+
				operatorJob+`}[5m])))`, "{{controller}}")},
		{Kind: TimeSeries, Title: "Drift repairs", Width: 8, Height: 7, Unit: "none",
			Description: "What other writers had changed or deleted, by kind.",
			Queries:     one(`sum by (kind) (increase(metricspipeline_drift_repairs_total[5m]))`, "{{kind}}")},
		{Kind: TimeSeries, Title: "Requests of the operator to the API server", Width: 8, Height: 7, Unit: "reqps",
			Description: "At rest: the renewal of its lease, and the authentication of scrapes.",
			Queries:     one(`sum by (method, code) (rate(rest_client_requests_total{`+operatorJob+`}[5m]))`, "{{method}} {{code}}")},
		{Kind: TimeSeries, Title: "Memory of the operator", Width: 8, Height: 7, Unit: "bytes",
			Queries: one(`process_resident_memory_bytes{`+operatorJob+`}`, "{{pod}}")},
		{Kind: TimeSeries, Title: "CPU of the operator", Width: 8, Height: 7, Unit: "none",
			Queries: one(`rate(process_cpu_seconds_total{`+operatorJob+`}[5m])`, "{{pod}}")},
	}
}
