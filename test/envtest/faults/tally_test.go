// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
)

// tally counts what was injected and survived in the whole run.
var tally = &counts{}

type counts struct {
	mutex sync.Mutex
	of    map[string]*count
}

type count struct{ injected, survived int }

// add counts faults of a kind that were injected, and those of them that the operator survived.
func (c *counts) add(kind string, injected, survived int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.of[kind] == nil {
		if c.of == nil {
			c.of = map[string]*count{}
		}
		c.of[kind] = &count{}
	}
	c.of[kind].injected += injected
	c.of[kind].survived += survived
}

// print writes the table, and returns whether everything was survived.
func (c *counts) print(to io.Writer) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	all := true
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nFAULT\tINJECTED\tSURVIVED")
	for _, kind := range slices.Sorted(maps.Keys(c.of)) {
		of := c.of[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\n", kind, of.injected, of.survived)
		all = all && of.injected == of.survived
	}
	_ = table.Flush()
	return all
}

// inject runs what injects faults of a kind. Whatever ends the test before its end was not survived, nor is what follows in a
// test that has failed: it began with a state that may be wrong.
func inject(t *testing.T, kind string, n int, run func()) {
	t.Helper()
	survived := 0
	defer func() { tally.add(kind, n, survived) }()
	run()
	if !t.Failed() {
		survived = n
	}
}
