// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// largestSelector is how long a selector of a Prometheus object may be, in bytes, and longestText a name or path in it.
	largestSelector = 4 << 10
	longestText     = 256
)

// Compact is the transform of a cache of Prometheus and PrometheusAgent objects: it keeps what [Resolve] reads. Users who may make such
// objects choose their size. Fields that are too long are those of no Prometheus that works; a selector that is cannot be read.
func Compact(object any) (any, error) {
	switch full := object.(type) {
	case *monitoringv1.Prometheus:
		kept := &monitoringv1.Prometheus{TypeMeta: full.TypeMeta, ObjectMeta: compactMeta(full.ObjectMeta)}
		kept.Spec.CommonPrometheusFields = compactFields(full.Spec.CommonPrometheusFields)
		kept.Spec.RuleSelector = bounded(full.Spec.RuleSelector)
		kept.Spec.RuleNamespaceSelector = bounded(full.Spec.RuleNamespaceSelector)
		kept.Status.AvailableReplicas = full.Status.AvailableReplicas
		return kept, nil
	case *monitoringv1alpha1.PrometheusAgent:
		kept := &monitoringv1alpha1.PrometheusAgent{TypeMeta: full.TypeMeta, ObjectMeta: compactMeta(full.ObjectMeta)}
		kept.Spec.CommonPrometheusFields = compactFields(full.Spec.CommonPrometheusFields)
		if full.Spec.Mode != nil && *full.Spec.Mode == monitoringv1alpha1.DaemonSetPrometheusAgentMode {
			kept.Spec.Mode = ptr.To(monitoringv1alpha1.DaemonSetPrometheusAgentMode)
		}
		kept.Status.AvailableReplicas = full.Status.AvailableReplicas
		return kept, nil
	}
	return object, nil
}

// compactMeta keeps of labels the one by which the operator knows the object that it makes itself.
func compactMeta(full metav1.ObjectMeta) metav1.ObjectMeta {
	kept := metav1.ObjectMeta{Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion,
		Generation: full.Generation, DeletionTimestamp: full.DeletionTimestamp}
	if of := full.Labels[v1alpha1.ManagedLabel]; of != "" {
		kept.Labels = map[string]string{v1alpha1.ManagedLabel: of}
	}
	return kept
}

// compactFields keeps what is read of the fields that both kinds have.
func compactFields(full monitoringv1.CommonPrometheusFields) monitoringv1.CommonPrometheusFields {
	kept := monitoringv1.CommonPrometheusFields{
		ServiceMonitorSelector:          bounded(full.ServiceMonitorSelector),
		ServiceMonitorNamespaceSelector: bounded(full.ServiceMonitorNamespaceSelector),
		PodMonitorSelector:              bounded(full.PodMonitorSelector),
		PodMonitorNamespaceSelector:     bounded(full.PodMonitorNamespaceSelector),
		ScrapeInterval:                  monitoringv1.Duration(short(string(full.ScrapeInterval))),
		Version:                         short(full.Version),
		RoutePrefix:                     short(full.RoutePrefix),
		Shards:                          full.Shards,
	}
	if full.ServiceName != nil {
		name := short(*full.ServiceName)
		kept.ServiceName = &name
	}
	if full.Web != nil && full.Web.TLSConfig != nil {
		kept.Web = &monitoringv1.PrometheusWebSpec{WebConfigFileFields: monitoringv1.WebConfigFileFields{
			TLSConfig: &monitoringv1.WebTLSConfig{}}}
	}
	return kept
}

func short(text string) string { return text[:min(len(text), longestText)] }

// bounded returns a selector, or one that cannot be read in place of one that is too large.
func bounded(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil || selector.Size() <= largestSelector {
		return selector
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "selector", Operator: "too large"}}}
}
