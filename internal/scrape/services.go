// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func serviceMonitor(namespace, name string, config Config, endpoints []monitoringv1.Endpoint) *monitoringv1.ServiceMonitor {
	monitor := &monitoringv1.ServiceMonitor{
		TypeMeta:   metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.ServiceMonitorsKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: config.Labels},
		Spec: monitoringv1.ServiceMonitorSpec{
			Endpoints:             endpoints,
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
	return monitor
}

// serviceEndpoint returns an endpoint for the members only, or where members is nil for every app that is not elsewhere.
func serviceEndpoint(config Config, key group, members, entries []entry, elsewhere []string) monitoringv1.Endpoint {
	a := annotations{"service", config.Prefix}
	var r relabelings
	if members != nil {
		r.keep(alternatives(names(members)), metaServiceName)
	} else if len(elsewhere) > 0 {
		r.drop(alternatives(elsewhere), metaServiceName)
	}
	if config.Pods && !config.Both {
		// A Pod that comes to be annotated is left to its own annotations before the monitor is written anew.
		r.drop(patternYes, annotations{"pod", config.Prefix}.label(annotationScrape))
	}
	admits := admitted{list: key.part > 0, slow: key.slow}
	if key.params != "" {
		admits.query = "(?:" + patternQuery + ")?"
	}
	r.checks(a, admits, config.ServicesSeen, config.Schemes)
	if config.ServicesSeen.Params && members == nil {
		r.parameters(a, nil)
	}
	r.ownAddress(config, key)
	r.jobs(metaServiceName)
	r.join(tmpName, metaPortName)
	r.join(tmpProto, metaPortProtocol)
	if key.part == ofList {
		r.listed(config, entries)
	} else {
		r.servicePort(config, a, entries)
	}
	r.rewrites()
	r.honors(a)
	if config.Pods && config.Both {
		r.yields(config)
	}
	r.forgets()
	endpoint := monitoringv1.Endpoint{HonorLabels: config.HonorLabels, RelabelConfigs: r}
	endpoint.Interval, endpoint.ScrapeTimeout = config.pace(key.slow)
	// A target could send Prometheus anywhere, to its own API for one.
	endpoint.FollowRedirects = ptr.To(false)
	if key.params != "" {
		endpoint.Params = entries[0].choice.params
	}
	if tls := config.tls(); tls != nil {
		endpoint.TLSConfig = &monitoringv1.TLSConfig{SafeTLSConfig: *tls}
	}
	endpoint.Authorization = config.authorization()
	return endpoint
}

// ownAddress splits the address, and keeps only that of the Pod behind the endpoint: hand-made endpoints may have any other.
func (r *relabelings) ownAddress(config Config, key group) {
	r.splits()
	if key.anyAddress {
		return
	}
	r.keep(".+", metaPodIP)
	if config.ServicesSeen.IPv6 {
		// Discovery shows one address of a Pod, its first. An endpoint of the other family is that Pod at this address, so that both
		// families of a Service are one target.
		r.set(tmpHost, "$1", `[^:;]+;(.*:.*)`, tmpHost, metaPodIP)
		r.set(tmpHost, "$1", `[^;]*:[^;]*;([^:]+)`, tmpHost, metaPodIP)
		r.set(labelAddress, "$1:$2", `([^:]+);([0-9]+)`, tmpHost, tmpNumber)
		r.set(labelAddress, "[$1]:$2", `(.*:.*);([0-9]+)`, tmpHost, tmpNumber)
	}
	r.keepEqual(tmpHost, metaPodIP)
	if !config.HostNetwork {
		r.dropEqual(metaPodIP, metaPodHostIP)
	}
}

// servicePort keeps the port that the annotation or an override names, or each of the Service's.
func (r *relabelings) servicePort(config Config, a annotations, entries []entry) {
	r.set(tmpWant, "$1", "(.+)", a.label(annotationPort))
	r.overrides(entries)
	if slices.ContainsFunc(entries, func(e entry) bool { return strings.HasPrefix(e.choice.wanted, wantContainerPort) }) {
		// The port of an init container may have the name of another's.
		r.sidecars(config)
		r.drop(wantContainerPort+".*;true", tmpWant, tmpInit)
	}
	// Targets without a protocol are not ports of the Service, but further ports of the Pods' containers.
	r.drop("[^/]*;(?:|UDP|SCTP)", tmpWant, tmpProto)
	r.set(tmpHave, "$1", "[0-9]+;([0-9]+)", tmpWant, tmpNumber)
	r.set(tmpHave, "$1", patternPortName+";(.+)", tmpWant, tmpName)
	r.set(tmpHave, wantContainerPort+"$1", wantContainerPort+".+;TCP;(.+)", tmpWant, metaContainerProtocol, metaContainerPortName)
	r.set(tmpHave, "$1", "("+wantRewrite+"[0-9]+)", tmpWant)
	r.keepEqual(tmpWant, tmpHave)
}

// listed keeps the ports of lists but for the undeclared ones. In one endpoint a port with two names is one target; one that is
// undeclared by the Service has its own endpoint, also where a container calls it by a name of the list.
func (r *relabelings) listed(config Config, entries []entry) {
	numbers := ofApps(entries, func(l *listed) []string { return l.numbers })
	names := ofApps(entries, func(l *listed) []string { return l.names })
	containers := ofApps(entries, func(l *listed) []string { return l.containers })
	undeclared := ofApps(entries, func(l *listed) []string { return l.undeclared })
	if numbers != "" {
		r.set(tmpHave, "yes", "TCP;(?:"+numbers+")", tmpProto, metaServiceName, tmpNumber)
	}
	if names != "" {
		r.set(tmpHave, "yes", "TCP;(?:"+names+")", tmpProto, metaServiceName, tmpName)
	}
	if containers != "" {
		r.sidecars(config)
		r.set(tmpHave, "yes", "TCP;(?:|false);(?:"+containers+")", metaContainerProtocol, tmpInit, metaServiceName, metaContainerPortName)
	}
	r.keep("yes", tmpHave)
	if undeclared != "" {
		r.drop(undeclared, metaServiceName, tmpNumber)
	}
}

// ofApps matches the names of Services and of their ports; it is empty where there are none.
func ofApps(entries []entry, ports func(*listed) []string) string {
	var either []string
	for _, e := range entries {
		if all := ports(e.choice.listed); len(all) > 0 {
			either = append(either, regexp.QuoteMeta(e.name)+";(?:"+alternatives(all)+")")
		}
	}
	return strings.Join(either, "|")
}

// yields leaves a target to the annotations of its Pod where these request the same port.
func (r *relabelings) yields(config Config) {
	pod := annotations{"pod", config.Prefix}
	r.set(tmpPod, "yes", patternYes, pod.label(annotationScrape))
	if config.PodsSeen.Slow {
		r.set(tmpPod, "yes", patternYes, pod.label(annotationSlow))
	}
	r.sidecars(config)
	// Without a port in it the Pod's annotation means each that its containers declare. Which these are, and what a name stands for,
	// a target that is rewritten does not show.
	r.drop("yes;;[0-9]+;TCP;(?:|false)", tmpPod, pod.label(annotationPort), metaContainerPort, metaContainerProtocol, tmpInit)
	r.drop("yes;"+wantRewrite+".*;(?:|.*[a-z].*)", tmpPod, tmpWant, pod.label(annotationPort))
	r.set(tmpNumber, wantRewrite+"$1", "(.+)", "endpoint")
	r.set(tmpName, wantContainerPort+"$1", "(.*)", metaContainerPortName)
	count := max(1, config.PodsSeen.Ports)
	r.lists(count, "yes;", tmpPod, pod.label(annotationPort))
	for i := range count {
		r.dropEqual(tmpNumber, listedPort(i))
		r.dropEqual(tmpName, listedPort(i))
	}
}

// overrides writes what relabelings cannot see of apps: one relabeling for all the apps with the same choice.
func (r *relabelings) overrides(entries []entry) {
	byWant := map[string][]string{}
	for _, e := range entries {
		if e.choice.wanted != "" {
			byWant[e.choice.wanted] = append(byWant[e.choice.wanted], e.name)
		}
	}
	for _, want := range slices.Sorted(maps.Keys(byWant)) {
		r.set(tmpWant, want, alternatives(byWant[want]), metaServiceName)
	}
}
