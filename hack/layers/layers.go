// Package layers states which package of internal/ may import which (docs/architecture.md), and its test proves that
// the linter's configuration refuses everything else. The statement is kept apart from .golangci.yml on purpose: a rule
// that is lost or mistyped there fails the test instead of quietly letting a layer be crossed.
package layers

// Module is the path of the operator's Go module.
const Module = "github.com/metricspipeline/operator"

// Allowed maps each package of the operator to the packages of this module that it may import, itself aside. A new
// package under internal/ has to be entered here and in .golangci.yml.
var Allowed = map[string][]string{
	"api/v1alpha1":            {},
	"internal/text":           {"api/v1alpha1"},
	"internal/assets":         {"api/v1alpha1"},
	"internal/kinds":          {"api/v1alpha1"},
	"internal/probe":          {"api/v1alpha1"},
	"internal/health":         {"api/v1alpha1"},
	"internal/ownership":      {"api/v1alpha1"},
	"internal/metricsapi":     {"api/v1alpha1"},
	"internal/certs":          {"api/v1alpha1"},
	"internal/prometheus":     {"api/v1alpha1"},
	"internal/kubelet":        {"api/v1alpha1"},
	"internal/store":          {"api/v1alpha1"},
	"internal/pace":           {"api/v1alpha1"},
	"internal/presets":        {"api/v1alpha1"},
	"internal/certs/provider": {"api/v1alpha1", "internal/certs"},
	"internal/scrape":         {"api/v1alpha1", "internal/text"},
	// Its tests alone know the assets and the monitors of annotated apps.
	"internal/scrape/promconfig": {"api/v1alpha1"},
	"internal/scrape/index":      {"api/v1alpha1", "internal/scrape", "internal/store", "internal/text"},
	"internal/apply":             {"api/v1alpha1", "internal/kinds", "internal/ownership"},
	"internal/cluster": {
		"api/v1alpha1", "internal/autoscaler", "internal/health", "internal/kinds", "internal/metricsapi", "internal/ownership",
		"internal/probe",
		"internal/prometheus",
	},
	"internal/operand": {
		"api/v1alpha1", "internal/derive", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi",
		"internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster",
	},
	"internal/operand/operandtest": {
		"api/v1alpha1", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand",
	},
	"internal/operand/prometheusadapter/rules": {"api/v1alpha1", "internal/metricsapi", "internal/text"},
	"internal/operand/metricsserver": {
		"api/v1alpha1", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand",
	},
	"internal/operand/selfmonitoring": {
		"api/v1alpha1", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand",
	},
	"internal/operand/managedprometheus": {
		"api/v1alpha1", "internal/assets", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi",
		"internal/ownership", "internal/probe", "internal/prometheus", "internal/cluster", "internal/operand", "internal/scrape/promconfig",
	},
	"internal/operand/prometheusadapter": {
		"api/v1alpha1", "internal/derive", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi",
		"internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand", "internal/operand/prometheusadapter/rules",
		"internal/text",
	},
	"internal/operand/registry": {
		"api/v1alpha1", "internal/operand", "internal/operand/managedprometheus", "internal/operand/metricsserver",
		"internal/operand/prometheusadapter", "internal/operand/selfmonitoring",
	},
	"internal/render/patchpolicy": {"api/v1alpha1", "internal/ownership"},
	"internal/render": {
		"api/v1alpha1", "internal/assets", "internal/operand", "internal/ownership", "internal/render/patchpolicy",
	},
	"internal/registration": {
		"api/v1alpha1", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand",
	},
	"internal/report": {
		"api/v1alpha1", "internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/cluster", "internal/operand", "internal/apply", "internal/certs",
		"internal/registration", "internal/text",
	},
	"internal/controller/pipeline": {
		"api/v1alpha1", "internal/apply", "internal/autoscaler", "internal/certs", "internal/certs/provider", "internal/cluster",
		"internal/derive",
		"internal/health", "internal/kinds", "internal/kubelet", "internal/metricsapi", "internal/operand", "internal/ownership",
		"internal/probe", "internal/prometheus", "internal/registration", "internal/render", "internal/report",
		"internal/text",
	},
	"internal/controller/monitors": {
		"api/v1alpha1", "internal/apply", "internal/cluster", "internal/health", "internal/kinds", "internal/metricsapi",
		"internal/ownership", "internal/pace", "internal/probe", "internal/prometheus", "internal/scrape", "internal/scrape/index",
		"internal/scrape/promconfig",
		"internal/text",
	},
	"internal/diagnose":   {"api/v1alpha1", "internal/autoscaler", "internal/metricsapi", "internal/text"},
	"internal/derive":     {"api/v1alpha1", "internal/autoscaler", "internal/metricsapi", "internal/text"},
	"internal/autoscaler": {"api/v1alpha1", "internal/metricsapi", "internal/store", "internal/text"},
	"internal/diagnose/collect": {
		"api/v1alpha1", "internal/autoscaler", "internal/derive", "internal/cluster", "internal/diagnose", "internal/health",
		"internal/kinds", "internal/kubelet",
		"internal/metricsapi", "internal/operand", "internal/ownership", "internal/presets", "internal/probe", "internal/prometheus",
		"internal/scrape",
		"internal/text",
	},
	"internal/cli": {
		"api/v1alpha1", "internal/apply", "internal/autoscaler", "internal/certs", "internal/cluster", "internal/derive",
		"internal/diagnose", "internal/diagnose/collect", "internal/health", "internal/kinds", "internal/kubelet",
		"internal/metricsapi", "internal/operand", "internal/operand/prometheusadapter", "internal/operand/prometheusadapter/rules",
		"internal/operand/registry", "internal/ownership", "internal/presets", "internal/probe", "internal/prometheus",
		"internal/registration",
		"internal/report", "internal/scrape", "internal/text",
	},
	"internal/controller/autoscalers": {
		"api/v1alpha1", "internal/apply", "internal/autoscaler", "internal/cluster", "internal/derive", "internal/diagnose",
		"internal/diagnose/collect", "internal/health", "internal/kinds", "internal/metricsapi", "internal/operand",
		"internal/ownership", "internal/pace", "internal/probe", "internal/prometheus", "internal/scrape", "internal/text",
	},
	"internal/controller": {
		"api/v1alpha1", "internal/apply", "internal/autoscaler", "internal/certs", "internal/certs/provider", "internal/cluster",
		"internal/controller/autoscalers", "internal/controller/monitors", "internal/controller/pipeline", "internal/derive",
		"internal/diagnose", "internal/diagnose/collect", "internal/health", "internal/kinds", "internal/kubelet",
		"internal/metricsapi", "internal/operand", "internal/operand/registry", "internal/ownership", "internal/probe",
		"internal/prometheus", "internal/registration", "internal/render", "internal/report", "internal/scrape",
		"internal/scrape/index", "internal/text",
	},
	"cmd/manager":                 {"api/v1alpha1", "internal/controller"},
	"cmd/kubectl-metricspipeline": {"api/v1alpha1", "internal/cli"},
}
