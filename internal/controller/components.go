// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	optional "github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/rules"
)

// components finds out what the cluster offers, and from that what should exist.
func (r *Reconciler) components(ctx context.Context, s *scope) error {
	if err := r.readAPIServices(ctx, s); err != nil {
		return err
	}
	served := r.optional.Ensure(ctx)
	s.served = served
	if served.Pending {
		s.lookAgain(r.Timing.Pending)
	}

	spec := component.InForce(s.pipeline.Spec)
	stated := len(spec.CustomMetrics.Rules) + len(spec.ExternalMetrics.Rules)
	s.observed.prometheus.required = stated > 0
	if err := r.findPrometheus(ctx, s, served.Has(optional.PrometheusCRD)); err != nil {
		return err
	}
	checked, err := r.checkRules(spec, served.CRDs)
	if err != nil {
		return err
	}
	s.observed.rules = rulesObservation{stated: stated, rejected: checked.Rejected, inUse: checked.InUse}

	ports, err := r.apiServerPorts(ctx)
	if err != nil {
		return err
	}
	s.plan = component.For(spec, component.Capabilities{
		Namespace:       r.Namespace,
		Images:          r.Images,
		ServiceMonitors: served.Has(apply.ServiceMonitorCRD),
		MonitorLabels:   s.prometheus.MonitorLabels,
		APIServerPorts:  ports,
		Foreign:         foreignGroups(s.apiServices),
		Prometheus:      s.source(),
		Rules:           checked.Accepted,
	})
	s.observed.planned = true
	r.hold(s, checked.Accepted)
	return nil
}

// source is what the adapter is to ask.
func (s *scope) source() component.Source {
	spec := s.pipeline.Spec.Prometheus
	source := component.Source{URL: s.prometheus.URL, ScrapeInterval: s.prometheus.ScrapeInterval}
	if spec.Auth != nil || spec.TLS != nil {
		source.CredentialsDigest = s.credentials.Digest()
	}
	return source
}

// holdSource keeps an adapter that asks another Prometheus, or the same with other credentials, until the new one answers: a
// mistake in the address or a token that is not valid yet must not take a working metrics API away.
func (r *Reconciler) holdSource(ctx context.Context, s *scope) error {
	o := &s.observed.prometheus
	if !o.required || s.prometheus.URL == "" || o.authMissing != "" || o.answer.Yes() {
		return nil
	}
	adapter := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: r.Namespace, Name: component.PrometheusAdapter}
	if err := r.client.Get(ctx, key, adapter); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("read Deployment %s: %w", key, err))
	}
	if !s.source().Asks(adapter.Spec.Template) {
		s.held[component.PrometheusAdapter], o.kept = true, true
	}
	return nil
}

// hold keeps the adapter that runs when the spec asks for one and it is not known how it should look: a mistake in the
// spec or a Prometheus object that is gone must not take a working metrics API away.
func (r *Reconciler) hold(s *scope, accepted component.Rules) {
	unknownSource := s.prometheus.URL == "" || s.observed.prometheus.authMissing != ""
	unusableRules := accepted.Custom+accepted.External == 0
	if s.observed.prometheus.required && (unknownSource || unusableRules) {
		s.held[component.PrometheusAdapter] = true
	}
}

// readAPIServices reads the cluster's metrics APIs.
func (r *Reconciler) readAPIServices(ctx context.Context, s *scope) (err error) {
	s.apiServices, err = r.metricsAPIs(ctx)
	return err
}

// metricsAPIs returns the APIServices of metrics APIs by name, whoever made them.
func (r *Reconciler) metricsAPIs(ctx context.Context) (map[string]*apiregv1.APIService, error) {
	apiServices := map[string]*apiregv1.APIService{}
	for _, api := range component.APIs() {
		found := &apiregv1.APIService{}
		err := r.client.Get(ctx, client.ObjectKey{Name: api.Name()}, found)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read APIService %s: %w", api.Name(), err)
		}
		apiServices[api.Name()] = found
	}
	return apiServices, nil
}

// foreignGroups returns the groups of which somebody else serves a version: one group has one backend.
func foreignGroups(apiServices map[string]*apiregv1.APIService) map[string]bool {
	groups := map[string]bool{}
	for _, apiService := range apiServices {
		if !health.Ours(apiService) {
			groups[apiService.Spec.Group] = true
		}
	}
	return groups
}

// findPrometheus chooses the source of application metrics and reads what it asks for.
func (r *Reconciler) findPrometheus(ctx context.Context, s *scope, served bool) error {
	var objects monitoringv1.PrometheusList
	if served {
		if err := r.prometheuses.List(ctx, &objects); err != nil {
			return fmt.Errorf("list Prometheus objects: %w", err)
		}
	}
	target, err := prometheus.Resolve(s.pipeline.Spec.Prometheus, served, objects.Items)
	if err != nil {
		if !errors.As(err, &s.observed.prometheus.notFound) {
			return err
		}
		return nil
	}
	s.prometheus = target
	s.observed.prometheus.target = target
	return r.readCredentials(ctx, s)
}

// checkedRules is the result of a check, and what it was a check of.
type checkedRules struct {
	digest [sha256.Size]byte
	result rules.Result
}

// checkRules checks the rules when they, or the kinds that the cluster serves, have changed: a check may ask the API
// server for its resources.
func (r *Reconciler) checkRules(spec v1alpha1.MetricsPipelineSpec, crds string) (rules.Result, error) {
	content, err := json.Marshal([]any{spec.CustomMetrics.Rules, spec.ExternalMetrics.Rules, crds})
	if err != nil {
		return rules.Result{}, fmt.Errorf("digest of the rules: %w", err)
	}
	digest := sha256.Sum256(content)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked.digest == digest {
		return r.checked.result, nil
	}
	result, err := rules.Check(spec, r.client.RESTMapper())
	if err != nil {
		return rules.Result{}, err
	}
	r.checked = checkedRules{digest: digest, result: result}
	return result, nil
}
