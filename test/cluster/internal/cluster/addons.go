package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

var (
	//go:embed manifests/coredns.yaml
	coreDNSManifest string
	//go:embed manifests/prometheus-operator.yaml
	prometheusOperatorManifest string
	//go:embed manifests/prometheus.yaml
	prometheusManifest string
)

// image says under which name and with which path in the image a binary is put into containerd.
type image struct {
	binary, repository, path string
	// more are further binaries, by their paths in the image.
	more map[string]string
	// monitoring marks the images that are only needed with Prometheus.
	monitoring bool
}

// preloaded are the images of the cluster itself and of what the operator deploys, under the names that manifests use,
// in the order in which they are needed.
var preloaded = []image{
	{binary: components.CoreDNS, repository: "registry.k8s.io/coredns/coredns", path: "/coredns"},
	{
		binary: components.PrometheusOperator, repository: "quay.io/prometheus-operator/prometheus-operator",
		path: "/bin/operator", monitoring: true,
	},
	{
		binary: components.PrometheusConfigReloader, repository: "quay.io/prometheus-operator/prometheus-config-reloader",
		path: "/bin/prometheus-config-reloader", monitoring: true,
	},
	{
		binary: components.Prometheus, repository: "quay.io/prometheus/prometheus", path: "/bin/prometheus",
		more: map[string]string{"/bin/promtool": components.Promtool},
	},
	{binary: components.MetricsServer, repository: "registry.k8s.io/metrics-server/metrics-server", path: "/metrics-server"},
	{
		binary: components.PrometheusAdapter, repository: "registry.k8s.io/prometheus-adapter/prometheus-adapter",
		path: "/adapter",
	},
}

// loadImages puts the sandbox image, which every pod needs, and then the preloaded images into containerd.
func (s *starter) loadImages(ctx context.Context) error {
	sandbox := images.Image{Name: sandboxImage, Binary: s.binaries[components.Pause], Path: "/pause"}
	if err := s.store().LoadImage(ctx, sandbox); err != nil {
		return err
	}
	for _, i := range preloaded {
		if i.monitoring && !s.state.WithPrometheus {
			continue
		}
		if err := s.loadImage(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// loadImage packs a built binary as the image of its version.
func (s *starter) loadImage(ctx context.Context, i image) error {
	version, err := s.builder.Version(i.binary)
	if err != nil {
		return err
	}
	packed := images.Image{
		Name: i.repository + ":" + version, Binary: s.binaries[i.binary], Path: i.path, Executables: map[string]string{},
	}
	for path, binary := range i.more {
		packed.Executables[path] = s.binaries[binary]
	}
	return s.store().LoadImage(ctx, packed)
}

// applyAddons creates the cluster's DNS and, if requested, the custom resources and workloads of the monitoring stack.
// It returns when everything is accepted, not when it runs.
func (s *starter) applyAddons(ctx context.Context) error {
	if err := s.apply(ctx, coreDNSManifest); err != nil {
		return fmt.Errorf("applying CoreDNS: %w", err)
	}
	if !s.state.WithPrometheus {
		return nil
	}
	dir, err := s.builder.ModuleDir(ctx, "prometheus-operator")
	if err != nil {
		return err
	}
	crds := filepath.Join(dir, "example", "prometheus-operator-crd")
	if _, err := s.kubectl(ctx, "", "apply", "--server-side", "--filename", crds); err != nil {
		return fmt.Errorf("applying the custom resources of prometheus-operator: %w", err)
	}
	if err := s.apply(ctx, prometheusOperatorManifest); err != nil {
		return fmt.Errorf("applying prometheus-operator: %w", err)
	}
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"); err != nil {
		return err
	}
	if err := s.apply(ctx, prometheusManifest); err != nil {
		return fmt.Errorf("applying the Prometheus: %w", err)
	}
	return nil
}

func (s *starter) apply(ctx context.Context, manifest string) error {
	_, err := s.kubectl(ctx, manifest, "apply", "--server-side", "--filename", "-")
	return err
}

// waitForAddons waits until the node, the DNS and, if requested, Prometheus serve.
func (s *starter) waitForAddons(ctx context.Context) error {
	if err := s.waitFor(ctx, "node/"+nodeName, "default", "Ready"); err != nil {
		return err
	}
	s.log("the node is ready")
	if err := s.waitForWorkload(ctx, "deployment/coredns", "kube-system", "Available"); err != nil {
		return err
	}
	if err := s.wait(ctx, "DNS to answer on its Service address", s.resolve); err != nil {
		return err
	}
	s.log("DNS is ready")
	if !s.state.WithPrometheus {
		return nil
	}
	if err := s.waitForWorkload(ctx, "deployment/prometheus-operator", "monitoring", "Available"); err != nil {
		return err
	}
	s.log("prometheus-operator is ready")
	if err := s.waitForWorkload(ctx, "prometheus/k8s", "monitoring", "Available"); err != nil {
		return err
	}
	s.log("Prometheus is available")
	return nil
}

// resolve queries the cluster's DNS, as a pod on the node's network would, for the one name that is always there.
func (s *starter) resolve(ctx context.Context) error {
	resolver := net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return machine.DialInNetNS(ctx, s.netNS(), network, net.JoinHostPort(dnsIP, "53"))
		},
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	const name = "kubernetes.default.svc." + dnsDomain + "."
	addresses, err := resolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	if !slices.Contains(addresses, firstServiceIP) {
		return fmt.Errorf("%s resolves to %v, want %s", name, addresses, firstServiceIP)
	}
	return nil
}

// waitForWorkload is waitFor; when it fails it adds how the pods of the namespace are, which is where the reason shows.
func (s *starter) waitForWorkload(ctx context.Context, object, namespace, condition string) error {
	err := s.waitFor(ctx, object, namespace, condition)
	if err == nil {
		return nil
	}
	// The start's own time is over; the daemons still answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var reasons []string
	for _, args := range [][]string{
		{"get", "pods", "--namespace", namespace, "--output", "wide"},
		{"get", "events", "--namespace", namespace, "--field-selector", "type=Warning"},
	} {
		if out, describeErr := s.kubectl(ctx, "", args...); describeErr == nil && out != "" {
			reasons = append(reasons, out)
		}
	}
	return errors.Join(err, errors.New(strings.Join(reasons, "\n")))
}
