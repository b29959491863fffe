// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package role proves that the operator's role is exactly what it uses and grants: for each permission it takes that one
// away, and some scenario that works with the whole role has to fail. A permission that nobody misses has to go. It runs
// once for each change of the role, and proof.txt says what it found; `make verify` sees when the role has changed since.
package role

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/go-logr/logr"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// cluster is the control plane of all scenarios, which run one after another. The CRDs of others are there from the start.
var cluster *harness.Cluster

func TestMain(m *testing.M) {
	harness.Suite{Prepare: prepare, Furnish: furnish}.Main(m)
}

func prepare() error {
	// The harness finds the files of the project from the folder above.
	if err := os.Chdir(".."); err != nil {
		return err
	}
	// An API server that streams its lists asks for no more than watch. Older ones do not, and then a client lists first.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		return err
	}
	return errors.Join(harness.CheckAssets(), harness.FindMonitoringCRDs(), harness.FindCertManagerCRDs())
}

// furnish installs the operator, the CRDs of others, and a Prometheus that selects monitors by a label.
func furnish(ctx context.Context, started *harness.Cluster) error {
	// What is refused here would fill the log, and is part of the findings.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	cluster = started
	if _, err := cluster.Install(ctx); err != nil {
		return err
	}
	files := append(harness.CertManagerCRDs(), harness.PrometheusCRD(), harness.ServiceMonitorCRD(), harness.PodMonitorCRD())
	for _, file := range files {
		if err := cluster.InstallCRD(ctx, file); err != nil {
			return err
		}
	}
	// As the controller that aggregates roles would write it.
	collected := &rbacv1.ClusterRole{}
	if err := cluster.Client.Get(ctx, client.ObjectKey{Name: aggregateRole}, collected); err != nil {
		return err
	}
	collected.Rules = []rbacv1.PolicyRule{{APIGroups: []string{aggregated.group}, Resources: []string{aggregated.resource},
		Verbs: []string{aggregated.verb}}}
	if err := cluster.Client.Update(ctx, collected); err != nil {
		return err
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
	prometheus := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	prometheus.Spec.Replicas = ptr.To[int32](1)
	prometheus.Spec.ServiceMonitorSelector, prometheus.Spec.PodMonitorSelector = selector, selector
	prometheus.Spec.ServiceMonitorNamespaceSelector = &metav1.LabelSelector{}
	prometheus.Spec.PodMonitorNamespaceSelector = &metav1.LabelSelector{}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appsNamespace}},
		prometheus,
	} {
		if err := cluster.Client.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}
