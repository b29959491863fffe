package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// restartTimeout bounds the wait for an API server that was started again.
const restartTimeout = time.Minute

// RestartAPIServer kills the API server, starts it again, and waits until it is ready.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	s, err := c.running("fault restart-apiserver")
	if err != nil {
		return err
	}
	if err := c.startAgain(components.KubeAPIServer); err != nil {
		return err
	}
	if s.state, err = c.completeState(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	if err := s.wait(ctx, "the API server", s.apiServerReady); err != nil {
		return err
	}
	c.log("the API server is ready again")
	return nil
}

// startAgain kills a daemon and starts it as it was. No down can come between, which would not know the new process, and
// it never has to wait for long.
func (c *Cluster) startAgain(name string) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := c.completeState()
	if err != nil {
		return err
	}
	old, err := s.process(name)
	if err != nil {
		return err
	}
	old.Kill()
	if err := old.WaitGone(killTimeout); err != nil {
		return err
	}
	c.log("%s is stopped", name)
	forget := func() {
		s.Processes = slices.DeleteFunc(s.Processes, func(p machine.Process) bool { return p.Name == name })
	}
	if err := s.update(forget); err != nil {
		return err
	}
	again := &starter{Cluster: c, state: s}
	return again.startSpec(machine.Spec{Name: name, Path: old.Path, Args: old.Args})
}

// PauseEtcd stops etcd for a while and lets it go on in any case. Until then the API server answers nothing.
func (c *Cluster) PauseEtcd(ctx context.Context, duration time.Duration) error {
	s, err := c.running("fault pause-etcd")
	if err != nil {
		return err
	}
	etcd, err := s.state.process(components.Etcd)
	if err != nil {
		return err
	}
	c.log("%s is stopped for %s", etcd.Name, duration)
	if err := etcd.Pause(ctx, duration); err != nil {
		return err
	}
	c.log("%s goes on", etcd.Name)
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	return s.wait(ctx, "the API server", s.apiServerReady)
}

// KillContainer kills the processes of a container, by the ID that the pod's status has of it, as the kernel does when there
// is no memory left. The kubelet starts it again.
func (c *Cluster) KillContainer(ctx context.Context, id string) error {
	if _, err := c.running("fault kill-container"); err != nil {
		return err
	}
	id = strings.TrimPrefix(id, "containerd://")
	out, err := exec.CommandContext(ctx, "ctr", "--address", c.containerdSocket(), "--namespace", images.Namespace,
		"tasks", "kill", "--all", "--signal", "SIGKILL", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kill container %s: %w: %s", id, err, out)
	}
	c.log("container %s is killed", id)
	return nil
}
