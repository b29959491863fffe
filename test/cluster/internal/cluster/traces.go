package cluster

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Folders that the daemons use whatever their configuration. Other programs of the host may use them too.
const (
	cniResults    = "/var/lib/cni/results"
	containerLogs = "/var/log/containers"
	shimSockets   = "/run/containerd/s"
	devicePlugins = "/var/lib/kubelet/device-plugins"
)

// removeTraces deletes what the daemons leave outside of the state folder, and only what is ours or dead.
func (c *Cluster) removeTraces() error {
	var errs []error
	// Records of the pod networks name the pod's network namespace, which was in the state folder.
	errs = append(errs, removeIf(filepath.Join(cniResults, "*"), func(path string) bool {
		content, err := os.ReadFile(path)
		return err == nil && bytes.Contains(content, []byte(`"`+c.stateDir+"/"))
	}))
	// Links of the kubelet to the logs of containers.
	errs = append(errs, removeIf(filepath.Join(containerLogs, "*.log"), func(path string) bool {
		target, err := os.Readlink(path)
		return err == nil && strings.HasPrefix(target, c.logs()+"/")
	}))
	// Sockets of killed shims and of the kubelet. Whose they are does not show, but whether a process answers does.
	errs = append(errs, removeIf(filepath.Join(shimSockets, "*"), isDeadSocket))
	errs = append(errs, removeIf(filepath.Join(devicePlugins, "*.sock"), isDeadSocket))
	for _, dir := range []string{cniResults, containerLogs, shimSockets, devicePlugins} {
		removeEmpty(dir)
		if parent := filepath.Dir(dir); parent != "/var/log" {
			removeEmpty(parent)
		}
	}
	return errors.Join(errs...)
}

// removeIf deletes the files of the pattern that match.
func removeIf(pattern string, match func(path string) bool) error {
	paths, err := filepath.Glob(pattern)
	errs := []error{err}
	for _, path := range paths {
		if match(path) {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// isDeadSocket says whether path is a socket without a listener.
func isDeadSocket(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	connection, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return true
	}
	connection.Close()
	return false
}

// removeEmpty deletes a folder unless something is in it; a process that needs it makes it again.
func removeEmpty(dir string) {
	_ = os.Remove(dir)
}
