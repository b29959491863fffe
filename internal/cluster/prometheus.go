// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// PrometheusObjects lists the objects that who scrapes depends on, and no others: one that cannot be read matters only where it counts.
// own reads what the operator has made in its namespace.
func PrometheusObjects(
	ctx context.Context, reader, own client.Reader, namespace string, served Served, spec v1alpha1.PrometheusSpec,
	chosen *v1alpha1.PrometheusReference,
) (prometheus.Objects, error) {
	objects := prometheus.Objects{Served: served.Has(kinds.PrometheusCRD), Managed: prometheus.Managed{Namespace: namespace}}
	if !prometheus.Needed(spec) {
		return objects, nil
	}
	if objects.Served {
		var list monitoringv1.PrometheusList
		if err := reader.List(ctx, &list); err != nil {
			return objects, fmt.Errorf("list Prometheus objects: %w", err)
		}
		objects.Prometheuses = list.Items
	}
	if spec.Ref == nil {
		var err error
		if objects.Managed, err = managed(ctx, own, namespace, objects); err != nil {
			return objects, err
		}
	}
	if served.Has(kinds.PrometheusAgentCRD) && objects.NeedsAgents(spec, chosen) {
		var list monitoringv1alpha1.PrometheusAgentList
		if err := reader.List(ctx, &list); err != nil {
			return objects, fmt.Errorf("list PrometheusAgent objects: %w", err)
		}
		objects.Agents = list.Items
	}
	return objects, nil
}

// managed reads what there is of the Prometheus that the operator runs. One that runs stays in its form: CRDs that come later may have no
// operator that serves them.
func managed(ctx context.Context, own client.Reader, namespace string, objects prometheus.Objects) (prometheus.Managed, error) {
	m := prometheus.Managed{Namespace: namespace, Plain: !objects.Served}
	deployment := &appsv1.Deployment{}
	err := own.Get(ctx, client.ObjectKey{Namespace: namespace, Name: prometheus.ManagedName}, deployment)
	switch {
	case err == nil:
		m.Plain, m.Exists = true, true
		m.Revision = fmt.Sprintf("%s/%d/%d", deployment.UID, deployment.Generation, deployment.Status.ReadyReplicas)
	case !apierrors.IsNotFound(err):
		return m, fmt.Errorf("read Deployment %s/%s: %w", namespace, prometheus.ManagedName, err)
	default:
		m.Exists = slices.ContainsFunc(objects.Prometheuses, func(p monitoringv1.Prometheus) bool {
			return p.Namespace == namespace && p.Name == prometheus.ManagedObject && ownership.Labeled(&p)
		})
	}
	return m, nil
}
