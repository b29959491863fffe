// Package components builds the parts of the test cluster from their Go modules and keeps the finished binaries.
//
// Each component is pinned by the go.mod of a folder; nothing is downloaded but Go modules. Those of the folder shared have
// one go.mod in common.
package components

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Binary is one executable of a component.
type Binary struct {
	// Name is the file name of the finished binary.
	Name string
	// Package is the import path of its main package.
	Package string
}

// Component is one upstream project and what is built from it.
type Component struct {
	// Name is what messages and the cache call it.
	Name string
	// Folder is the folder below components/ with the go.mod that pins it; empty where that is Name.
	Folder string
	// Module is the path of the module whose required version is the component's version; empty for a program that is
	// ours alone.
	Module string
	// Binaries are built together, so that shared packages compile once.
	Binaries []Binary
	// Cold is how long the build takes on two processors, and Packages how many it compiles, when the components before it are
	// all that is in the build cache. What is left of a series of builds is estimated from them.
	Cold     time.Duration
	Packages int
	// versionVariables are the string variables that the version is linked into.
	versionVariables []string
	// tags are build tags.
	tags []string
}

// shared is the folder of the components that have one go.mod, so that all of them are built from the same version of each
// package, and no package is compiled twice.
const shared = "shared"

// folder is the folder of the component's go.mod below components/.
func (c Component) folder() string { return cmp.Or(c.Folder, c.Name) }

// The names of all binaries, as for [Builder.Binaries].
const (
	KubeAPIServer             = "kube-apiserver"
	KubeControllerManager     = "kube-controller-manager"
	KubeProxy                 = "kube-proxy"
	KubeScheduler             = "kube-scheduler"
	Kubectl                   = "kubectl"
	Kubelet                   = "kubelet"
	Etcd                      = "etcd"
	CoreDNS                   = "coredns"
	MetricsServer             = "metrics-server"
	PrometheusAdapter         = "prometheus-adapter"
	Prometheus                = "prometheus"
	Promtool                  = "promtool"
	PrometheusOperator        = "prometheus-operator"
	PrometheusConfigReloader  = "prometheus-config-reloader"
	Pause                     = "pause"
	CertManager               = "cert-manager"
	KubeRouter                = "kube-router"
	OLM                       = "olm"
	Catalog                   = "catalog"
	CopyBundle                = "cpb"
	OPM                       = "opm"
	HealthProbe               = "grpc-health-probe"
	Copy                      = "copy"
	KubeAPIServerNext         = "kube-apiserver-next"
	KubeControllerManagerNext = "kube-controller-manager-next"
	VPARecommender            = "vpa-recommender"
	KEDAOperator              = "keda"
	KEDAAdapter               = "keda-adapter"
	Traefik                   = "traefik"
	// thanos is loaded by who asks for it.
	thanos = "thanos"
)

// All lists every component, in the order of building: what others share packages with comes first.
var All = slices.Concat(base, stack)

// base are the components of every cluster, and those that most tests need.
var base = []Component{
	{
		Name:   "kubernetes",
		Folder: shared,
		Module: "k8s.io/kubernetes",
		Binaries: []Binary{
			{KubeAPIServer, "k8s.io/kubernetes/cmd/kube-apiserver"},
			{KubeControllerManager, "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{KubeProxy, "k8s.io/kubernetes/cmd/kube-proxy"},
			{KubeScheduler, "k8s.io/kubernetes/cmd/kube-scheduler"},
			{Kubectl, "k8s.io/kubernetes/cmd/kubectl"},
			{Kubelet, "k8s.io/kubernetes/cmd/kubelet"},
		},
		Cold:             255 * time.Second,
		Packages:         2530,
		versionVariables: []string{"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"},
	},
	{
		Name:     "etcd",
		Folder:   shared,
		Module:   "go.etcd.io/etcd/server/v3",
		Binaries: []Binary{{Etcd, "go.etcd.io/etcd/server/v3"}},
		Cold:     7 * time.Second,
		Packages: 103,
	},
	{
		Name:     "pause",
		Binaries: []Binary{{Pause, "github.com/metricspipeline/operator/test/cluster/components/pause"}},
		Cold:     time.Second,
		Packages: 1,
	},
	{
		Name:     "coredns",
		Folder:   shared,
		Module:   "github.com/coredns/coredns",
		Binaries: []Binary{{CoreDNS, "github.com/metricspipeline/operator/test/cluster/components/shared/coredns"}},
		Cold:     6 * time.Second,
		Packages: 74,
	},
	{
		Name:     "metrics-server",
		Module:   "sigs.k8s.io/metrics-server",
		Binaries: []Binary{{MetricsServer, "sigs.k8s.io/metrics-server/cmd/metrics-server"}},
		Cold:     6 * time.Second,
		Packages: 26,
	},
	{
		Name:     "prometheus-adapter",
		Module:   "sigs.k8s.io/prometheus-adapter",
		Binaries: []Binary{{PrometheusAdapter, "sigs.k8s.io/prometheus-adapter/cmd/adapter"}},
		Cold:     84 * time.Second,
		Packages: 977,
	},
	{
		Name:   "prometheus-operator",
		Folder: shared,
		Module: "github.com/prometheus-operator/prometheus-operator",
		Binaries: []Binary{
			{PrometheusOperator, "github.com/prometheus-operator/prometheus-operator/cmd/operator"},
			{PrometheusConfigReloader, "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader"},
		},
		Cold:             32 * time.Second,
		Packages:         330,
		versionVariables: []string{"github.com/prometheus/common/version.Version"},
	},
	{
		Name:   "prometheus",
		Module: "github.com/prometheus/prometheus",
		Binaries: []Binary{
			{Prometheus, "github.com/prometheus/prometheus/cmd/prometheus"},
			{Promtool, "github.com/prometheus/prometheus/cmd/promtool"},
		},
		Cold:             115 * time.Second,
		Packages:         1000,
		versionVariables: []string{"github.com/prometheus/common/version.Version"},
	},
	{
		Name:             "kube-router",
		Module:           "github.com/cloudnativelabs/kube-router/v2",
		Binaries:         []Binary{{KubeRouter, "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"}},
		Cold:             88 * time.Second,
		Packages:         700,
		versionVariables: []string{"github.com/cloudnativelabs/kube-router/v2/pkg/version.Version"},
	},
	{
		Name:             "cert-manager",
		Module:           "github.com/cert-manager/cert-manager",
		Binaries:         []Binary{{CertManager, "github.com/metricspipeline/operator/test/cluster/components/cert-manager"}},
		Cold:             15 * time.Second,
		Packages:         123,
		versionVariables: []string{"github.com/cert-manager/cert-manager/pkg/util.AppVersion"},
	},
	{
		Name:   "operator-lifecycle-manager",
		Module: "github.com/operator-framework/operator-lifecycle-manager",
		Binaries: []Binary{
			{OLM, "github.com/operator-framework/operator-lifecycle-manager/cmd/olm"},
			{Catalog, "github.com/operator-framework/operator-lifecycle-manager/cmd/catalog"},
			{CopyBundle, "github.com/operator-framework/operator-lifecycle-manager/util/cpb"},
			{OPM, "github.com/operator-framework/operator-registry/cmd/opm"},
			{HealthProbe, "github.com/grpc-ecosystem/grpc-health-probe"},
			{Copy, "github.com/metricspipeline/operator/test/cluster/components/operator-lifecycle-manager/copy"},
		},
		Cold:             180 * time.Second,
		Packages:         1500,
		versionVariables: []string{"github.com/operator-framework/operator-lifecycle-manager/pkg/version.OLMVersion"},
		// Signatures of images would be checked by a C library; upstream builds with these as well.
		tags: []string{"json1", "containers_image_openpgp"},
	},
}

// Enforcing are the names of the components that only a cluster needs that enforces NetworkPolicies.
var Enforcing = []string{"kube-router"}

// Optional are the names of the components that a cluster starts without, and that can be put into it later.
var Optional = []string{"cert-manager", "operator-lifecycle-manager", "keda", "vertical-pod-autoscaler", "traefik"}

// OnDemand are the names of the components that no start of a cluster builds: the optional ones, and those whose images are loaded by hand.
var OnDemand = append(slices.Clone(Optional), thanos)

// Next are the names of the components that only a cluster with the next control plane needs.
var Next = []string{"kubernetes-next"}

// Monitoring are the names of the components that only prometheus-operator needs. The operator runs a Prometheus without that.
var Monitoring = []string{"prometheus-operator"}

// ByName returns the component of that name, or an error that lists the names there are.
func ByName(name string) (Component, error) {
	var names []string
	for _, c := range All {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Component{}, fmt.Errorf("no component %q: there are %s", name, strings.Join(names, ", "))
}

// Names lists every binary of every component.
func Names() []string { return names(All) }

// UsualNames lists every binary but those that make test-stack alone needs, which take longer to build than all others.
func UsualNames() []string { return names(base) }

func names(of []Component) []string {
	var names []string
	for _, component := range of {
		for _, binary := range component.Binaries {
			names = append(names, binary.Name)
		}
	}
	return names
}

// byBinary returns the component that builds the named binary.
func byBinary(name string) (Component, error) {
	for _, c := range All {
		if slices.ContainsFunc(c.Binaries, func(b Binary) bool { return b.Name == name }) {
			return c, nil
		}
	}
	return Component{}, fmt.Errorf("no binary %q: there are %s", name, strings.Join(Names(), ", "))
}

// releaseVersion turns a module version into the version that the project publishes and tags its images with. Prometheus
// numbers its module differently: v0.305.1 is the release v3.5.1.
func releaseVersion(module, version string) string {
	rest, ok := strings.CutPrefix(version, "v0.")
	if module != "github.com/prometheus/prometheus" || !ok {
		return version
	}
	minor, patch, ok := strings.Cut(rest, ".")
	number, err := strconv.Atoi(minor)
	if !ok || err != nil {
		return version
	}
	return fmt.Sprintf("v%d.%d.%s", number/100, number%100, patch)
}

// ldflags links the version in and leaves symbols and debug information out: the binaries become images, and size is
// import time.
func (c Component) ldflags(version string) string {
	flags := "-s -w"
	for _, variable := range c.versionVariables {
		flags += fmt.Sprintf(" -X %s=%s", variable, version)
	}
	if major, minor, ok := majorMinor(version); ok && c.Module == "k8s.io/kubernetes" {
		const pkg = "k8s.io/component-base/version"
		flags += fmt.Sprintf(" -X %s.gitMajor=%s -X %s.gitMinor=%s", pkg, major, pkg, minor)
	}
	return flags
}

// majorMinor splits v1.36.3 into 1 and 36.
func majorMinor(version string) (major, minor string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 {
		return "", "", false
	}
	return parts[0], parts[1], true
}
