// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runIsolated runs this binary again in new namespaces and returns its exit code. The error is set only if it could not
// be started.
func runIsolated() (int, error) {
	// The death signal below is sent when the thread that started the process ends, not when the program does.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	sweep()
	scratch, err := newScratch()
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(scratch.Close(), os.RemoveAll(scratch.Name())) }()

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A proxy would be out of reach, as everything else is.
	cmd.Env = append(os.Environ(), isolatedEnv+"=1", "TMPDIR="+scratch.Name(), "HTTP_PROXY=", "http_proxy=", "HTTPS_PROXY=", "https_proxy=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		// Within a user namespace of its own any process may make the other two.
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	fmt.Fprintln(os.Stderr, "envtest: the isolated test process ended by a signal:", err)
	return 1, nil
}

// scratchPrefix begins the names of the folders that all files of a run are in.
const scratchPrefix = "metricspipeline-envtest-"

// newScratch makes the folder of this run, and locks it for as long as the run lasts.
func newScratch() (*os.File, error) {
	path, err := os.MkdirTemp("", scratchPrefix)
	if err != nil {
		return nil, err
	}
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return folder, unix.Flock(int(folder.Fd()), unix.LOCK_EX)
}

// sweep removes the folders of runs that were killed: the lock ends with the process that has it.
func sweep() {
	paths, err := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range paths {
		folder, err := os.Open(path)
		if err != nil {
			continue
		}
		info, err := folder.Stat()
		// One that has just been made may not be locked yet.
		old := err == nil && time.Since(info.ModTime()) > time.Minute
		if old && unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		_ = folder.Close()
	}
}

// configureNetwork makes the networks of pods and Services local. On the loopback device a whole prefix is, so that any
// address of it can be listened on and any other refuses a connection at once.
func configureNetwork() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer func() { _ = unix.Close(socket) }()
	if err := setUp(socket, "lo"); err != nil {
		return err
	}
	for i, prefix := range []string{PodNetwork, ServiceNetwork} {
		if err := addAddress(socket, fmt.Sprintf("lo:%d", i), prefix); err != nil {
			return err
		}
	}
	return nil
}

func setUp(socket int, device string) error {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bringing up %s: %w", device, err)
	}
	return nil
}

func addAddress(socket int, alias, prefix string) error {
	_, network, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	address := network.IP.To4()
	address[3]++
	for _, set := range []struct {
		request uint
		value   []byte
	}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, network.Mask}} {
		request, err := unix.NewIfreq(alias)
		if err != nil {
			return err
		}
		if err := request.SetInet4Addr(set.value); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(socket, set.request, request); err != nil {
			return fmt.Errorf("giving %s to %s: %w", prefix, alias, err)
		}
	}
	return nil
}
