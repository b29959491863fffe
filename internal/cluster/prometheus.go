// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// PrometheusObjects lists the objects that who scrapes depends on, and no others: one that cannot be read matters only where it counts.
func PrometheusObjects(
	ctx context.Context, reader client.Reader, served Served, spec v1alpha1.PrometheusSpec, chosen *v1alpha1.PrometheusReference,
) (prometheus.Objects, error) {
	objects := prometheus.Objects{Served: served.Has(kinds.PrometheusCRD)}
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
	if served.Has(kinds.PrometheusAgentCRD) && objects.NeedsAgents(spec, chosen) {
		var list monitoringv1alpha1.PrometheusAgentList
		if err := reader.List(ctx, &list); err != nil {
			return objects, fmt.Errorf("list PrometheusAgent objects: %w", err)
		}
		objects.Agents = list.Items
	}
	return objects, nil
}
