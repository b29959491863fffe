// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"

	"sigs.k8s.io/prometheus-adapter/pkg/client"
)

// Shadows is true where every metric of a rule is one of a later rule too. The adapter then serves the later one, if both have
// series: served says so. Rules of the same series have them both or neither.
func (f Findings) Shadows(earlier Findings, served bool) bool {
	if len(earlier.made.names) == 0 || !served && f.made.from != earlier.made.from {
		return false
	}
	return contains(f.made.names, earlier.made.names) && contains(f.made.of, earlier.made.of)
}

// Names are those of the metrics that the rule makes; none where they are not known.
func (f Findings) Names() []string { return f.made.names }

// contains is true where all of one list are in another.
func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

func seriesOf(name string) client.Series { return client.Series{Name: name} }
