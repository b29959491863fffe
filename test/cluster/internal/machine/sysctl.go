package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// kubeletSysctls are the settings of the whole host that a kubelet changes when it starts.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// Sysctls are the host's settings as they were before the first kubelet of the clusters that are up changed them. They are kept beside
// the clusters, since the last one that goes restores them. Settings is the folder of the settings, Dir one that does not outlive the
// host's own life and is the same for every cluster.
type Sysctls struct{ Settings, Dir string }

// HostSysctls are those of this machine.
func HostSysctls() Sysctls {
	return Sysctls{Settings: "/proc/sys", Dir: "/run/metricspipeline-clusters"}
}

const savedSysctls = "sysctls.json"

// Save is called before a cluster changes them.
func (s Sysctls) Save(cluster string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	saved := filepath.Join(s.Dir, savedSysctls)
	if _, err := os.Stat(saved); errors.Is(err, fs.ErrNotExist) {
		content, err := json.Marshal(s.read())
		if err != nil {
			return err
		}
		if err := os.WriteFile(saved, content, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.Dir, "up-"+cluster), nil, 0o600)
}

// Restore is called once a cluster is down, also one that never called Save. It writes them back where no other is up.
func (s Sysctls) Restore(cluster string) error {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(filepath.Join(s.Dir, "up-"+cluster)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if others, err := filepath.Glob(filepath.Join(s.Dir, "up-*")); err != nil || len(others) > 0 {
		return err
	}
	content, err := os.ReadFile(filepath.Join(s.Dir, savedSysctls))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	values := map[string]string{}
	if err := json.Unmarshal(content, &values); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(s.Dir, savedSysctls), err)
	}
	if err := s.write(values); err != nil {
		return err
	}
	return os.Remove(filepath.Join(s.Dir, savedSysctls))
}

// lock has one cluster at a time look at who else is up. The folder stays: another may be waiting for its lock.
func (s Sysctls) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// read returns the settings as they are. One that the kernel does not have is left out.
func (s Sysctls) read() map[string]string {
	values := map[string]string{}
	for _, name := range kubeletSysctls {
		if content, err := os.ReadFile(filepath.Join(s.Settings, name)); err == nil {
			values[name] = strings.TrimSpace(string(content))
		}
	}
	return values
}

func (s Sysctls) write(values map[string]string) error {
	var errs []error
	for name, value := range values {
		path := filepath.Join(s.Settings, name)
		if content, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(content)) == value {
			continue
		}
		errs = append(errs, os.WriteFile(path, []byte(value), 0))
	}
	return errors.Join(errs...)
}
