// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/utils/ptr"
)

// Labels that live only while a target is relabeled.
const (
	tmpHost   = "__tmp_mp_host"
	tmpNumber = "__tmp_mp_number"
	tmpName   = "__tmp_mp_name"
	tmpProto  = "__tmp_mp_protocol"
	tmpWant   = "__tmp_mp_want"
	tmpHave   = "__tmp_mp_have"
	tmpInit   = "__tmp_mp_init"
	tmpPod    = "__tmp_mp_pod"
	tmpParams = "__tmp_mp_params"
	tmpPort   = "__tmp_mp_port_"
)

// Labels of Prometheus' service discovery.
const (
	metaNamespace         = "__meta_kubernetes_namespace"
	metaServiceName       = "__meta_kubernetes_service_name"
	metaPodName           = "__meta_kubernetes_pod_label_app_kubernetes_io_name"
	metaPodIP             = "__meta_kubernetes_pod_ip"
	metaPodHostIP         = "__meta_kubernetes_pod_host_ip"
	metaContainerInit     = "__meta_kubernetes_pod_container_init"
	metaContainerName     = "__meta_kubernetes_pod_container_name"
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

// admitted is what an endpoint is for, beside apps with one port at most, no query and no annotation of its own.
type admitted struct {
	// query is an expression for the query of the path; empty for none.
	query string
	// list admits lists of ports, and slow only the apps that are scraped less often.
	list, slow bool
}

// checks keeps the apps that are annotated for scraping and drops what the grammar rejects, whether or not the rejection has
// been reported yet, and what endpoints of their own are for.
func (r *relabelings) checks(a annotations, to admitted, seen Seen, schemes Schemes) {
	port := "|" + patternPortNumber + "|" + patternPortName
	if to.list {
		port += "|" + patternPortList
	}
	if to.slow {
		r.keep(patternYes, a.label(annotationSlow))
	} else {
		r.keep(patternYes, a.label(annotationScrape))
		if seen.Slow {
			r.drop(patternYes, a.label(annotationSlow))
		}
	}
	r.keep(port, a.label(annotationPort))
	r.keep("(?:"+patternPath+")"+to.query, a.label(annotationPath))
	r.keep("|"+patternHTTP+"|"+patternTLS, a.label(annotationScheme))
	switch schemes {
	case OnlyHTTP:
		r.drop(patternTLS, a.label(annotationScheme))
	case OnlyHTTPS:
		r.keep(patternTLS, a.label(annotationScheme))
	case AnyScheme:
	}
}

// parameters keeps the apps whose annotations are exactly these parameters. Which others there may be, only the app knows.
func (r *relabelings) parameters(a annotations, params url.Values) {
	names := slices.Sorted(maps.Keys(params))
	for _, name := range names {
		r.keep(regexp.QuoteMeta(params.Get(name)), a.label(annotationParam+name))
	}
	present := strings.Replace(a.label(annotationParam), "_annotation_", "_annotationpresent_", 1)
	if len(names) > 0 {
		*r = append(*r, monitoringv1.RelabelConfig{Action: "labeldrop", Regex: present + "(?:" + strings.Join(names, "|") + ")"})
	}
	*r = append(*r, monitoringv1.RelabelConfig{Action: "labelmap", Regex: present + ".*", Replacement: ptr.To(tmpParams)})
	r.drop("true", tmpParams)
}

// lists sets a label to each port of a list, in the forms of the relabelings: a number, or the name of a container's port. before is
// what the other sources match.
func (r *relabelings) lists(count int, before string, names ...string) {
	for i := range count {
		skip := strings.Repeat("[^,]*,", i)
		r.set(listedPort(i), wantRewrite+"$1", before+skip+" ?("+patternPortNumber+")(?: ?,.*)?", names...)
		r.set(listedPort(i), wantContainerPort+"$1", before+skip+" ?("+patternPortName+")(?: ?,.*)?", names...)
	}
}

func listedPort(i int) string { return tmpPort + strconv.Itoa(i) }

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
