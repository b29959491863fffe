// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"net/url"
	"regexp"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// ParsePod reads the annotations of a Pod that is annotated for scraping.
func ParsePod(prefix string, annotations map[string]string) (Request, *Rejection) {
	request, rejection := Parse(prefix, annotations)
	switch {
	case rejection != nil:
		return Request{}, rejection
	case request.Listed && request.Params != nil:
		return Request{}, listWithParams(prefix, annotations)
	}
	return request, nil
}

// PodQuery is what the Pods that share an endpoint of a monitor have as parameters. A Pod's name does not live long enough to be in a
// monitor, so relabelings find these Pods by what is written in their annotations.
type PodQuery struct {
	// Slow is true where the Pods are scraped less often.
	Slow bool
	// Query of the path as it is written, with the question mark, and Params of the other annotations, encoded; either may be empty.
	Query, Params string
}

// ClassifyPod applies the grammar to a Pod that is annotated for scraping, and returns its parameters; the zero ones for none.
func ClassifyPod(prefix string, annotations map[string]string) (PodQuery, *Rejection) {
	request, rejection := ParsePod(prefix, annotations)
	if rejection != nil || request.Params == nil {
		return PodQuery{}, rejection
	}
	return PodQuery{slow(prefix, annotations), request.query, request.stated.Encode()}, nil
}

// params returns the parameters of the annotations alone, and all of them.
func (q PodQuery) params() (stated, all url.Values) {
	// Both were read before.
	stated, _ = url.ParseQuery(q.Params)
	all, _ = url.ParseQuery(strings.TrimPrefix(q.Query, "?"))
	for name, values := range stated {
		all[name] = append(all[name], values...)
	}
	return stated, all
}

// InHostNetworkWithParams is the rejection of a Pod in the network of its node that has parameters.
var InHostNetworkWithParams = &Rejection{"a Pod in the host's network cannot have parameters or a query in its path; annotate a " +
	"Service in front of it instead"}

// InHostNetwork is the rejection of a Pod in the network of its node, where that is not allowed. Its address is the node's, so
// its annotations could lead Prometheus to any port of the node.
var InHostNetwork = &Rejection{"a Pod in the host's network could lead Prometheus to any port of its node; take it out of that " +
	"network, or have an administrator allow its namespace in spec.scrape.hostNetworkPods"}

// BehindInHostNetwork is why a Service is not scraped, or not whole, where Pods in the network of their node are not allowed.
const BehindInHostNetwork = "Pods behind the Service are in the host's network and are left out: they could lead Prometheus to any port " +
	"of their nodes; take them out of that network, or have an administrator allow the namespace in spec.scrape.hostNetworkPods"

// httpsSuffix is what the name of a monitor of OnlyHTTPS ends with. No Service has a dot in its name.
const httpsSuffix = ".https"

// HTTPSName returns the name of the monitor beside another that has the apps with the scheme https.
func HTTPSName(name string) string { return name + httpsSuffix }

// PodMonitor returns the one monitor for the annotated Pods of a namespace. It does not depend on which Pods there are, but for what
// they request together.
func PodMonitor(namespace, name string, config Config) *monitoringv1.PodMonitor {
	var endpoints []monitoringv1.PodMetricsEndpoint
	job := ""
	if config.Schemes == OnlyHTTPS {
		job = namespace + "/" + strings.TrimSuffix(name, httpsSuffix) // As that of the others.
	}
	for _, slow := range []bool{false, true} {
		if slow && !config.PodsSeen.Slow {
			break
		}
		for place := range max(1, config.PodsSeen.Ports) {
			endpoints = append(endpoints, podEndpoint(config, job, PodQuery{Slow: slow}, place))
		}
	}
	for _, query := range config.Queries {
		endpoints = append(endpoints, podEndpoint(config, job, query, 0))
	}
	return &monitoringv1.PodMonitor{
		TypeMeta:   metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.PodMonitorsKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: config.Labels},
		Spec: monitoringv1.PodMonitorSpec{
			PodMetricsEndpoints:   endpoints,
			BodySizeLimit:         config.bodySizeLimit(),
			TargetLimit:           limit(config.TargetLimit),
			KeepDroppedTargets:    limit(config.KeepDroppedTargets),
			SampleLimit:           limit(config.SampleLimit),
			PodTargetLabels:       config.podTargetLabels(),
			LabelLimit:            ptr.To[int64](labelLimit),
			LabelNameLengthLimit:  ptr.To[int64](labelNameLengthLimit),
			LabelValueLengthLimit: ptr.To[int64](labelValueLengthLimit),
		},
	}
}

// podEndpoint returns the endpoint for one place in lists of ports.
//
// A port number is scraped whether or not a container declares it, so each container gives a target, and these are made
// equal: the label container is then set only where the Pod names its default container.
func podEndpoint(config Config, job string, query PodQuery, place int) monitoringv1.PodMetricsEndpoint {
	a := annotations{"pod", config.Prefix}
	plain := query == PodQuery{Slow: query.Slow}
	lists := plain && config.PodsSeen.Ports > 1
	stated, params := query.params()
	var r relabelings
	r.checks(a, admitted{query: regexp.QuoteMeta(query.Query), list: lists, slow: query.Slow}, config.PodsSeen, config.Schemes)
	if config.PodsSeen.Params {
		r.parameters(a, stated)
	}
	if !config.HostNetwork {
		r.dropEqual(metaPodIP, metaPodHostIP)
	}
	if job != "" {
		r.set(labelJob, job, ".*", labelAddress)
	}
	// Without the label the job is the namespace and the monitor's name.
	r.jobs(metaPodName)
	if len(config.NativeSidecars) == 0 {
		r.drop("true", metaContainerInit)
	} else {
		r.sidecars(config)
		r.drop("true", tmpInit)
	}
	if lists {
		r.place(a, place, config.PodsSeen.Ports)
	} else {
		r.set(tmpWant, wantRewrite+"$1", "("+patternPortNumber+")", a.label(annotationPort))
		r.set(tmpWant, wantContainerPort+"$1", "("+patternPortName+")", a.label(annotationPort))
	}
	// Without an annotation each declared TCP port is meant; a container without a port gives no target.
	r.drop(";(?:;.*|.*;(?:UDP|SCTP))", tmpWant, metaContainerPort, metaContainerProtocol)
	r.set(tmpHave, wantContainerPort+"$1", wantContainerPort+".+;TCP;(.+)", tmpWant, metaContainerProtocol, metaContainerPortName)
	r.set(tmpHave, "$1", "("+wantRewrite+"[0-9]+)", tmpWant)
	r.keepEqual(tmpWant, tmpHave)
	r.rewrites()
	r.honors(a)
	r.forgets()

	endpoint := monitoringv1.PodMetricsEndpoint{HonorLabels: config.HonorLabels, RelabelConfigs: r}
	endpoint.Interval, endpoint.ScrapeTimeout = config.pace(query.Slow)
	endpoint.FollowRedirects = ptr.To(false)
	endpoint.TLSConfig, endpoint.Authorization = config.tls(), config.authorization()
	if len(params) > 0 {
		endpoint.Params = params
	}
	return endpoint
}

// sidecars sets a label that is true for the port of an init container that ends before the others start.
func (r *relabelings) sidecars(config Config) {
	r.set(tmpInit, "$1", "(.+)", metaContainerInit)
	if len(config.NativeSidecars) > 0 {
		r.set(tmpInit, "false", "true;(?:"+alternatives(config.NativeSidecars)+")", metaContainerInit, metaContainerName)
	}
}

// place reads one place in the list of a Pod's ports; the first is also that of the only one, and of none. What another place has is
// left out: an earlier one that is the same, and a number that is that of the container's port with this name.
func (r *relabelings) place(a annotations, place, count int) {
	r.lists(count, "", a.label(annotationPort))
	r.set(tmpWant, "$1", "(.+)", listedPort(place))
	if place > 0 {
		r.keep(".+", tmpWant)
	}
	r.set(tmpNumber, "-", ".*", labelAddress)
	r.set(tmpNumber, wantRewrite+"$1", wantContainerPort+".+;([0-9]+)", tmpWant, metaContainerPort)
	for other := range count {
		if other == place {
			continue
		}
		r.dropEqual(tmpNumber, listedPort(other))
		if other < place {
			r.dropEqual(tmpWant, listedPort(other))
		}
	}
}
