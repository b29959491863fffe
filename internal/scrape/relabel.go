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
	metaNamespace         = "__meta_kubernetes_namespace"
	metaServiceName       = "__meta_kubernetes_service_name"
	metaPodName           = "__meta_kubernetes_pod_label_app_kubernetes_io_name"
	metaPodIP             = "__meta_kubernetes_pod_ip"
	metaPodHostIP         = "__meta_kubernetes_pod_host_ip"
	metaContainerInit     = "__meta_kubernetes_pod_container_init"
	metaContainerPort     = "__meta_kubernetes_pod_container_port_number"
	metaContainerPortName = "__meta_kubernetes_pod_container_port_name"
	metaContainerProtocol = "__meta_kubernetes_pod_container_port_protocol"
	metaDefaultContainer  = "__meta_kubernetes_pod_annotation_kubectl_kubernetes_io_default_container"
	labelAddress          = "__address__"
	labelPath             = "__metrics_path__"
	labelScheme           = "__scheme__"
	labelJob              = "job"
)

// A Prometheus discovers by EndpointSlices or by Endpoints; relabelings read the labels of both, of which one is empty.
var (
	metaPortName     = []monitoringv1.LabelName{"__meta_kubernetes_endpointslice_port_name", "__meta_kubernetes_endpoint_port_name"}
	metaPortProtocol = []monitoringv1.LabelName{"__meta_kubernetes_endpointslice_port_protocol", "__meta_kubernetes_endpoint_port_protocol"}
)

var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// annotations names the labels in which discovery has an app's annotations.
type annotations struct{ kind, prefix string }

func (a annotations) label(name string) string {
	return "__meta_kubernetes_" + a.kind + "_annotation_" + notInLabel.ReplaceAllString(a.prefix+"/"+name, "_")
}

// relabelings of an endpoint of a monitor, in their order.
type relabelings []monitoringv1.RelabelConfig

func sources(names ...string) []monitoringv1.LabelName {
	labels := make([]monitoringv1.LabelName, 0, len(names))
	for _, name := range names {
		labels = append(labels, monitoringv1.LabelName(name))
	}
	return labels
}

func (r *relabelings) keep(regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "keep", SourceLabels: sources(names...), Regex: regex})
}

func (r *relabelings) drop(regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "drop", SourceLabels: sources(names...), Regex: regex})
}

// keepEqual keeps a target whose two labels have the same value.
func (r *relabelings) keepEqual(one, other string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "keepequal", SourceLabels: sources(one), TargetLabel: other})
}

// dropEqual drops a target whose two labels have the same value.
func (r *relabelings) dropEqual(one, other string) {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "dropequal", SourceLabels: sources(one), TargetLabel: other})
}

// set writes replacement into target where the sources, joined by a semicolon, match.
func (r *relabelings) set(target, replacement, regex string, names ...string) {
	*r = append(*r, monitoringv1.RelabelConfig{
		Action: "replace", SourceLabels: sources(names...), Regex: regex, TargetLabel: target, Replacement: &replacement})
}

// join writes the only one of the sources that is not empty into target.
func (r *relabelings) join(target string, from []monitoringv1.LabelName) {
	separator := ""
	*r = append(*r, monitoringv1.RelabelConfig{Action: "replace", SourceLabels: from, Separator: &separator, TargetLabel: target})
}

// checks keeps the apps that are annotated for scraping and drops what the grammar rejects, whether or not the rejection has
// been reported yet. query lets the query of a path through, for monitors that have its parameters.
func (r *relabelings) checks(a annotations, query bool) {
	path := "(?:" + patternPath + ")"
	if query {
		path += "(?:" + patternQuery + ")?"
	}
	r.keep(patternYes, a.label(annotationScrape))
	r.keep("|"+patternPortNumber+"|"+patternPortName, a.label(annotationPort))
	r.keep(path, a.label(annotationPath))
	r.keep("|"+patternHTTP+"|"+patternTLS, a.label(annotationScheme))
}

// honors sets path and scheme, which checks has let through.
func (r *relabelings) honors(a annotations) {
	r.set(labelPath, "/$1", `/?([^?]+)(?:\?.*)?`, a.label(annotationPath))
	r.set(labelPath, "/", `/(?:\?.*)?`, a.label(annotationPath))
	r.set(labelScheme, "http", patternHTTP, a.label(annotationScheme))
	r.set(labelScheme, "https", patternTLS, a.label(annotationScheme))
	// The port's number, not its name: a port with two names is one target.
	r.set("endpoint", "$1", `.*:([0-9]+)`, labelAddress)
}

// jobs sets the label job to the namespace and the name, if there is one, in a label: a job without its namespace could be that of
// any other app, such as apiserver.
func (r *relabelings) jobs(name string) {
	r.set(labelJob, "$1/$2", "(.+);(.+)", metaNamespace, name)
}

// splits sets the labels of an address' host and port.
func (r *relabelings) splits() {
	r.set(tmpHost, "$1", `\[?([^\]]+?)\]?(?::[0-9]+)?`, labelAddress)
	r.set(tmpNumber, "$1", `.*[^:]:([0-9]+)`, labelAddress)
}

// end adds the last relabelings of every monitor.
func (r *relabelings) end(a annotations) {
	r.rewrites()
	r.honors(a)
	r.forgets()
}

// rewrites points a target at an undeclared port. Each declared port of the Pod becomes such a target; without the label
// container they are equal, and Prometheus scrapes equal targets once.
func (r *relabelings) rewrites() {
	r.set(labelAddress, "$1:$2", `([^:]+);`+wantRewrite+`([0-9]+)`, metaPodIP, tmpWant)
	r.set(labelAddress, "[$1]:$2", `(.*:.*);`+wantRewrite+`([0-9]+)`, metaPodIP, tmpWant)
	r.set("container", "", wantRewrite+".*", tmpWant)
	r.set("container", "$1", wantRewrite+".*;(.+)", tmpWant, metaDefaultContainer)
}

// forgets drops the temporary labels. It must be last: Prometheus takes targets for different that differ in any label left,
// hidden or not, and would scrape one URL once for each port that it was discovered by.
func (r *relabelings) forgets() {
	*r = append(*r, monitoringv1.RelabelConfig{Action: "labeldrop", Regex: "__tmp_mp_.*"})
}
