// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package prometheus finds the Prometheus that application metrics come from, and queries it.
package prometheus

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// defaultScrapeInterval is prometheus-operator's when a Prometheus object names none.
const defaultScrapeInterval = 30 * time.Second

// Target is a Prometheus.
type Target struct {
	// URL is the base of its HTTP API.
	URL string
	// Origin says where the URL comes from, for messages: spec.prometheus.url, or the Prometheus object.
	Origin string
	// Given is true where the URL is that of spec.prometheus.url, written by a person.
	Given bool
	// Revision changes with every change of the Prometheus object, its availability included; empty where no object stands
	// behind the URL: then an outage brings no event.
	Revision string
	// ScrapeInterval is how often it scrapes by default; 0 where that cannot be known.
	ScrapeInterval time.Duration
	// Shards is among how many Prometheus servers its targets are divided; 0 where no object stands behind the URL.
	Shards int32
	// ServiceMonitors and PodMonitors are what it demands of monitors; nil where no object stands behind the URL.
	ServiceMonitors, PodMonitors *Selection
}

// NotFoundError means that no Prometheus could be chosen. Reason is one of the reasons of the condition PrometheusReady.
type NotFoundError struct {
	Reason  string
	Message string
}

func (e *NotFoundError) Error() string { return e.Message }

// Resolve chooses the Prometheus for a spec among the Prometheus objects of a cluster. served is false where the cluster
// does not know that kind of object. The error is a NotFoundError.
func Resolve(spec v1alpha1.PrometheusSpec, served bool, objects []monitoringv1.Prometheus) (Target, error) {
	if spec.URL != "" {
		return Target{URL: spec.URL, Origin: "spec.prometheus.url", Given: true}, nil
	}
	if !served {
		return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound,
			"The cluster has no Prometheus objects (the CRD prometheuses.monitoring.coreos.com is not installed); install " +
				"prometheus-operator, or set spec.prometheus.url to a Prometheus HTTP API."}
	}
	if spec.Ref != nil {
		index := slices.IndexFunc(objects, func(p monitoringv1.Prometheus) bool {
			return p.Namespace == spec.Ref.Namespace && p.Name == spec.Ref.Name
		})
		if index < 0 {
			return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound, fmt.Sprintf(
				"There is no Prometheus object %s/%s, which spec.prometheus.ref names; there is %s.",
				spec.Ref.Namespace, spec.Ref.Name, list(objects))}
		}
		return target(objects[index], objects), nil
	}
	switch len(objects) {
	case 0:
		return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound,
			"The cluster has no Prometheus object; create one, or set spec.prometheus.url to a Prometheus HTTP API."}
	case 1:
		return target(objects[0], objects), nil
	default:
		return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusAmbiguous, fmt.Sprintf(
			"The cluster has %d Prometheus objects: %s; name one in spec.prometheus.ref.", len(objects), list(objects))}
	}
}

// target describes a Prometheus object. The governing Service leads to every Prometheus of the namespace that uses it, so where
// several do, the first pod is addressed by name.
func target(p monitoringv1.Prometheus, all []monitoringv1.Prometheus) Target {
	host := service(p) + "." + p.Namespace + ".svc"
	shared := 0
	for _, other := range all {
		if other.Namespace == p.Namespace && service(other) == service(p) {
			shared++
		}
	}
	if shared > 1 {
		host = "prometheus-" + p.Name + "-0." + host
	}
	scheme := "http"
	if p.Spec.Web != nil && p.Spec.Web.TLSConfig != nil {
		scheme = "https"
	}
	base := url.URL{Scheme: scheme, Host: host + ":9090"}
	if prefix := strings.TrimSuffix(p.Spec.RoutePrefix, "/"); prefix != "" {
		base.Path = prefix
	}
	t := Target{
		URL:            base.String(),
		Origin:         fmt.Sprintf("Prometheus %s/%s", p.Namespace, p.Name),
		Revision:       revision(p),
		ScrapeInterval: defaultScrapeInterval,
		Shards:         max(ptr.Deref(p.Spec.Shards, 1), 1), // prometheus-operator takes less than 1 for 1.
	}
	if interval, err := model.ParseDuration(string(p.Spec.ScrapeInterval)); err == nil && interval > 0 {
		t.ScrapeInterval = time.Duration(interval)
	}
	t.ServiceMonitors = &Selection{
		Field: "serviceMonitorSelector", Selector: p.Spec.ServiceMonitorSelector,
		NamespaceField: "serviceMonitorNamespaceSelector", Namespaces: p.Spec.ServiceMonitorNamespaceSelector, HomeNamespace: p.Namespace,
	}
	t.PodMonitors = &Selection{
		Field: "podMonitorSelector", Selector: p.Spec.PodMonitorSelector,
		NamespaceField: "podMonitorNamespaceSelector", Namespaces: p.Spec.PodMonitorNamespaceSelector, HomeNamespace: p.Namespace,
	}
	return t
}

// revision changes with the spec of the object and the number of its available pods, and with nothing else in its status.
func revision(p monitoringv1.Prometheus) string {
	return fmt.Sprintf("%s/%d/%d", p.UID, p.Generation, p.Status.AvailableReplicas)
}

// service returns the name of the Service in front of a Prometheus object's pods.
func service(p monitoringv1.Prometheus) string {
	if p.Spec.ServiceName != nil && *p.Spec.ServiceName != "" {
		return *p.Spec.ServiceName
	}
	return "prometheus-operated"
}

// list names up to five Prometheus objects.
func list(objects []monitoringv1.Prometheus) string {
	if len(objects) == 0 {
		return "none"
	}
	var names []string
	for _, p := range objects {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("and %d more", len(names)-5))
	}
	return strings.Join(names, ", ")
}
