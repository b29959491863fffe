package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// Up builds what is missing and starts the cluster, unless a healthy one is up. When it fails it takes down what it
// started and keeps the logs.
func (c *Cluster) Up(ctx context.Context, options Options) error {
	if err := requireRoot("up"); err != nil {
		return err
	}
	if err := machine.CheckPackages(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if up, err := c.alreadyUp(ctx, options); up || err != nil {
		return err
	}
	binaries, err := c.builder.Binaries(ctx, NeededBinaries(options)...)
	if err != nil {
		return err
	}
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, options.Timeout,
		fmt.Errorf("the cluster did not start in %s", options.Timeout))
	defer cancel()
	if err := c.bringUp(ctx, options, binaries); err != nil {
		c.log("the start failed, taking down what was started; logs stay in %s", c.logs())
		if ctx.Err() != nil {
			// What the steps report is then only how they were cut off.
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return errors.Join(err, c.takeDown())
	}
	c.log("the cluster is up, started in %s", time.Since(started).Round(100*time.Millisecond))
	return nil
}

// alreadyUp says whether a healthy cluster with what the options request is up, and refuses to touch any other that lives. What a
// machine or a terminal that went away has left, a start that was cut off or a cluster without one of its daemons, is taken down.
func (c *Cluster) alreadyUp(ctx context.Context, options Options) (bool, error) {
	s, err := c.loadState()
	if err != nil || s == nil {
		return false, err
	}
	if why := s.abandoned(); why != nil {
		c.log("taking down what is left of an earlier cluster, whose logs are kept in %s: %v", c.previousLogs(), why)
		return false, errors.Join(c.takeDown(), c.keepLogs())
	}
	if err := c.get(ctx, s.HostPort, "/readyz"); err != nil {
		return false, fmt.Errorf("the cluster is not healthy, run down first: %w", err)
	}
	if s.WithPrometheus == options.WithoutPrometheus {
		return false, fmt.Errorf("the cluster that is up has Prometheus: %t; run down first to change that", s.WithPrometheus)
	}
	if s.NetworkPolicies != options.EnforceNetworkPolicies {
		return false, fmt.Errorf("the cluster that is up enforces NetworkPolicies: %t; run down first to change that", s.NetworkPolicies)
	}
	if s.NextControlPlane != options.NextControlPlane {
		return false, fmt.Errorf("the cluster that is up has the next control plane: %t; run down first to change that", s.NextControlPlane)
	}
	c.log("the cluster is up already")
	return true, nil
}

// next are the binaries of the next control plane, by those whose place they take.
var next = map[string]string{
	components.KubeAPIServer:         components.KubeAPIServerNext,
	components.KubeControllerManager: components.KubeControllerManagerNext,
}

// NeededBinaries lists what [Cluster.Up] builds: all binaries but the optional ones, less those of what is not wanted.
func NeededBinaries(options Options) []string {
	var names []string
	for _, component := range components.All {
		unwanted := options.WithoutPrometheus && slices.Contains(components.Monitoring, component.Name) ||
			!options.EnforceNetworkPolicies && slices.Contains(components.Enforcing, component.Name) ||
			!options.NextControlPlane && slices.Contains(components.Next, component.Name)
		if unwanted || slices.Contains(components.OnDemand, component.Name) {
			continue
		}
		for _, binary := range component.Binaries {
			if !options.NextControlPlane || next[binary.Name] == "" {
				names = append(names, binary.Name)
			}
		}
	}
	return names
}

// bringUp starts everything. The state is stored before the first step that leaves a trace on the machine.
func (c *Cluster) bringUp(ctx context.Context, options Options, binaries map[string]string) error {
	// The logs of the last cluster were kept for reading until now.
	if err := os.RemoveAll(c.logs()); err != nil {
		return err
	}
	for _, dir := range []string{"logs", "run", "config"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return err
		}
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("unexpected address %s", listener.Addr())
	}
	s := &starter{Cluster: c, binaries: binaries, state: &state{
		path:             c.statePath(),
		HostPort:         address.Port,
		WithPrometheus:   !options.WithoutPrometheus,
		NetworkPolicies:  options.EnforceNetworkPolicies,
		NextControlPlane: options.NextControlPlane,
		Kubectl:          binaries[components.Kubectl],
		Versions:         map[string]string{},
	}}
	for binary := range binaries {
		if s.state.Versions[binary], err = c.builder.Version(binary); err != nil {
			return err
		}
	}
	s.takeNext(options)
	if err := s.state.update(func() {}); err != nil {
		return err
	}
	if err := s.prepareMachine(); err != nil {
		return err
	}
	if err := s.runAll(ctx, listener); err != nil {
		return err
	}
	return s.state.update(func() { s.state.Complete = true })
}

// takeNext gives the programs of the next control plane the names by which they are started, stopped and shown.
func (s *starter) takeNext(options Options) {
	if !options.NextControlPlane {
		return
	}
	for name, binary := range next {
		s.binaries[name], s.state.Versions[name] = s.binaries[binary], s.state.Versions[binary]
	}
}

// prepareMachine makes what the daemons live in.
func (s *starter) prepareMachine() error {
	if err := s.makeCertificates(s.state.HostPort); err != nil {
		return err
	}
	if err := machine.HostSysctls().Save(s.id()); err != nil {
		return err
	}
	if err := s.cgroup().Create(); err != nil {
		return err
	}
	if err := machine.CreateNetNS(s.netNS()); err != nil {
		return err
	}
	if err := machine.ConfigureNetNS(s.netNS(), machine.NodeNetwork{Bridge: "node", Address: nodeIP + "/32"}); err != nil {
		return err
	}
	if !s.state.NetworkPolicies {
		return nil
	}
	return s.startOutside()
}

// runAll starts the control plane and the container runtime side by side and joins them with the node. The cluster is
// filled while images are still being loaded: pods wait for theirs.
func (s *starter) runAll(ctx context.Context, listener *net.TCPListener) error {
	apiServer, containerd := make(chan struct{}), make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.startControlPlane(ctx, listener); err != nil {
			return err
		}
		s.log("the API server is ready")
		close(apiServer)
		return s.applyAddons(ctx)
	})
	group.Go(func() error {
		if err := s.startContainerd(ctx); err != nil {
			return err
		}
		close(containerd)
		return s.loadImages(ctx)
	})
	group.Go(func() error {
		for _, ready := range []chan struct{}{apiServer, containerd} {
			select {
			case <-ready:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := s.startKubelet(); err != nil {
			return err
		}
		if err := s.startProxy(); err != nil {
			return err
		}
		if s.state.NetworkPolicies {
			if err := s.startPolicies(ctx); err != nil {
				return err
			}
		}
		return s.waitForAddons(ctx)
	})
	return group.Wait()
}
