// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"regexp"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// Labels that live only while a target is relabeled.
const (
	tmpHost   = "__tmp_mp_host"
	tmpNumber = "__tmp_mp_number"
	tmpName   = "__tmp_mp_name"
	tmpProto  = "__tmp_mp_protocol"
	tmpWant   = "__tmp_mp_want"
	tmpHave   = "__tmp_mp_have"
)

// Labels of Prometheus' service discovery.
const (
	metaServiceName       = "__meta_kubernetes_service_name"
	metaPodIP             = "__meta_kubernetes_pod_ip"
	metaContainerInit     = "__meta_kubernetes_pod_container_init"
	metaContainerPort     = "__meta_kubernetes_pod_container_port_number"
	metaContainerPortName = "__meta_kubernetes_pod_container_port_name"
	metaContainerProtocol = "__meta_kubernetes_pod_container_port_protocol"
	metaDefaultContainer  = "__meta_kubernetes_pod_annotation_kubectl_kubernetes_io_default_container"
	labelAddress          = "__address__"
	labelPath             = "__metrics_path__"
	labelScheme           = "__scheme__"
)

// A Prometheus discovers by EndpointSlices or by Endpoints; each rule reads the labels of both, of which one is empty.
var (
	metaPortName     = []monitoringv1.LabelName{"__meta_kubernetes_endpointslice_port_name", "__meta_kubernetes_endpoint_port_name"}
	metaPortProtocol = []monitoringv1.LabelName{"__meta_kubernetes_endpointslice_port_protocol", "__meta_kubernetes_endpoint_port_protocol"}
)

var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// annotations gives the labels under which discovery presents an app's annotations.
type annotations struct{ kind, prefix string }

func (a annotations) label(name string) string {
	return "__meta_kubernetes_" + a.kind + "_annotation_" + notInLabel.ReplaceAllString(a.prefix+"/"+name, "_")
}

// rules collects relabelings.
type rules []monitoringv1.RelabelConfig

func sources(names ...string) []monitoringv1.LabelName {
	labels := make([]monitoringv1.LabelName, 0, len(names))
	for _, name := range names {
		labels = append(labels, monitoringv1.LabelName(name))
	}
	return labels
}

func (r *rules) keep(regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "keep", SourceLabels: sources(names...), Regex: regex})
}

func (r *rules) drop(regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "drop", SourceLabels: sources(names...), Regex: regex})
}

// keepEqual keeps a target whose two labels have the same value.
func (r *rules) keepEqual(one, other string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "keepequal", SourceLabels: sources(one), TargetLabel: other})
}

// set writes replacement into target when the sources, joined by a semicolon, match.
func (r *rules) set(target, replacement, regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{
		Action: "replace", SourceLabels: sources(names...), Regex: regex, TargetLabel: target, Replacement: &replacement})
}

// join writes the only one of the sources that is not empty into target.
func (r *rules) join(target string, from []monitoringv1.LabelName) {
	separator := ""
	*r = append(*r, monitoringv1.RelabelConfig{Action: "replace", SourceLabels: from, Separator: &separator, TargetLabel: target})
}

// checks keeps the apps that want to be scraped, in the grammar's terms: whatever an annotation holds that the grammar
// refuses ends the target here, whether or not the refusal has been reported. The query of a path is for monitors that
// have its parameters.
func (r *rules) checks(a annotations, query bool) {
	path := "(?:" + patternPath + ")"
	if query {
		path += `(?:\?.*)?`
	}
	r.keep(patternYes, a.label(annotationScrape))
	r.keep("|"+patternPortNumber+"|"+patternPortName, a.label(annotationPort))
	r.keep(path, a.label(annotationPath))
	r.keep("|"+patternHTTP+"|"+patternTLS, a.label(annotationScheme))
}

// honors writes path and scheme, which have been checked.
func (r *rules) honors(a annotations) {
	r.set(labelPath, "/$1", `/?([^?]+)(?:\?.*)?`, a.label(annotationPath))
	r.set(labelPath, "/", `/(?:\?.*)?`, a.label(annotationPath))
	r.set(labelScheme, "http", patternHTTP, a.label(annotationScheme))
	r.set(labelScheme, "https", patternTLS, a.label(annotationScheme))
	// The port's number is the same for every name that a port has, so that two names do not make two targets of one.
	r.set("endpoint", "$1", `.*:([0-9]+)`, labelAddress)
}

// splits takes an address apart.
func (r *rules) splits() {
	r.set(tmpHost, "$1", `\[?([^\]]+?)\]?(?::[0-9]+)?`, labelAddress)
	r.set(tmpNumber, "$1", `.*[^:]:([0-9]+)`, labelAddress)
}

// end is the tail of every monitor's relabeling.
func (r *rules) end(a annotations) {
	r.rewrites()
	r.honors(a)
	r.forgets()
}

// rewrites points a target at a port that nobody declares. Each declared port of the Pod becomes such a target; without
// the container, which differs, they are one, and Prometheus scrapes equal targets once.
func (r *rules) rewrites() {
	r.set(labelAddress, "$1:$2", `([^:]+);`+wantRewrite+`([0-9]+)`, metaPodIP, tmpWant)
	r.set(labelAddress, "[$1]:$2", `(.*:.*);`+wantRewrite+`([0-9]+)`, metaPodIP, tmpWant)
	r.set("container", "", wantRewrite+".*", tmpWant)
	r.set("container", "$1", wantRewrite+".*;(.+)", tmpWant, metaDefaultContainer)
}

// forgets drops the labels that lived for the relabeling. It comes last: Prometheus tells targets apart by every label that
// is left, hidden or not, and would scrape one URL for each port that it had been discovered by.
func (r *rules) forgets() {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "labeldrop", Regex: "__tmp_mp_.*"})
}
