// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/text"
)

// ParsePod reads the annotations of a Pod that is annotated for scraping. It rejects a query: its parameters would have to be
// written into a monitor by the Pod's name, which does not live long enough.
func ParsePod(prefix string, annotations map[string]string) (Request, *Rejection) {
	request, rejection := Parse(prefix, annotations)
	if rejection != nil {
		return Request{}, rejection
	}
	if request.Params != nil {
		key := prefix + "/" + annotationPath
		return Request{}, reject("annotation %s is %q: a Pod's path cannot have a query; annotate a Service in front of it instead",
			key, text.Shorten(annotations[key], longestValue))
	}
	return request, nil
}

// InHostNetwork is the rejection of a Pod in the network of its node, where that is not allowed. Its address is the node's, so
// its annotations could lead Prometheus to any port of the node.
var InHostNetwork = &Rejection{"a Pod in the host's network could lead Prometheus to any port of its node; take it out of that " +
	"network, or have an administrator allow its namespace in spec.scrape.hostNetworkPods"}

// BehindInHostNetwork is why a Service is not scraped, or not whole, where Pods in the network of their node are not allowed.
const BehindInHostNetwork = "Pods behind the Service are in the host's network and are left out: they could lead Prometheus to any port " +
	"of their nodes; take them out of that network, or have an administrator allow the namespace in spec.scrape.hostNetworkPods"

// PodMonitor returns the one monitor for the annotated Pods of a namespace. It does not depend on which Pods there are.
//
// A port number is scraped whether or not a container declares it, so each container gives a target, and these are made
// equal: the label container is then set only where the Pod names its default container.
func PodMonitor(namespace, name string, config Config) *monitoringv1.PodMonitor {
	a := annotations{"pod", config.Prefix}
	var r relabelings
	r.checks(a, false)
	if !config.HostNetwork {
		r.dropEqual(metaPodIP, metaPodHostIP)
	}
	// Without the label the job is the namespace and the monitor's name.
	r.jobs(metaPodName)
	r.drop("true", metaContainerInit)
	r.set(tmpWant, wantRewrite+"$1", "("+patternPortNumber+")", a.label(annotationPort))
	r.set(tmpWant, wantContainerPort+"$1", "("+patternPortName+")", a.label(annotationPort))
	// Without an annotation each declared TCP port is meant; a container without a port gives no target.
	r.drop(";(?:;.*|.*;(?:UDP|SCTP))", tmpWant, metaContainerPort, metaContainerProtocol)
	r.set(tmpHave, wantContainerPort+"$1", wantContainerPort+".+;TCP;(.+)", tmpWant, metaContainerProtocol, metaContainerPortName)
	r.set(tmpHave, "$1", "("+wantRewrite+"[0-9]+)", tmpWant)
	r.keepEqual(tmpWant, tmpHave)
	r.end(a)

	endpoint := monitoringv1.PodMetricsEndpoint{
		Interval:       monitoringv1.Duration(config.Interval),
		ScrapeTimeout:  monitoringv1.Duration(config.ScrapeTimeout),
		RelabelConfigs: r,
	}
	endpoint.FollowRedirects = ptr.To(false)
	if config.InsecureTLS {
		endpoint.TLSConfig = &monitoringv1.SafeTLSConfig{InsecureSkipVerify: ptr.To(true)}
	}
	monitor := &monitoringv1.PodMonitor{
		TypeMeta:   metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.PodMonitorsKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: config.Labels},
		Spec: monitoringv1.PodMonitorSpec{
			PodMetricsEndpoints:   []monitoringv1.PodMetricsEndpoint{endpoint},
			BodySizeLimit:         config.bodySizeLimit(),
			TargetLimit:           limit(config.TargetLimit),
			KeepDroppedTargets:    limit(config.KeepDroppedTargets),
			SampleLimit:           limit(config.SampleLimit),
			LabelLimit:            ptr.To[int64](labelLimit),
			LabelNameLengthLimit:  ptr.To[int64](labelNameLengthLimit),
			LabelValueLengthLimit: ptr.To[int64](labelValueLengthLimit),
		},
	}
	return monitor
}
