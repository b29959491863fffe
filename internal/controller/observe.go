// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// The ConfigMap in which the API server publishes how backends authenticate its requests.
const (
	authenticationNamespace = "kube-system"
	authenticationConfigMap = "extension-apiserver-authentication"
	requestHeaderCAKey      = "requestheader-client-ca-file"
)

// observe reads, from the cache, how everything stands. It runs after the phases, also when one of them failed.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	o := &s.observed
	o.generation, o.version = s.pipeline.Generation, r.Version
	_, deployed := s.plan.Backend(component.ResourceMetrics)
	o.insecureKubelets = deployed && s.pipeline.Spec.MetricsServer.Kubelet.TLS.Verification == v1alpha1.TLSInsecure
	o.prometheus.maxAge = s.pipeline.Spec.PrometheusAdapter.MaxAge.Or(0)

	authentication := &corev1.ConfigMap{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: authenticationNamespace, Name: authenticationConfigMap}, authentication)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", authenticationNamespace, authenticationConfigMap, err)
	}
	o.requestHeaderCA = authentication.Data[requestHeaderCAKey] != ""

	if err := r.observeComponents(ctx, s); err != nil {
		return err
	}
	if snapshot := r.scraping.Snapshot(); snapshot != nil {
		o.scrape, o.scraped = snapshot.State, snapshot.Status
	}
	if err := r.readAPIServices(ctx, s); err != nil {
		return err
	}
	for _, api := range component.APIs() {
		observed := apiObservation{api: api, apiService: s.apiServices[api.Name()], omission: s.omission(api)}
		if backend, ok := s.plan.Backend(api); ok {
			observed.backend = backend.Name
		}
		o.apis = append(o.apis, observed)
	}
	return nil
}

// observeComponents reads the components of the plan, and those that are kept as they are.
func (r *Reconciler) observeComponents(ctx context.Context, s *scope) error {
	names := []string{}
	for _, c := range s.plan.Components {
		names = append(names, c.Name)
	}
	for name := range s.held {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		observed, err := r.observeComponent(ctx, name)
		if err != nil {
			return err
		}
		if observed.deployment != nil || !s.held[name] || s.waitsForCertificate(name) {
			s.observed.components = append(s.observed.components, observed)
		}
	}
	return nil
}

func (r *Reconciler) observeComponent(ctx context.Context, name string) (componentObservation, error) {
	observed := componentObservation{name: name}
	deployment := &appsv1.Deployment{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, deployment)
	switch {
	case apierrors.IsNotFound(err):
		return observed, nil
	case err != nil:
		return observed, fmt.Errorf("read Deployment %s/%s: %w", r.Namespace, name, err)
	}
	observed.deployment = deployment

	var pods corev1.PodList
	err = r.client.List(ctx, &pods, client.InNamespace(r.Namespace), client.MatchingLabels{
		v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: name})
	if err != nil {
		return observed, fmt.Errorf("list the pods of %s: %w", name, err)
	}
	observed.pods = pods.Items
	return observed, nil
}
