package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// kubeletSysctls are the settings of the whole host that a kubelet changes when it starts.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// ReadSysctls returns the settings of the host that the kubelet is about to change. One that the kernel does not have is left out.
func ReadSysctls() map[string]string {
	values := map[string]string{}
	for _, name := range kubeletSysctls {
		if content, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = strings.TrimSpace(string(content))
		}
	}
	return values
}

// RestoreSysctls writes back what [ReadSysctls] returned.
func RestoreSysctls(values map[string]string) error {
	var errs []error
	for name, value := range values {
		path := filepath.Join("/proc/sys", name)
		if content, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(content)) == value {
			continue
		}
		errs = append(errs, os.WriteFile(path, []byte(value), 0))
	}
	return errors.Join(errs...)
}
