// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// footprint is the memory of a process in MB.
type footprint struct {
	// private is what it has written, which no one else has and the kernel cannot drop.
	private float64
	// resident is all that it has in memory: what is private, and the pages of its program that it has touched.
	resident float64
}

// footprintOf reads the memory of the operator's process in a pod, once it has not shrunk for half a minute: the Go runtime gives
// back little by little what a collection has freed.
func footprintOf(ctx context.Context, pod *corev1.Pod) (least footprint, err error) {
	const look, calm, shrunk = 5 * time.Second, 6, 0.995
	process, err := processOf(pod)
	if err != nil {
		return least, err
	}
	if least, err = readFootprint(process); err != nil {
		return least, err
	}
	for same := 0; same < calm; same++ {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return least, fmt.Errorf("wait for the memory of pod %s to stay as it is: %w", pod.Name, ctx.Err())
		}
		now, err := readFootprint(process)
		if err != nil {
			return least, err
		}
		if now.resident < least.resident*shrunk {
			same = -1
		}
		least = now
	}
	return least, nil
}

func readFootprint(process string) (read footprint, err error) {
	rollup, err := os.ReadFile(filepath.Join(process, "smaps_rollup"))
	if err != nil {
		return read, err
	}
	for line := range bytes.Lines(rollup) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Rss:":
			read.resident = kib * 1024 / 1e6
		case "Private_Dirty:":
			read.private = kib * 1024 / 1e6
		}
	}
	return read, nil
}
