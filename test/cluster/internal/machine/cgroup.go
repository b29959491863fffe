package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupMount is where control groups are.
const cgroupMount = "/sys/fs/cgroup"

// Cgroup is a control group of that name at the root of every hierarchy of the host. The pods are below it, so are the
// daemons: whatever the cluster started, however it failed, is found there.
type Cgroup struct {
	Name string
}

// Create makes the group everywhere. The kubelet wants its root to be in all hierarchies.
func (c Cgroup) Create() error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		group := filepath.Join(root, c.Name)
		if unified() {
			// Children only have the controllers that each parent hands down.
			if err := delegateControllers(root); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("making control group %s: %w", group, err)
		}
		if unified() {
			if err := delegateControllers(group); err != nil {
				return err
			}
		} else if err := inheritCPUSet(root, group); err != nil {
			return err
		}
	}
	return os.MkdirAll(c.daemons(), 0o755)
}

// Processes lists the ids of all processes in the group and below.
func (c Cgroup) Processes() ([]int, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, c.Name), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || entry.Name() != "cgroup.procs" {
				return err
			}
			pids = append(pids, readPIDs(path)...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// readPIDs returns no ids when the group went away, or is a threaded one that has no list.
func readPIDs(path string) []int {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range bytes.Fields(content) {
		// 0 is a process of another pid namespace, which cannot be ours.
		if pid, err := strconv.Atoi(string(field)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill ends every process of the group, waiting at most timeout, and removes the group.
func (c Cgroup) Kill(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		pids, err := c.Processes()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			if err = c.remove(); err == nil {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control group %s does not go away: processes %v, %w", c.Name, pids, err)
		}
		for _, pid := range pids {
			// A thread of this program may be on its way out after starting a daemon.
			if pid == os.Getpid() {
				continue
			}
			// Gone already is as good as killed; what survives is met again in the next round.
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// remove deletes the empty groups, the innermost first.
func (c Cgroup) remove() error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		var groups []string
		err := filepath.WalkDir(filepath.Join(root, c.Name), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, group := range slices.Backward(groups) {
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// daemons is the group that the daemons join. One hierarchy is enough to find them; in version 1 that is pids, which
// every process may join without further settings.
func (c Cgroup) daemons() string {
	if unified() {
		return filepath.Join(cgroupMount, c.Name, "daemons")
	}
	return filepath.Join(cgroupMount, "pids", c.Name, "daemons")
}

// roots are the mount points of all hierarchies.
func (c Cgroup) roots() ([]string, error) {
	mounts, err := mountPoints()
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, m := range mounts {
		if strings.HasPrefix(m.path, cgroupMount) && strings.HasPrefix(m.fsType, "cgroup") {
			roots = append(roots, m.path)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("no control groups are mounted below %s", cgroupMount)
	}
	return roots, nil
}

// unified says whether the host has control groups of version 2 alone.
func unified() bool {
	var stat unix.Statfs_t
	return unix.Statfs(cgroupMount, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

// delegateControllers hands all controllers of a version 2 group down to its children.
func delegateControllers(group string) error {
	controllers, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(controllers)) {
		path := filepath.Join(group, "cgroup.subtree_control")
		err := os.WriteFile(path, []byte("+"+name), 0)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s takes no controllers while processes are in %s itself, as in some containers: "+
				"move them to a group below it first: %w", path, group, err)
		}
		if err != nil {
			return fmt.Errorf("handing controller %s down in %s: %w", name, path, err)
		}
	}
	return nil
}

// inheritCPUSet gives a new version 1 group the parent's processors and memory nodes: without them no process may join.
func inheritCPUSet(parent, group string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, file), content, 0); err != nil {
			return fmt.Errorf("setting %s of control group %s: %w", file, group, err)
		}
	}
	return nil
}
