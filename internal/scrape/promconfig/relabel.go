// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package promconfig

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/utils/ptr"
)

const (
	meta   = "__meta_kubernetes_"
	keep   = "keep"
	drop   = "drop"
	anyOne = "(.+)"
	first  = "${1}"
)

// notInLabel is what prometheus-operator replaces in the keys of labels, as Prometheus' discovery does.
var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

func sanitized(key string) string { return notInLabel.ReplaceAllString(key, "_") }

// copied writes a label into another, empty or not.
func copied(target, source string) Relabeling {
	return Relabeling{SourceLabels: []string{source}, TargetLabel: target}
}

// notEmpty writes a label into another where it is not empty.
func notEmpty(target, source string) Relabeling {
	return Relabeling{SourceLabels: []string{source}, Regex: anyOne, TargetLabel: target, Replacement: ptr.To(first)}
}

// selects keeps the targets whose Service or Pod has the labels.
func selects(kind string, selector map[string]string) []Relabeling {
	var all []Relabeling
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		all = append(all, Relabeling{Action: keep, Regex: "(" + regexp.QuoteMeta(selector[key]) + ");true",
			SourceLabels: []string{meta + kind + "_label_" + sanitized(key), meta + kind + "_labelpresent_" + sanitized(key)}})
	}
	return all
}

// running drops the targets of Pods that have ended.
func running() Relabeling {
	return Relabeling{Action: drop, SourceLabels: []string{meta + "pod_phase"}, Regex: "(Failed|Succeeded)"}
}

// ofLabels gives targets labels of their Pods.
func ofLabels(podLabels []string) []Relabeling {
	var all []Relabeling
	for _, key := range podLabels {
		all = append(all, notEmpty(sanitized(key), meta+"pod_label_"+sanitized(key)))
	}
	return all
}

// ofService returns what comes before a ServiceMonitor's own relabelings. prometheus-operator has four more: the first writes a label
// that none of the others reads, and the last three spread the targets over shards, of which there is one.
func ofService(selector map[string]string, podLabels []string, port string) []Relabeling {
	all := selects("service", selector)
	if port != "" {
		all = append(all, Relabeling{Action: keep, SourceLabels: []string{meta + "endpointslice_port_name"}, Regex: regexp.QuoteMeta(port)})
	}
	target := []string{meta + "endpointslice_address_target_kind", meta + "endpointslice_address_target_name"}
	all = append(all,
		Relabeling{SourceLabels: target, Regex: "Node;(.*)", TargetLabel: "node", Replacement: ptr.To(first)},
		Relabeling{SourceLabels: target, Regex: "Pod;(.*)", TargetLabel: "pod", Replacement: ptr.To(first)},
		copied("namespace", meta+"namespace"),
		copied("service", meta+"service_name"),
		copied("pod", meta+"pod_name"),
		copied("container", meta+"pod_container_name"),
		running())
	all = append(all, ofLabels(podLabels)...)
	all = append(all, copied("job", meta+"service_name"))
	return append(all, endpoint(port)...)
}

// ofPod returns what comes before a PodMonitor's own relabelings.
func ofPod(selector map[string]string, podLabels []string, port, job string) []Relabeling {
	all := append([]Relabeling{running()}, selects("pod", selector)...)
	if port != "" {
		all = append(all, Relabeling{Action: keep, SourceLabels: []string{meta + "pod_container_port_name"}, Regex: regexp.QuoteMeta(port)})
	}
	all = append(all,
		copied("namespace", meta+"namespace"),
		copied("container", meta+"pod_container_name"),
		copied("pod", meta+"pod_name"))
	all = append(all, ofLabels(podLabels)...)
	all = append(all, Relabeling{TargetLabel: "job", Replacement: ptr.To(job)})
	return append(all, endpoint(port)...)
}

// endpoint names the port where the monitor does.
func endpoint(port string) []Relabeling {
	if port == "" {
		return nil
	}
	return []Relabeling{{TargetLabel: "endpoint", Replacement: ptr.To(port)}}
}

// translated writes a monitor's own relabelings.
func translated(relabelings []monitoringv1.RelabelConfig) []Relabeling {
	var all []Relabeling
	for _, of := range relabelings {
		var labels []string
		for _, label := range of.SourceLabels {
			labels = append(labels, string(label))
		}
		all = append(all, Relabeling{Action: strings.ToLower(of.Action), SourceLabels: labels, Separator: of.Separator, Regex: of.Regex,
			Modulus: of.Modulus, TargetLabel: of.TargetLabel, Replacement: of.Replacement})
	}
	return all
}
