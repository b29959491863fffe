// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/text"
)

// podJobLabel is the label of a Pod that gives the job; without it the job is the monitor's name.
const podJobLabel = "app.kubernetes.io/name"

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

// PodMonitor returns the one monitor for the annotated Pods of a namespace. It does not depend on which Pods there are.
//
// A port number is scraped whether or not a container declares it, so each container gives a target, and these are made
// equal: the label container is then set only where the Pod names its default container.
func PodMonitor(namespace, name string, config Config) *monitoringv1.PodMonitor {
	a := annotations{"pod", config.Prefix}
	var r relabelings
	r.checks(a, false)
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
	if config.InsecureTLS {
		endpoint.TLSConfig = &monitoringv1.SafeTLSConfig{InsecureSkipVerify: ptr.To(true)}
	}
	monitor := &monitoringv1.PodMonitor{
		TypeMeta:   metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.PodMonitorsKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: config.Labels},
		Spec: monitoringv1.PodMonitorSpec{
			JobLabel:              podJobLabel,
			PodMetricsEndpoints:   []monitoringv1.PodMetricsEndpoint{endpoint},
			SampleLimit:           config.sampleLimit(),
			LabelLimit:            ptr.To[int64](labelLimit),
			LabelNameLengthLimit:  ptr.To[int64](labelNameLengthLimit),
			LabelValueLengthLimit: ptr.To[int64](labelValueLengthLimit),
		},
	}
	return monitor
}
