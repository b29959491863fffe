// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"

	"github.com/metricspipeline/operator/internal/prometheus"
)

// What metrics.k8s.io is made of.
const (
	containerCPU    = "cpu of containers"
	containerMemory = "memory of containers"
	nodeCPU         = "cpu of nodes"
	nodeMemory      = "memory of nodes"
)

// selection is what a query is about, as PromQL: matchers of the labels namespace and pod, or node; the values of node as a regular
// expression; and the labels that tell containers apart.
type selection struct{ matchers, nodes, containers string }

var (
	// requested is what the adapter puts in for a request.
	requested = selection{matchers: "<<.LabelMatchers>>", nodes: "<<.LabelValuesByName.node>>", containers: "<<.GroupBy>>"}
	// anyContainer and anyNode are all that there are. An instance with a port names no Node.
	anyContainer = selection{matchers: `namespace!=""`, containers: "namespace, pod, container"}
	anyNode      = selection{matchers: `node!=""`, nodes: "[^:]+"}
)

// resourceRules are the adapter's for metrics.k8s.io. managed is true where it asks the Prometheus that the operator runs.
func resourceRules(window time.Duration, managed bool) *adapter.ResourceRules {
	resources := adapter.ResourceMapping{Overrides: map[string]adapter.GroupResource{
		"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}, "node": {Resource: "node"}}}
	rule := func(containers, nodes string) adapter.ResourceRule {
		return adapter.ResourceRule{ContainerQuery: containers, NodeQuery: nodes, ContainerLabel: "container", Resources: resources}
	}
	return &adapter.ResourceRules{
		CPU:    rule(cpuOfContainers(requested, window), cpuOfNodes(requested, window, managed)),
		Memory: rule(memoryOfContainers(requested), memoryOfNodes(requested, managed)),
		Window: model.Duration(window),
	}
}

// demand is for a sample of each of the four queries.
func demand(window time.Duration, managed bool) prometheus.Demand {
	var d prometheus.Demand
	var counts []string
	for _, part := range []struct{ kind, query string }{
		{containerCPU, cpuOfContainers(anyContainer, window)},
		{containerMemory, memoryOfContainers(anyContainer)},
		{nodeCPU, cpuOfNodes(anyNode, window, managed)},
		{nodeMemory, memoryOfNodes(anyNode, managed)},
	} {
		d.Kinds = append(d.Kinds, part.kind)
		counts = append(counts, fmt.Sprintf("label_replace(count(%s), %q, %q, \"\", \"\")", part.query, prometheus.KindLabel, part.kind))
	}
	d.Query = strings.Join(counts, "\nor\n")
	return d
}

// cpuOfContainers is in cores: of Linux by cAdvisor in the kubelet (a cgroup without a container is a pod's, and POD its sandbox), of
// Windows by windows-exporter. Where a kubelet has several targets, each container counts once.
func cpuOfContainers(s selection, window time.Duration) string {
	over := "[" + model.Duration(window).String() + "]"
	return containers(s,
		`rate(container_cpu_usage_seconds_total{`+s.matchers+`,container!="",container!="POD"}`+over+`)`,
		`rate(windows_container_cpu_usage_seconds_total{container_id!=""}`+over+`)`)
}

// memoryOfContainers is in bytes.
func memoryOfContainers(s selection) string {
	return containers(s,
		`container_memory_working_set_bytes{`+s.matchers+`,container!="",container!="POD"}`,
		`windows_container_memory_usage_private_working_set_bytes{container_id!=""}`)
}

// containers takes the names of Windows containers, which windows-exporter knows by their ids, from kube-state-metrics.
func containers(s selection, linux, windows string) string {
	return `max by (` + s.containers + `) (` + linux + `)
or
max by (` + s.containers + `) (
  ` + windows + `
  * on (container_id) group_left (namespace, pod, container)
  max by (container_id, namespace, pod, container) (kube_pod_container_info{` + s.matchers + `,container_id!=""})
)`
}

// source makes a query of a node's use for matchers of its series.
type source func(matchers string) string

// cpuOfNodes is in cores: by the root cgroup of cAdvisor, by the kubelet's /metrics/resource, by node-exporter or by windows-exporter,
// in this order for each node.
func cpuOfNodes(s selection, window time.Duration, managed bool) string {
	over := "[" + model.Duration(window).String() + "]"
	byKubelet := func(m string) string { return `rate(node_cpu_usage_seconds_total{` + m + `}` + over + `)` }
	if managed {
		return ofKubelets(s, byKubelet)
	}
	return nodes(s, []source{
		func(m string) string { return `rate(container_cpu_usage_seconds_total{id="/",` + m + `}` + over + `)` },
		byKubelet,
	}, []source{
		func(m string) string {
			return `sum without (cpu, mode) (rate(node_cpu_seconds_total{mode!~"idle|iowait|steal",` + m + `}` + over + `))`
		},
		func(m string) string {
			return `sum without (core, mode) (rate(windows_cpu_time_total{mode!="idle",` + m + `}` + over + `))`
		},
	})
}

// memoryOfNodes is in bytes. windows-exporter has renamed what a node has.
func memoryOfNodes(s selection, managed bool) string {
	byKubelet := func(m string) string { return `node_memory_working_set_bytes{` + m + `}` }
	if managed {
		return ofKubelets(s, byKubelet)
	}
	used := func(total, available string) source {
		return func(m string) string { return `(` + total + `{` + m + `} - ` + available + `{` + m + `})` }
	}
	return nodes(s, []source{
		func(m string) string { return `container_memory_working_set_bytes{id="/",` + m + `}` },
		byKubelet,
	}, []source{
		used("node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"),
		used("windows_memory_physical_total_bytes", "windows_memory_available_bytes"),
		used("windows_cs_physical_memory_bytes", "windows_memory_available_bytes"),
	})
}

// nodes finds the Node that series are about: by the label node, which prometheus-operator sets on a kubelet's targets; by the label
// instance, which is the Node's name where Prometheus discovers nodes itself; or by the exporter's pod, from kube-state-metrics. A pod
// of a StatefulSet may be on two nodes one after the other, and a name with two nodes would fail the whole query.
func nodes(s selection, kubelets, exporters []source) string {
	var branches []string
	for i, of := range slices.Concat(kubelets, exporters) {
		branches = append(branches,
			`max by (node) (`+of(s.matchers)+`)`,
			`max by (node) (label_replace(`+of(`node="",instance=~"`+s.nodes+`"`)+`, "node", "$1", "instance", "(.+)"))`)
		if i >= len(kubelets) {
			branches = append(branches, `max by (node) (`+of(`node="",pod!=""`)+`
  * on (namespace, pod) group_left (node) max by (namespace, pod, node) (kube_pod_info{created_by_kind="DaemonSet",`+s.matchers+`}))`)
		}
	}
	return strings.Join(branches, "\nor on (node)\n")
}

// ofKubelets is for the Prometheus that the operator runs, which has every node by its kubelet, with the label node. No app says there what
// a node uses: the job of its series is that of its monitor, and they have a namespace.
func ofKubelets(s selection, of source) string {
	return `max by (node) (` + of(s.matchers+`,job="`+prometheus.ResourceJob+`",namespace=""`) + `)`
}
