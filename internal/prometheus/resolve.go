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
	// Namespace of the pods behind the URL; empty where no object stands behind it.
	Namespace string
	// Chosen is the object where the spec names no source: it was the only one when it was chosen. Others is true where there are
	// more: not which, since users of namespaces may make and delete them all the time.
	Chosen *v1alpha1.PrometheusReference
	Others bool
	// Version of Prometheus that the object states, such as v3.5.0; empty where it states none.
	Version string
	// ServiceMonitors, PodMonitors and Rules are what it demands of monitors and of PrometheusRules; nil where no object stands
	// behind the URL.
	ServiceMonitors, PodMonitors, Rules *Selection
}

// NotFoundError means that no Prometheus could be chosen. Reason is one of the reasons of the condition PrometheusReady.
type NotFoundError struct {
	Reason  string
	Message string
}

func (e *NotFoundError) Error() string { return e.Message }

// Chosen returns the Prometheus object that a status records as chosen; nil for none.
func Chosen(status v1alpha1.MetricsPipelineStatus) *v1alpha1.PrometheusReference {
	if status.Prometheus == nil {
		return nil
	}
	return status.Prometheus.Chosen
}

// Resolve chooses the Prometheus for a spec among the Prometheus objects of a cluster. served is false where the cluster
// does not know that kind of object. The error is a NotFoundError.
//
// Where the spec names none, the only object is chosen, and chosen is the one that was before. It stays: whoever may make a
// Prometheus object in some namespace must neither become the source of everybody's metrics nor take it away. That is so also
// while the chosen object does not exist, since it may be about to be made anew.
func Resolve(
	spec v1alpha1.PrometheusSpec, served bool, objects []monitoringv1.Prometheus, chosen *v1alpha1.PrometheusReference,
) (Target, error) {
	if spec.URL != "" {
		return Target{URL: spec.URL, Origin: "spec.prometheus.url", Given: true}, nil
	}
	if !served {
		return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound,
			"The cluster has no Prometheus objects (the CRD prometheuses.monitoring.coreos.com is not installed); install " +
				"prometheus-operator, or set spec.prometheus.url to a Prometheus HTTP API."}
	}
	if spec.Ref != nil {
		index := find(objects, *spec.Ref)
		if index < 0 {
			return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound, fmt.Sprintf(
				"There is no Prometheus object %s/%s, which spec.prometheus.ref names; there is %s.",
				spec.Ref.Namespace, spec.Ref.Name, list(objects))}
		}
		return target(objects[index], objects), nil
	}
	if chosen == nil {
		switch len(objects) {
		case 0:
			return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound,
				"The cluster has no Prometheus object; create one, or set spec.prometheus.url to a Prometheus HTTP API."}
		case 1:
			chosen = &v1alpha1.PrometheusReference{Namespace: objects[0].Namespace, Name: objects[0].Name}
		default:
			return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusAmbiguous, fmt.Sprintf(
				"The cluster has %d Prometheus objects: %s; name one in spec.prometheus.ref.", len(objects), list(objects))}
		}
	}
	index := find(objects, *chosen)
	if index < 0 {
		return Target{}, &NotFoundError{v1alpha1.ReasonPrometheusNotFound, fmt.Sprintf(
			"The Prometheus object %s/%s, which was in use, does not exist any more; there is %s. No other takes its place by itself: "+
				"create it again, or name another one in spec.prometheus.ref.", chosen.Namespace, chosen.Name, list(objects))}
	}
	t := target(objects[index], objects)
	t.Chosen = chosen.DeepCopy()
	t.Others = len(objects) > 1
	return t, nil
}

// find returns the index of the object that a reference names; -1 where there is none.
func find(objects []monitoringv1.Prometheus, ref v1alpha1.PrometheusReference) int {
	return slices.IndexFunc(objects, func(p monitoringv1.Prometheus) bool { return p.Namespace == ref.Namespace && p.Name == ref.Name })
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
		Namespace:      p.Namespace,
		Revision:       revision(p),
		Version:        p.Spec.Version,
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
	t.Rules = &Selection{
		Objects: "rules", Field: "ruleSelector", Selector: p.Spec.RuleSelector,
		NamespaceField: "ruleNamespaceSelector", Namespaces: p.Spec.RuleNamespaceSelector, HomeNamespace: p.Namespace,
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
