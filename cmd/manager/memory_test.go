// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestGoMemoryLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want int64
	}{
		"the container has a limit":    {env: map[string]string{"MEMORY_LIMIT": "1000"}, want: 900},
		"GOMEMLIMIT is the user's":     {env: map[string]string{"MEMORY_LIMIT": "1000", "GOMEMLIMIT": "100MiB"}},
		"it runs outside of a cluster": {},
		"the limit is no number":       {env: map[string]string{"MEMORY_LIMIT": "256Mi"}},
		"the limit is negative":        {env: map[string]string{"MEMORY_LIMIT": "-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := goMemoryLimit(func(name string) string { return tc.env[name] }); got != tc.want {
				t.Errorf("goMemoryLimit() = %d, want %d", got, tc.want)
			}
		})
	}
}
