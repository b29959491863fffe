// Package machine is what the test cluster needs of the Linux host: a network namespace, control groups, processes,
// mounts and sysctls, each with the undoing that works after any failure.
package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// CreateNetNS makes a network namespace and pins it at path, a file of its own. It is not made with `ip netns add`,
// which leaves a mount of its own on the host.
func CreateNetNS(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	return onDiscardedThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		own := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pinning the network namespace at %s: %w", path, err)
		}
		return nil
	})
}

// InNetNS runs do on a thread inside the network namespace pinned at path; processes that do starts live there too. Only
// the network changes: the host's mounts stay in sight, and the kubelet finds its control groups.
func InNetNS(path string, do func() error) error {
	return onDiscardedThread(func() error {
		if err := enterNetNS(path); err != nil {
			return err
		}
		return do()
	})
}

// DialInNetNS connects to an IP address and port inside the network namespace pinned at path. A socket stays in the
// namespace it was made in, so the connection can be used from anywhere.
func DialInNetNS(ctx context.Context, path, network, address string) (net.Conn, error) {
	var connection net.Conn
	err := InNetNS(path, func() (err error) {
		connection, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return connection, err
}

// NodeNetwork is what [ConfigureNetNS] sets up.
type NodeNetwork struct {
	// Bridge is the name of the device that carries the node's address; some kernels have no dummy devices.
	Bridge string
	// Address is the node's address with its prefix length.
	Address string
}

// ConfigureNetNS brings up loopback and the node's device in the namespace pinned at path. The default route leads
// nowhere, but without one the kubelet finds no address for the node.
func ConfigureNetNS(path string, network NodeNetwork) error {
	err := runIP(path, [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", network.Bridge, "type", "bridge"},
		{"addr", "add", network.Address, "dev", network.Bridge},
		{"link", "set", network.Bridge, "up"},
		{"route", "add", "default", "dev", network.Bridge},
	})
	if err != nil {
		return err
	}
	return InNetNS(path, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}

// ConnectNetNS connects two namespaces by a pair of devices with these addresses. The second one sends everything to the first.
func ConnectNetNS(path, other, address, otherAddress string) error {
	const device, peer, prefix = "outside", "node", "/30"
	err := runIP(path, [][]string{
		{"link", "add", device, "type", "veth", "peer", "name", peer, "netns", other},
		{"addr", "add", address + prefix, "dev", device},
		{"link", "set", device, "up"},
	})
	if err != nil {
		return err
	}
	return runIP(other, [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", otherAddress + prefix, "dev", peer},
		{"link", "set", peer, "up"},
		{"route", "add", "default", "via", address},
	})
}

// runIP runs `ip` with each of these arguments in the namespace pinned at path.
func runIP(path string, commands [][]string) error {
	return InNetNS(path, func() error {
		for _, args := range commands {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
			}
		}
		return nil
	})
}

// enterNetNS moves the calling thread, which must be locked and discarded afterwards.
func enterNetNS(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("entering the cluster's network namespace: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace %s: %w", path, err)
	}
	return nil
}

// onDiscardedThread runs do on an operating system thread of its own and ends the thread after, so that nothing else of
// this program runs in the namespaces or control groups that do moves the thread to.
func onDiscardedThread(do func() error) error {
	result := make(chan error, 1)
	go func() {
		returned := false
		defer func() {
			if !returned {
				result <- errors.New("a step in the network namespace did not return")
			}
		}()
		runtime.LockOSThread()
		err := do()
		returned = true
		result <- err
	}()
	return <-result
}
