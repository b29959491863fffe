// Package layers states which package of internal/ may import which (docs/architecture.md), and its test proves that
// the linter's configuration refuses everything else. The statement is kept apart from .golangci.yml on purpose: a rule
// that is lost or mistyped there fails the test instead of quietly letting a layer be crossed.
package layers

// Module is the path of the operator's Go module.
const Module = "github.com/metricspipeline/operator"

// leaf lists what a layer that does one thing may import: it never sees another such layer, so that each can be read,
// tested and replaced alone. internal/controller connects them.
var leaf = []string{"api/v1alpha1", "internal/assets", "internal/component"}

// Allowed maps each package of the operator to the packages of this module that it may import, itself aside. A new
// package under internal/ has to be entered here and in .golangci.yml.
var Allowed = map[string][]string{
	"api/v1alpha1":        {},
	"internal/assets":     {"api/v1alpha1"},
	"internal/component":  {"api/v1alpha1", "internal/assets"},
	"internal/rules":      leaf,
	"internal/render":     leaf,
	"internal/apply":      leaf,
	"internal/health":     leaf,
	"internal/certs":      leaf,
	"internal/scrape":     leaf,
	"internal/probe":      leaf,
	"internal/prometheus": leaf,
	// The part of internal/certs that reads and writes the cluster.
	"internal/certs/provider": {"api/v1alpha1", "internal/certs"},
	"internal/controller": {
		"api/v1alpha1", "internal/apply", "internal/assets", "internal/certs", "internal/certs/provider", "internal/component",
		"internal/controller/optional", "internal/controller/scraping",
		"internal/health", "internal/probe", "internal/prometheus", "internal/render", "internal/rules", "internal/scrape",
	},
	// Parts of the controller's layer: the controller puts them together, and they know nothing of it.
	"internal/controller/optional": {"api/v1alpha1"},
	"internal/controller/scraping": {
		"api/v1alpha1", "internal/apply", "internal/assets", "internal/certs", "internal/certs/provider", "internal/component",
		"internal/controller/optional",
		"internal/health", "internal/probe", "internal/prometheus", "internal/render", "internal/rules", "internal/scrape",
		"internal/scrape/index",
	},
	"cmd/manager": {"api/v1alpha1", "internal/controller"},
}
