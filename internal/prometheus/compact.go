// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// largestSelector is how long a selector of a Prometheus object may be, in bytes, and longestText a name or path in it.
	largestSelector = 4 << 10
	longestText     = 256
)

// Compact is the transform of a cache of Prometheus objects: it keeps what [Resolve] reads. Users who may make such objects choose their
// size. Fields that are too long are those of no Prometheus that works; a selector that is cannot be read.
func Compact(object any) (any, error) {
	full, ok := object.(*monitoringv1.Prometheus)
	if !ok {
		return object, nil
	}
	kept := &monitoringv1.Prometheus{TypeMeta: full.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion, Generation: full.Generation,
		DeletionTimestamp: full.DeletionTimestamp}}
	kept.Spec.ServiceMonitorSelector = bounded(full.Spec.ServiceMonitorSelector)
	kept.Spec.ServiceMonitorNamespaceSelector = bounded(full.Spec.ServiceMonitorNamespaceSelector)
	kept.Spec.PodMonitorSelector = bounded(full.Spec.PodMonitorSelector)
	kept.Spec.PodMonitorNamespaceSelector = bounded(full.Spec.PodMonitorNamespaceSelector)
	kept.Spec.RuleSelector = bounded(full.Spec.RuleSelector)
	kept.Spec.RuleNamespaceSelector = bounded(full.Spec.RuleNamespaceSelector)
	kept.Spec.ScrapeInterval = monitoringv1.Duration(short(string(full.Spec.ScrapeInterval)))
	kept.Spec.Version = short(full.Spec.Version)
	kept.Spec.RoutePrefix = short(full.Spec.RoutePrefix)
	kept.Spec.Shards = full.Spec.Shards
	if full.Spec.ServiceName != nil {
		name := short(*full.Spec.ServiceName)
		kept.Spec.ServiceName = &name
	}
	if full.Spec.Web != nil && full.Spec.Web.TLSConfig != nil {
		kept.Spec.Web = &monitoringv1.PrometheusWebSpec{WebConfigFileFields: monitoringv1.WebConfigFileFields{
			TLSConfig: &monitoringv1.WebTLSConfig{}}}
	}
	kept.Status.AvailableReplicas = full.Status.AvailableReplicas
	return kept, nil
}

func short(text string) string { return text[:min(len(text), longestText)] }

// bounded returns a selector, or one that cannot be read in place of one that is too large.
func bounded(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil || selector.Size() <= largestSelector {
		return selector
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "selector", Operator: "too large"}}}
}
