// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	optional "github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/render"
)

// scope is what one reconcile knows; each phase adds its part.
type scope struct {
	// pipeline as the cache holds it. Never changed; the report patches a copy.
	pipeline *v1alpha1.MetricsPipeline
	// namespace of the operator.
	namespace string

	// apiServices are the cluster's metrics APIs by name, ours or not. Set by components.
	apiServices map[string]*apiregv1.APIService
	// served is which kinds of others the cluster serves. Set by components.
	served optional.Served
	// prometheus is where application metrics come from, and credentials what it asks for. Set by components.
	prometheus  prometheus.Target
	credentials prometheus.Credentials
	// plan is what should exist. Set by components.
	plan component.Plan
	// held are the components that are kept as they are, because what would replace them is not known, or not known to work. Set
	// by components, certificates and probe.
	held map[string]bool

	// authority is our own; empty where it is not needed. serves are the certificates that the components are to serve with.
	// Set by certificates.
	authority certs.Pair
	serves    map[string]certificate

	// serving is what is known of the certificates of each component's ready endpoints, and bundles are the certificates
	// by which clients should trust them. Set by probe.
	serving map[string][]probe.Answer
	bundles map[string][]byte

	// rendered are the objects of the plan. Set by render.
	rendered []render.Rendered

	// wanted are the identities of everything that should exist. Set by apply and apiservices.
	wanted map[string]bool

	// requeueAfter is when to look again without an event; 0 is never. Use lookAgain.
	requeueAfter time.Duration

	// observed is what the status is computed from.
	observed observation
}

func newScope(pipeline *v1alpha1.MetricsPipeline, namespace string) *scope {
	return &scope{pipeline: pipeline, namespace: namespace, held: map[string]bool{}, serves: map[string]certificate{},
		serving: map[string][]probe.Answer{}, bundles: map[string][]byte{}, wanted: map[string]bool{}}
}

// lookAgain asks for a reconcile after a while; the shortest while wins.
func (s *scope) lookAgain(after time.Duration) {
	if s.requeueAfter == 0 || after < s.requeueAfter {
		s.requeueAfter = after
	}
}
