// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// MostAsked is how many kubelets are asked at once.
const MostAsked = 20

// Sample returns up to MostAsked names, the same for the same names, and spread over names that differ in their ends only, as those of
// one pool do. The order is by name.
func Sample(names []string) []string {
	chosen := slices.Clone(names)
	if len(chosen) > MostAsked {
		sums := make(map[string][sha256.Size]byte, len(chosen))
		for _, name := range chosen {
			sums[name] = sha256.Sum256([]byte(name))
		}
		slices.SortFunc(chosen, func(a, b string) int {
			one, other := sums[a], sums[b]
			return bytes.Compare(one[:], other[:])
		})
		chosen = chosen[:MostAsked]
	}
	slices.Sort(chosen)
	return chosen
}
