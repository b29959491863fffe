// Package cluster starts and stops the single-node test cluster and knows how it is.
package cluster

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// DefaultStateDir is where a cluster keeps everything by default.
const DefaultStateDir = "/var/lib/metricspipeline-cluster"

// The addresses live in the cluster's own network namespace, so they cannot clash with the host's.
const (
	nodeName       = "node"
	nodeIP         = "172.31.255.1"
	podCIDR        = "10.244.0.0/16"
	serviceCIDR    = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1"
	dnsIP          = "10.96.0.10"
	dnsDomain      = "cluster.local"
	apiServerPort  = "6443"
	outsideGateway = "198.51.100.1"
	outsideIP      = "198.51.100.2"
	sandboxImage   = "metricspipeline.test/pause:v1"
)

// maxStateDir keeps the paths of the sockets below it within the kernel's 107 bytes.
const maxStateDir = 60

// Cluster is one test cluster, up or not. Everything it has on the machine is found from its state folder.
type Cluster struct {
	stateDir string
	builder  *components.Builder
	log      func(format string, args ...any)
}

// Options choose what [Cluster.Up] starts.
type Options struct {
	// WithoutPrometheus leaves out prometheus-operator and its Prometheus.
	WithoutPrometheus bool
	// EnforceNetworkPolicies has NetworkPolicies enforced, which are accepted and ignored otherwise, and adds a host outside of the
	// cluster to which pods may connect or not.
	EnforceNetworkPolicies bool
	// NextControlPlane has kube-apiserver and kube-controller-manager be of the next minor of Kubernetes.
	NextControlPlane bool
	// Timeout bounds the start after the building.
	Timeout time.Duration
}

// New returns the cluster of a state folder, which need not exist. Only [Cluster.Up] needs the builder.
func New(stateDir string, builder *components.Builder, log func(string, ...any)) (*Cluster, error) {
	absolute, err := resolve(stateDir)
	if err != nil {
		return nil, err
	}
	if len(absolute) > maxStateDir {
		return nil, fmt.Errorf("state folder %s: its path must not be longer than %d bytes, or sockets below it cannot be made",
			absolute, maxStateDir)
	}
	return &Cluster{stateDir: absolute, builder: builder, log: log}, nil
}

// resolve follows the links of a path whose last element may not exist yet: the kernel's mount table knows no links.
func resolve(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(absolute); err == nil {
		return resolved, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err != nil {
		return "", fmt.Errorf("the parent of state folder %s must exist: %w", absolute, err)
	}
	return filepath.Join(parent, filepath.Base(absolute)), nil
}

// path is a file or folder of the cluster.
func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.stateDir}, elements...)...)
}

// id distinguishes the clusters of a machine, in names that the whole machine shares.
func (c *Cluster) id() string {
	hash := fnv.New32a()
	hash.Write([]byte(c.stateDir))
	return fmt.Sprintf("mpc-%08x", hash.Sum32())
}

func (c *Cluster) netNS() string            { return c.path("run", "netns") }
func (c *Cluster) outside() string          { return c.path("run", "outside") }
func (c *Cluster) cgroup() machine.Cgroup   { return machine.Cgroup{Name: c.id()} }
func (c *Cluster) containerdSocket() string { return c.path("run", "containerd.sock") }
func (c *Cluster) pki(file string) string   { return c.path("pki", file) }
func (c *Cluster) logs() string             { return c.path("logs") }

// KubeconfigPath is the administrator's kubeconfig, good on the host. The error says what to do when there is none.
func (c *Cluster) KubeconfigPath() (string, error) {
	path := c.path("kubeconfig", "admin.yaml")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no cluster in %s, run up first: %w", c.stateDir, err)
	}
	return path, nil
}

// nodeKubeconfig is the kubeconfig of a daemon, which talks to the API server directly.
func (c *Cluster) nodeKubeconfig(user string) string { return c.path("kubeconfig", user+".yaml") }

// apiServerURL is the API server as seen in the node's network namespace.
func apiServerURL() string { return "https://" + net.JoinHostPort(nodeIP, apiServerPort) }

// requireRoot says what to do for the commands that need it.
func requireRoot(command string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("%s needs root: namespaces, mounts and control groups are not a user's; run it with sudo", command)
}

// errNotUp is returned by what needs a running cluster.
var errNotUp = errors.New("the cluster is not up")

// tail returns the last lines of a log file, for messages.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
