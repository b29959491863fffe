// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package text

import "slices"

// Share fills a list with at most so many entries, of each namespace one in turn, so that none takes the places of another, and
// sorts it. lists are those of the namespaces, in the order of their names.
func Share[T any](lists [][]T, most int, compare func(one, other T) int) []T {
	var shared []T
	for turn := 0; turn < most && len(shared) < most; turn++ {
		for _, list := range lists {
			if turn < len(list) && len(shared) < most {
				shared = append(shared, list[turn])
			}
		}
	}
	slices.SortFunc(shared, compare)
	return shared
}
