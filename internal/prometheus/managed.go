// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"hash/fnv"
)

// The Prometheus that the operator runs, as more than its operand must know it.
const (
	// ManagedName is the name of its component, of its Service and, where it has no Prometheus object, of its Deployment.
	ManagedName = "managed-prometheus"
	// ManagedObject is the name of its Prometheus object.
	ManagedObject = "metricspipeline"
	// ManagedField is where the spec wants it.
	ManagedField = "spec.prometheus.managed"
	// Shards is how many ConfigMaps have its scrape configurations: one has no room for those of every namespace.
	Shards = 8
)

// ShardName is the name of a ConfigMap with scrape configurations, one key NAMESPACE.yaml for each namespace.
func ShardName(shard int) string { return fmt.Sprintf("%s-scrape-%d", ManagedName, shard) }

// ShardOf returns which ConfigMap has the scrape configurations of a namespace.
func ShardOf(namespace string) int {
	sum := fnv.New32a()
	sum.Write([]byte(namespace))
	return int(sum.Sum32() % Shards)
}
