// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const cgroupRoot = "/sys/fs/cgroup"

// sameWeight gives a process the share of the processors that a pod has, in a control group beside the pod's: on a busy
// machine a process without one would get many times as much, and the comparison would be one of shares. The returned
// function removes the group, once the process has ended.
func sameWeight(pid int, pod *corev1.Pod) (remove func() error, err error) {
	process, err := processOf(pod)
	if err != nil {
		return nil, err
	}
	groups, err := os.ReadFile(filepath.Join(process, "cgroup"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(groups)) {
		// 4:cpu,cpuacct:/path with one hierarchy for each controller, 0::/path with one for all.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] != "" && !strings.Contains(","+parts[1]+",", ",cpu,") {
			continue
		}
		file := "cpu.shares"
		if parts[1] == "" {
			file = "cpu.weight"
		}
		ofPod := filepath.Dir(filepath.Join(cgroupRoot, parts[1], parts[2]))
		weight, err := os.ReadFile(filepath.Join(ofPod, file))
		if errors.Is(err, os.ErrNotExist) {
			continue // The other kind of hierarchy is in use for processors.
		}
		if err != nil {
			return nil, err
		}
		return join(pid, filepath.Join(filepath.Dir(ofPod), "bench-floor"), file, weight)
	}
	return nil, fmt.Errorf("no control group of pod %s shares out the processors below %s", pod.Name, cgroupRoot)
}

func join(pid int, group, file string, weight []byte) (remove func() error, err error) {
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	remove = func() error { return os.Remove(group) }
	err = os.WriteFile(filepath.Join(group, file), weight, 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}
