// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const managedPrometheus = "managed-prometheus"

// manage has the operator run a Prometheus in both of its forms, with every object that these can have, until it is wanted no more.
func manage(w *world) (err error) {
	manager, err := w.NewCertManager()
	if err != nil {
		return err
	}
	if err := w.apply("certificates: {provider: CertManager}", "prometheus: {managed: {}}"); err != nil {
		return err
	}
	err = w.until("the certificate is cert-manager's", func() error {
		if err := w.issue(manager, metricsServer, managedPrometheus, selfMonitoring); err != nil {
			return err
		}
		if provider := w.provider(managedPrometheus); provider != v1alpha1.CertificatesCertManager {
			return fmt.Errorf("the certificate is of %q", provider)
		}
		return w.adopted()
	})
	if err != nil {
		return err
	}
	if err := w.apply(builtIn, "prometheus: {managed: {}}"); err != nil {
		return err
	}
	err = w.until("it is an object", func() error {
		return w.has("Prometheus", "NetworkPolicy", "ClusterRole", "ClusterRoleBinding", "ServiceAccount", "Secret")
	})
	if err != nil {
		return err
	}
	if err := w.managesNothing(); err != nil {
		return err
	}
	// Where no Prometheus objects are served it is a Deployment.
	if err := w.RemoveCRD(w.Ctx, harness.PrometheusCRD()); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, w.InstallCRD(w.Ctx, harness.PrometheusCRD()), w.Client.Create(w.Ctx, selecting()))
	}()
	return w.managePods()
}

// managePods has a Deployment in place of the object, with two pods and then with a volume, until it is wanted no more.
func (w *world) managePods() error {
	for _, step := range []struct{ name, spec, kind string }{
		{"a Deployment", "{replicas: 2}", "PodDisruptionBudget"}, {"a volume", "{storage: {size: 1Gi}}", "PersistentVolumeClaim"},
	} {
		if err := w.apply(builtIn, "prometheus: {managed: "+step.spec+"}"); err != nil {
			return err
		}
		err := w.until("it is "+step.name, func() error {
			var errs []error
			for _, name := range []string{managedPrometheus, managedPrometheus + "-last-good"} {
				errs = append(errs, w.Client.Get(w.Ctx, harness.InOperatorNamespace(name), &corev1.ConfigMap{}))
			}
			return errors.Join(append(errs, w.has("Deployment", "Service", step.kind))...)
		})
		if err != nil {
			return err
		}
	}
	return w.managesNothing()
}

// managesNothing has a Prometheus wanted no more.
func (w *world) managesNothing() error {
	if err := w.apply(builtIn); err != nil {
		return err
	}
	return w.until("nothing is left of it", func() error {
		if err := w.releaseClaims(); err != nil {
			return err
		}
		return w.nothingLeft(managedPrometheus)
	})
}

// releaseClaims ends the protection of claims that are being deleted, as kube-controller-manager does where no pod uses them.
func (w *world) releaseClaims() error {
	claims := &corev1.PersistentVolumeClaimList{}
	if err := w.Client.List(w.Ctx, claims, client.InNamespace(harness.OperatorNamespace)); err != nil {
		return err
	}
	for _, claim := range claims.Items {
		if claim.DeletionTimestamp.IsZero() {
			continue
		}
		claim.Finalizers = nil
		if err := client.IgnoreNotFound(w.Client.Update(w.Ctx, &claim)); err != nil {
			return err
		}
	}
	return nil
}

// has returns an error while an object of a kind is missing.
func (w *world) has(kinds ...string) error {
	for _, kind := range kinds {
		found, err := w.managed(func(object *unstructured.Unstructured) bool {
			return object.GetKind() == kind && object.GetLabels()[v1alpha1.ComponentLabel] == managedPrometheus
		})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("there is no %s", kind)
		}
	}
	return nil
}

// earlierDeployment is what the operator has made where no Prometheus objects were served.
func earlierDeployment() *appsv1.Deployment {
	pods := map[string]string{"app.kubernetes.io/name": managedPrometheus, "app.kubernetes.io/instance": "metricspipeline"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: managedPrometheus, Labels: map[string]string{
			v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: managedPrometheus}},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pods}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: pods}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "prometheus", Image: "a"}}}}},
	}
}
