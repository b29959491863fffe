// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"fmt"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// denial is what an approver says.
const denial = "denied by policy"

// certificates come from cert-manager, which says itself why one does not, and from our own authority again.
func certificates(w *world) error {
	manager, err := w.NewCertManager()
	if err != nil {
		return err
	}
	if err := w.apply("certificates: {provider: CertManager}"); err != nil {
		return err
	}
	request := &certmanagerv1.CertificateRequest{}
	err = w.until("cert-manager has a request", func() error {
		desired := &certmanagerv1.Certificate{}
		key := harness.InOperatorNamespace(metricsServer)
		if err := w.Client.Get(w.Ctx, key, desired); err != nil {
			return err
		}
		return w.deny(request, desired)
	})
	if err != nil {
		return err
	}
	defer func() { _ = w.Client.Delete(w.Ctx, request) }()
	if err := w.until("the status repeats what cert-manager says", func() error { return w.says(denial) }); err != nil {
		return err
	}
	err = w.until("the certificate is cert-manager's", func() error {
		if w.provider() == v1alpha1.CertificatesCertManager {
			return nil
		}
		if err := manager.Issue(w.Ctx, harness.InOperatorNamespace(metricsServer)); err != nil {
			return err
		}
		return fmt.Errorf("the certificate is of %q", w.provider())
	})
	if err != nil {
		return err
	}
	if err := w.apply(builtIn); err != nil {
		return err
	}
	return w.until("nothing is left of cert-manager's", func() error {
		return w.gone(func(object *unstructured.Unstructured) bool {
			return object.GetKind() == certmanagerv1.CertificateKind || object.GetKind() == certmanagerv1.IssuerKind
		})
	})
}

// deny stands for an approver that turns a Certificate's request down.
func (w *world) deny(denied *certmanagerv1.CertificateRequest, of *certmanagerv1.Certificate) error {
	denied.ObjectMeta = metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name + "-1", Labels: of.Labels,
		Annotations:     map[string]string{certmanagerv1.CertificateNameKey: of.Name},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(of, certmanagerv1.SchemeGroupVersion.WithKind("Certificate"))}}
	denied.Spec = certmanagerv1.CertificateRequestSpec{Request: []byte("none"), IssuerRef: of.Spec.IssuerRef}
	if err := w.Client.Create(w.Ctx, denied); err != nil {
		return err
	}
	now := metav1.Now()
	denied.Status.Conditions = []certmanagerv1.CertificateRequestCondition{{Type: certmanagerv1.CertificateRequestConditionReady,
		Status: cmmeta.ConditionFalse, Reason: certmanagerv1.CertificateRequestReasonDenied, Message: denial,
		LastTransitionTime: &now}}
	return w.Client.Status().Update(w.Ctx, denied)
}

func (w *world) says(words string) error {
	pipeline, err := w.pipeline()
	if err != nil {
		return err
	}
	condition := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionCertificatesReady)
	if condition == nil || !strings.Contains(condition.Message, words) {
		return fmt.Errorf("the condition is %+v", condition)
	}
	return nil
}

func (w *world) provider() v1alpha1.CertificateProvider {
	pipeline, err := w.pipeline()
	if err != nil {
		return ""
	}
	for _, certificate := range pipeline.Status.Certificates {
		if certificate.Name == metricsServer+"-tls" {
			return certificate.Provider
		}
	}
	return ""
}
