// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package prometheus finds the Prometheus that application metrics come from, and queries it.
package prometheus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Target is a Prometheus: who answers queries, and who scrapes. These are one, unless the spec has both a URL and a ref.
type Target struct {
	// URL is the base of the HTTP API that answers queries; empty where nothing does, as for a PrometheusAgent alone.
	URL string
	// Origin says where the URL comes from, for messages: spec.prometheus.url, or the Prometheus object.
	Origin string
	// Given is true where the URL is that of spec.prometheus.url, written by a person.
	Given bool
	// Revision changes with every change of the Prometheus object, its availability included; empty where no object stands
	// behind the URL: then an outage brings no event.
	Revision string
	// Namespace of the pods behind the URL; empty where no object stands behind it.
	Namespace string

	// Object names who scrapes, for messages, such as Prometheus monitoring/k8s; empty where that is not known. What follows is read
	// from that object.
	Object string
	// ScrapeInterval is how often it scrapes by default; 0 where that cannot be known.
	ScrapeInterval time.Duration
	// Shards is among how many servers its targets are divided; 0 where no object is known.
	Shards int32
	// TargetsURL is the base of the HTTP API that knows its targets, and their state: its own. Empty where no object is known, and where
	// each shard would know only a part.
	TargetsURL string
	// Chosen is the object where the spec names no source: it was the only one when it was chosen. Others is true where there are
	// more: not which, since users of namespaces may make and delete them all the time.
	Chosen *v1alpha1.PrometheusReference
	Others bool
	// Managed is true of the one that the operator runs, and Abandoned where the spec does not want it any more and names no other: it
	// stays until there is another.
	Managed, Abandoned bool
	// ScrapeConfigs is true where who scrapes reads the operator's scrape configurations from ConfigMaps, and no monitors.
	ScrapeConfigs bool
	// Version of Prometheus that the object states, such as v3.5.0; empty where it states none.
	Version string
	// ServiceMonitors, PodMonitors and Rules are what it demands of monitors and of PrometheusRules; nil where no object is known.
	ServiceMonitors, PodMonitors, Rules *Selection
}

// NotFoundError means that no Prometheus could be chosen. Reason is one of the reasons of the condition PrometheusReady.
type NotFoundError struct {
	Reason  string
	Message string
	// Nobody is true where the cluster has no object that could scrape, and had none in use: whatever reads monitors there, if anything,
	// is not of prometheus-operator.
	Nobody bool
	// Starting is true where nobody has to act: the operator is making it.
	Starting bool
}

func (e *NotFoundError) Error() string { return e.Message }

// Chosen returns the object that a status records as chosen; nil for none.
func Chosen(status v1alpha1.MetricsPipelineStatus) *v1alpha1.PrometheusReference {
	if status.Prometheus == nil {
		return nil
	}
	return status.Prometheus.Chosen
}

// Resolve returns who answers queries for a spec, with what is known of who scrapes. The error is a NotFoundError. The target
// beside it has no URL, and says who scrapes, where that is known.
func Resolve(spec v1alpha1.PrometheusSpec, objects Objects, chosen *v1alpha1.PrometheusReference) (Target, error) {
	target, err := Scraper(spec, objects, chosen)
	switch {
	case spec.URL != "":
		return target.behind(spec.URL), nil // Whether somebody scrapes for it is a matter of Scraper.
	case err != nil:
		return Target{}, err
	case target.URL == "":
		return target, &NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: fmt.Sprintf("%s scrapes and answers no queries; "+
			"set spec.prometheus.url to the Prometheus HTTP API of the store that it writes to.", target.Object)}
	}
	return target, nil
}

// behind returns a target of which a URL answers queries.
func (t Target) behind(url string) Target {
	t.URL, t.Origin, t.Given, t.Revision, t.Namespace = url, "spec.prometheus.url", true, "", ""
	return t
}

// Scraper chooses who scrapes for a spec among the objects of a cluster. The error is a NotFoundError.
//
// Where the spec names none, the only object is chosen, and chosen is the one that was before. It stays: whoever may make a
// Prometheus object in some namespace must neither become the source of everybody's metrics nor take it away. That is so also
// while the chosen object does not exist, since it may be about to be made anew. A PrometheusAgent is chosen only where there is no
// Prometheus object, since it answers no queries.
func Scraper(spec v1alpha1.PrometheusSpec, objects Objects, chosen *v1alpha1.PrometheusReference) (Target, error) {
	switch {
	case spec.Managed != nil:
		return objects.managed(spec.Managed)
	case spec.Ref != nil:
		return objects.named(*spec.Ref)
	case spec.URL != "":
		return Target{}, nil
	case chosen != nil:
		return objects.still(*chosen)
	}
	candidates := slices.DeleteFunc(objects.all(v1alpha1.KindPrometheus), candidate.ours)
	if len(candidates) != 1 && objects.Managed.Exists {
		return objects.managed(nil) // Its metrics stay until the spec says which others there are.
	}
	if len(candidates) == 0 {
		candidates = objects.all(v1alpha1.KindPrometheusAgent)
	}
	switch len(candidates) {
	case 0:
		message := "The cluster has no Prometheus object; set spec.prometheus.managed: {} to have the operator run one, create one, or " +
			"set spec.prometheus.url to a Prometheus HTTP API."
		if !objects.Served {
			message = notServed
		}
		return Target{}, &NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: message, Nobody: true}
	case 1:
		return objects.choose(candidates[0], candidates), nil
	}
	return Target{}, &NotFoundError{Reason: v1alpha1.ReasonPrometheusAmbiguous, Message: fmt.Sprintf(
		"The cluster has %d %s objects: %s; name one in spec.prometheus.ref.", len(candidates), candidates[0].kind, list(candidates))}
}

const notServed = "The cluster has no Prometheus objects (the CRD prometheuses.monitoring.coreos.com is not installed); set " +
	"spec.prometheus.managed: {} to have the operator run one, install prometheus-operator, or set spec.prometheus.url to a " +
	"Prometheus HTTP API."

// named returns the object that spec.prometheus.ref names.
func (o Objects) named(ref v1alpha1.PrometheusReference) (Target, error) {
	all := o.all(kindOf(ref))
	if found := find(all, ref); found != nil {
		return found.target(all), nil
	}
	message := fmt.Sprintf("There is no %s object %s/%s, which spec.prometheus.ref names; there is %s.",
		kindOf(ref), ref.Namespace, ref.Name, list(all))
	if kindOf(ref) == v1alpha1.KindPrometheus && !o.Served {
		message = notServed
	}
	return Target{}, &NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: message}
}

// still returns the object that was chosen before.
func (o Objects) still(chosen v1alpha1.PrometheusReference) (Target, error) {
	all := o.all(kindOf(chosen))
	if found := find(all, chosen); found != nil {
		return o.choose(*found, all), nil
	}
	message := fmt.Sprintf("The %s object %s/%s, which was in use, does not exist any more; there is %s. No other takes its place by "+
		"itself: create it again, or name another one in spec.prometheus.ref.", kindOf(chosen), chosen.Namespace, chosen.Name, list(all))
	if kindOf(chosen) == v1alpha1.KindPrometheus && !o.Served {
		message = notServed
	}
	return Target{}, &NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: message}
}

// choose returns an object that the spec does not name.
func (o Objects) choose(one candidate, all []candidate) Target {
	t := one.target(all)
	t.Chosen = one.reference()
	t.Others = len(all) > 1
	return t
}

// kindOf returns the kind of the object that a reference names.
func kindOf(ref v1alpha1.PrometheusReference) v1alpha1.PrometheusKind {
	return cmp.Or(ref.Kind, v1alpha1.KindPrometheus)
}

// IsNobody is true for the error that there is no object which could scrape, and that none was in use.
func IsNobody(err error) bool {
	var notFound *NotFoundError
	return errors.As(err, &notFound) && notFound.Nobody
}
