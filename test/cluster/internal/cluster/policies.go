package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// The names that [Cluster.Dial] takes beside containers.
const (
	fromNode    = "node"
	fromOutside = "outside"
)

// dialTimeout bounds one connection: what is refused is answered at once, what is dropped is not answered.
const dialTimeout = 2 * time.Second

// outsidePorts are those on which the host outside of the cluster accepts connections.
var outsidePorts = []string{"53", "443", "5353", "6443", "8080", "9090", "10250"}

// startPolicies starts what enforces NetworkPolicies, once there is the node that it asks for.
func (s *starter) startPolicies(ctx context.Context) error {
	if err := s.wait(ctx, "the node to be registered", func(ctx context.Context) error {
		_, err := s.kubectl(ctx, "", "get", "node", nodeName)
		return err
	}); err != nil {
		return err
	}
	return s.start(components.KubeRouter, []string{
		"--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--run-loadbalancer=false",
		"--kubeconfig=" + s.nodeKubeconfig("admin-in-node"),
		"--hostname-override=" + nodeName,
		"--service-cluster-ip-range=" + serviceCIDR,
		"--health-port=0", "--metrics-port=0",
	})
}

// startOutside makes a host beside the node, which routes to it, and has it accept connections.
func (s *starter) startOutside() error {
	if err := machine.CreateNetNS(s.outside()); err != nil {
		return err
	}
	if err := machine.ConnectNetNS(s.netNS(), s.outside(), outsideGateway, outsideIP); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"accept"}
	for _, port := range outsidePorts {
		args = append(args, net.JoinHostPort(outsideIP, port))
	}
	return s.startSpec(machine.Spec{Name: fromOutside, Path: self, Args: args, NetNS: s.outside()})
}

// Accept accepts connections on the addresses and closes them. It returns only on failure.
func Accept(addresses []string) error {
	failed := make(chan error)
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					failed <- fmt.Errorf("accepting on %s: %w", address, err)
					return
				}
				_ = connection.Close()
			}
		}()
	}
	return <-failed
}

// Dial connects over TCP to an address and port from the network of a container, by the ID that the pod's status has of it, of the
// node or of the host outside. The error is a [RefusedError] when it was tried.
func (c *Cluster) Dial(ctx context.Context, from string, address string) error {
	if _, err := c.running("dial"); err != nil {
		return err
	}
	path, err := c.networkOf(ctx, from)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connection, err := machine.DialInNetNS(ctx, path, "tcp", address)
	if err != nil {
		return RefusedError{err}
	}
	return connection.Close()
}

// RefusedError says that a connection could not be made.
type RefusedError struct{ Err error }

func (e RefusedError) Error() string { return e.Err.Error() }
func (e RefusedError) Unwrap() error { return e.Err }

// networkOf returns the path of a network namespace.
func (c *Cluster) networkOf(ctx context.Context, from string) (string, error) {
	switch from {
	case fromNode:
		return c.netNS(), nil
	case fromOutside:
		return c.outside(), nil
	}
	id := strings.TrimPrefix(from, "containerd://")
	out, err := exec.CommandContext(ctx, "ctr", "--address", c.containerdSocket(), "--namespace", images.Namespace,
		"tasks", "list").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("list the tasks of containerd: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == id {
			return "/proc/" + fields[1] + "/ns/net", nil
		}
	}
	return "", fmt.Errorf("no container %s runs", id)
}
