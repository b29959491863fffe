// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package role proves that the operator's role is exactly what it uses and grants: for each permission it takes that one
// away, and some scenario that works with the whole role has to fail, and where it has a name, a name beside that has to be refused. A permission
// without such a scenario has to go. It runs once for each change of the role, and proof.txt says what it found; `make verify` sees when the role has changed since.
package role

import (
	"context"
	"runtime"
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// suite has the control planes that permissions are taken away on at the same time.
var suite = &harness.Suite{ControlPlanes: max(2, runtime.NumCPU()/2), PlainLists: true, Furnish: furnish, CRDs: func() []string {
	return slices.Concat(harness.CertManagerCRDs(), harness.MonitoringCRDs())
}}

func TestMain(m *testing.M) { suite.Main(m) }

// furnish makes a Prometheus that selects monitors by a label, and collects what others let prometheus-adapter list.
func furnish(ctx context.Context, c *harness.Cluster) error {
	// As the controller that aggregates roles would write it.
	collected := &rbacv1.ClusterRole{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: aggregateRole}, collected); err != nil {
		return err
	}
	collected.Rules = []rbacv1.PolicyRule{{APIGroups: []string{aggregated.group}, Resources: []string{aggregated.resource},
		Verbs: []string{aggregated.verb}}}
	if err := c.Client.Update(ctx, collected); err != nil {
		return err
	}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appsNamespace}},
		selecting(),
	} {
		if err := c.Client.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// selecting is a Prometheus that selects monitors by a label.
func selecting() *monitoringv1.Prometheus {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
	prometheus := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	prometheus.Spec.Replicas = ptr.To[int32](1)
	prometheus.Spec.ServiceMonitorSelector, prometheus.Spec.PodMonitorSelector = selector, selector
	prometheus.Spec.ServiceMonitorNamespaceSelector = &metav1.LabelSelector{}
	prometheus.Spec.PodMonitorNamespaceSelector = &metav1.LabelSelector{}
	prometheus.Spec.RuleSelector, prometheus.Spec.RuleNamespaceSelector = selector, &metav1.LabelSelector{}
	return prometheus
}
