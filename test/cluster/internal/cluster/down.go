package cluster

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// killTimeout bounds the wait for killed processes to be gone.
const killTimeout = 30 * time.Second

// Down stops the cluster, whatever state it is in, and removes everything of it but its logs. It does nothing when there
// is no cluster.
func (c *Cluster) Down() error {
	if err := requireRoot("down"); err != nil {
		return err
	}
	if _, err := os.ReadDir(c.stateDir); errors.Is(err, os.ErrNotExist) {
		c.log("no cluster in %s", c.stateDir)
		return nil
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.takeDown(); err != nil {
		return err
	}
	c.log("the cluster is down")
	return nil
}

// takeDown kills and removes. There is no orderly way first: the API server would wait a minute for an etcd that is gone,
// and what works after a crash works always. Every step runs even if an earlier one failed.
func (c *Cluster) takeDown() error {
	s, err := c.loadState()
	errs := []error{err}
	if s != nil {
		for _, process := range s.Processes {
			process.Kill()
		}
	}
	// The pods, the shims of the container runtime, and a daemon that was started but not recorded yet.
	errs = append(errs, c.cgroup().Kill(killTimeout))
	// Unmounting the network namespace, too, which no process is in any more, removes it with its devices and rules.
	unmounted := machine.UnmountBelow(c.stateDir)
	errs = append(errs, unmounted)
	errs = append(errs, machine.HostSysctls().Restore(c.id()))
	errs = append(errs, c.removeTraces())
	// Never delete through a mount: what is mounted there is not ours.
	if unmounted == nil {
		errs = append(errs, c.removeState(s != nil))
	}
	return errors.Join(errs...)
}

// removeState deletes what up made in the state folder and keeps the logs. The state goes last, so that a failure
// leaves a cluster that down finds again.
func (c *Cluster) removeState(marked bool) error {
	if !marked {
		return nil
	}
	for _, dir := range []string{"pki", "kubeconfig", "config", "etcd", "containerd", "kubelet", "cni", "run"} {
		if err := os.RemoveAll(c.path(dir)); err != nil {
			return fmt.Errorf("removing the cluster's files: %w", err)
		}
	}
	return os.Remove(c.statePath())
}

// previousLogs is where the logs of a cluster are kept that the next start has taken down.
func (c *Cluster) previousLogs() string { return c.logs() + ".previous" }

// keepLogs keeps them in place of those before: they say what ended the cluster.
func (c *Cluster) keepLogs() error {
	if err := os.RemoveAll(c.previousLogs()); err != nil {
		return err
	}
	if err := os.Rename(c.logs(), c.previousLogs()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
