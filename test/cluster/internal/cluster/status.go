package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"

	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// Status writes one line per daemon and then the node. It returns an error when the cluster is not up or not healthy.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	s, err := c.loadState()
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%w in %s", errNotUp, c.stateDir)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tPID\tVERSION\tLOG")
	for _, process := range s.Processes {
		running := "gone"
		if process.Alive() {
			running = "running"
		}
		version := s.Versions[process.Name]
		if version == "" {
			version = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", process.Name, running, process.PID, version, process.Log)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !s.Complete {
		return errors.New("the start is not complete: it still runs, or was cut off and needs down")
	}
	if err := s.dead(); err != nil {
		return err
	}
	if err := c.get(ctx, s.HostPort, "/readyz"); err != nil {
		return err
	}
	return c.summary(ctx, out, s)
}

// Summary writes the node, the pods and how to reach the cluster.
func (c *Cluster) Summary(ctx context.Context, out io.Writer) error {
	s, err := c.loadState()
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%w in %s", errNotUp, c.stateDir)
	}
	return c.summary(ctx, out, s)
}

func (c *Cluster) summary(ctx context.Context, out io.Writer, s *state) error {
	for _, args := range [][]string{{"get", "nodes", "--output", "wide"}, {"get", "pods", "--all-namespaces"}} {
		text, err := c.kubectl(ctx, s, "", args...)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s\n", text)
	}
	fmt.Fprintf(out, "\nexport KUBECONFIG=%s\n", c.nodeKubeconfig("admin"))
	return nil
}

// LoadArchive puts the images of an archive file into the cluster and returns what containerd says about them.
func (c *Cluster) LoadArchive(ctx context.Context, path string) (string, error) {
	if _, err := c.running("load"); err != nil {
		return "", err
	}
	return c.store().LoadArchive(ctx, path)
}

// LoadBinary packs a static executable as an image and puts it into the cluster. The executable keeps its file name, at
// the root of the image.
func (c *Cluster) LoadBinary(ctx context.Context, name, binary string, entrypoint []string) error {
	if _, err := c.running("load"); err != nil {
		return err
	}
	return c.store().LoadImage(ctx, images.Image{
		Name: name, Binary: binary, Path: "/" + filepath.Base(binary), Entrypoint: entrypoint,
	})
}

// ExecInNode runs a command in the node's network namespace, with this program's input and output.
func (c *Cluster) ExecInNode(ctx context.Context, command []string) error {
	if _, err := c.running("exec-in-node"); err != nil {
		return err
	}
	return machine.InNetNS(c.netNS(), func() error {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
			return ExitError{Code: exit.ExitCode()}
		}
		return err
	})
}

// ExitError is how a command ended that [Cluster.ExecInNode] ran; it has said why itself.
type ExitError struct {
	Code int
}

func (e ExitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.Code) }

// running gives a command the cluster that is up, or says what is missing for it.
func (c *Cluster) running(command string) (*starter, error) {
	if err := requireRoot(command); err != nil {
		return nil, err
	}
	s, err := c.completeState()
	if err != nil {
		return nil, err
	}
	return &starter{Cluster: c, state: s}, machine.CheckPackages()
}

// completeState returns the state of a cluster whose start succeeded.
func (c *Cluster) completeState() (*state, error) {
	s, err := c.loadState()
	if err == nil && (s == nil || !s.Complete) {
		err = fmt.Errorf("%w in %s, run up first", errNotUp, c.stateDir)
	}
	return s, err
}
