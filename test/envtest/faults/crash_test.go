// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"testing"
)

// TestCrash: the operator may die after any of its writes. The next one, which remembers nothing, finishes the work.
func TestCrash(t *testing.T) {
	eachScenario(t, func(w *world, s scenario) {
		begin, end, writes := w.undisturbed(s)
		w.Logf("%d writes", len(writes))
		for k := 1; k <= len(writes); k++ {
			w.prepare(s, begin)
			w.do(s, k)
			if !w.crashed(end) {
				continue // It has come to the end with fewer writes this time.
			}
			about := fmt.Sprintf("%s, crash after write %d of %d, %s", s.name, k, len(writes), writes[k-1])
			inject(w.T, "crash after a write", 1, func() {
				w.start()
				w.reaches(end, about)
			})
		}
	})
}

// crashed waits until the operator has crashed; false when it has come to the end and did not.
func (w *world) crashed(end snapshot) bool {
	w.Helper()
	crashed := false
	w.eventually(func() string {
		crashed = w.life.isDead()
		if crashed || w.life.quiet(longCalm) && end.differs(w.snapshot()) == "" {
			return ""
		}
		return "the operator neither crashed nor came to the end"
	})
	if crashed {
		w.bury()
	}
	return crashed
}
