// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// prometheusPeriod is how often a Prometheus is asked that no object of the cluster stands for: its end brings no event.
const prometheusPeriod = time.Minute

// probe asks what only the network can tell, whether each backend presents the right certificate and whether Prometheus
// answers, and takes what is known so far: a new answer brings us back.
func (r *Reconciler) probe(ctx context.Context, s *scope) error {
	round := r.prober.Round()
	for _, c := range s.plan.Components {
		addresses, err := r.readyEndpoints(ctx, c)
		if err != nil {
			return err
		}
		for _, address := range addresses {
			//nolint:contextcheck // a question outlives the reconcile that asked it, so it must not end with its context
			s.serving[c.Name] = append(s.serving[c.Name], round.Ask(servingQuestion(c, address, s.serves[c.Name].authority)))
		}
	}
	if o := &s.observed.prometheus; o.required && o.notFound == nil && o.authMissing == "" {
		//nolint:contextcheck // as above
		o.answer = round.Ask(prometheusQuestion(s.prometheus, s.credentials))
	}
	round.Forget()

	for _, c := range s.plan.Components {
		var err error
		if s.bundles[c.Name], err = r.bundle(ctx, s, c); err != nil {
			return err
		}
	}
	return r.holdSource(ctx, s)
}

// bundle returns the certificates by which the API server should trust a component: of the certificate that it is to serve
// with and, until every endpoint serves that and no other is stored, of those before.
func (r *Reconciler) bundle(ctx context.Context, s *scope, c component.Component) ([]byte, error) {
	known, now := s.knownBundle(c), r.clock.Now()
	serves, found := s.serves[c.Name]
	if !found {
		return known, nil
	}
	settled, rotating := allYes(s.serving[c.Name]), certs.Predecessors(serves.authority, known, now) > 0
	if settled && rotating {
		var err error
		if settled, err = r.stored(ctx, c, serves); err != nil {
			return nil, err
		}
	}
	if !settled && rotating {
		s.observed.certificates.rotating = append(s.observed.certificates.rotating, c.Name)
	}
	return certs.Bundle(serves.authority, known, settled, now), nil
}

// knownBundle returns the certificates by which the API server trusts a component now.
func (s *scope) knownBundle(c component.Component) []byte {
	for _, api := range c.APIs {
		if registered := s.apiServices[api.Name()]; registered != nil && health.Ours(registered) {
			return registered.Spec.CABundle
		}
	}
	return nil
}

// allYes is true when there is an answer for some endpoint, and yes for every one.
func allYes(answers []probe.Answer) bool {
	return len(answers) > 0 && !slices.ContainsFunc(answers, func(answer probe.Answer) bool { return !answer.Yes() })
}

// servingQuestion asks whether an endpoint of a component presents a certificate that the API server will accept.
func servingQuestion(c component.Component, address string, caBundle []byte) probe.Question {
	names := c.DNSNames()
	serverName := names[len(names)-1]
	sum := sha256.Sum256(caBundle)
	return probe.Question{
		Owner: c.Name,
		Key:   fmt.Sprintf("serving %s %s %s", address, serverName, hex.EncodeToString(sum[:8])),
		Ask:   func(ctx context.Context) error { return health.VerifyTLS(ctx, address, serverName, caBundle) },
	}
}

// prometheusQuestion asks whether Prometheus answers.
func prometheusQuestion(target prometheus.Target, credentials prometheus.Credentials) probe.Question {
	question := probe.Question{
		Key: fmt.Sprintf("prometheus %s %s %s", target.URL, target.Revision, credentials.Digest()),
		Ask: func(ctx context.Context) error { return prometheus.Ask(ctx, target.URL, credentials) },
	}
	if target.Revision == "" {
		question.Period = prometheusPeriod
	}
	return question
}

// readyEndpoints returns the addresses of a component's ready endpoints.
func (r *Reconciler) readyEndpoints(ctx context.Context, c component.Component) ([]string, error) {
	var endpointSlices discoveryv1.EndpointSliceList
	err := r.client.List(ctx, &endpointSlices, client.InNamespace(r.Namespace), client.MatchingLabels{
		v1alpha1.ManagedLabel: v1alpha1.SingletonName, discoveryv1.LabelServiceName: c.Name})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of %s: %w", c.Name, err)
	}
	return health.ReadyEndpoints(endpointSlices.Items, portName), nil
}

// apiServerPorts returns the ports of the API server's own endpoints, which components must be able to reach.
func (r *Reconciler) apiServerPorts(ctx context.Context) ([]int32, error) {
	var endpointSlices discoveryv1.EndpointSliceList
	err := r.client.List(ctx, &endpointSlices, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of the API server: %w", err)
	}
	var ports []int32
	for _, slice := range endpointSlices.Items {
		for _, port := range slice.Ports {
			if port.Port != nil {
				ports = append(ports, *port.Port)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}
