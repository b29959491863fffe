// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "strconv"

// memoryLimitVariable has the memory limit of the container in bytes, by the downward API.
const memoryLimitVariable = "MEMORY_LIMIT"

// goMemoryLimit returns how much memory the Go runtime should use at most, in bytes; 0 leaves it to the runtime, which follows
// GOMEMLIMIT. It is nine tenths of the container's limit: near it the runtime collects more often instead of being killed, and the
// rest is for what the runtime does not count, such as the program itself.
func goMemoryLimit(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit, err := strconv.ParseInt(getenv(memoryLimitVariable), 10, 64)
	if err != nil || limit <= 0 {
		return 0
	}
	return limit / 10 * 9
}
