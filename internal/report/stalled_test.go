// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import "testing"

// TestStalls compares the list with what is found in the case of every reason, of which TestEveryReasonHasACase sees that there
// is one: nothing else stalls, what the list has does, and only what it qualifies does not always.
func TestStalls(t *testing.T) {
	type pair struct{ condition, reason string }
	found, waits := map[pair]bool{}, map[string]bool{}
	for name, tc := range conditionCases() {
		o, _ := statusOf(tc.change)
		for _, part := range parts {
			f := find(o, part.condition, part.find)
			key := pair{part.condition, f.reason}
			if !f.stalled {
				waits[f.reason] = true
				for _, stall := range Stalls() {
					if (pair{stall.Condition, stall.Reason}) == key && stall.When == "" {
						t.Errorf("%s: %s %s is not stalled, and Stalls does not say when", name, key.condition, key.reason)
					}
				}
				continue
			}
			found[key] = true
		}
	}
	for _, stall := range Stalls() {
		key := pair{stall.Condition, stall.Reason}
		if !found[key] {
			t.Errorf("Stalls has %s %s, and in no case it is stalled", key.condition, key.reason)
		}
		if stall.When != "" && !waits[stall.Reason] {
			t.Errorf("Stalls says that %s is stalled only %s, and in no case it is not", stall.Reason, stall.When)
		}
		delete(found, key)
	}
	for key := range found {
		t.Errorf("%s %s is stalled, and Stalls does not have it", key.condition, key.reason)
	}
}
