// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	// denial is what an approver says.
	denial = "denied by policy"
	// authority is the Certificate of the authority that cert-manager makes for the operator.
	authority = "metricspipeline-ca"
)

// certificates come from cert-manager, which says itself why one does not, and from our own authority again.
func certificates(w *world) error {
	manager, err := w.NewCertManager()
	if err != nil {
		return err
	}
	prometheus := harness.StartPrometheus()
	defer prometheus.Stop()
	source := "prometheus: {url: '" + prometheus.URL + "'}"
	if err := w.apply("certificates: {provider: CertManager}", source, rules); err != nil {
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
	err = w.until("the certificates are cert-manager's", func() error {
		if err := w.issue(manager, metricsServer, adapter, selfMonitoring); err != nil {
			return err
		}
		for _, component := range []string{metricsServer, adapter, selfMonitoring} {
			if provider := w.provider(component); provider != v1alpha1.CertificatesCertManager {
				return fmt.Errorf("the certificate of %s is of %q", component, provider)
			}
		}
		return w.adopted()
	})
	if err != nil {
		return err
	}
	if err := w.apply(builtIn, source, rules); err != nil {
		return err
	}
	return w.until("nothing is left of cert-manager's", func() error {
		return w.gone(func(object *unstructured.Unstructured) bool {
			return object.GetKind() == certmanagerv1.CertificateKind || object.GetKind() == certmanagerv1.IssuerKind || issued(object)
		})
	})
}

// issued is true of the Secrets that cert-manager writes.
func issued(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Secret" && strings.HasSuffix(object.GetName(), "-issued")
}

// issue stands for cert-manager, which has made the authority and signs by another one here.
func (w *world) issue(manager *harness.CertManager, components ...string) error {
	desired := &certmanagerv1.Certificate{}
	if err := w.Client.Get(w.Ctx, harness.InOperatorNamespace(authority), desired); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: desired.Namespace, Name: desired.Spec.SecretName,
		Labels: desired.Spec.SecretTemplate.Labels}, Data: map[string][]byte{corev1.TLSCertKey: manager.CA()}}
	if err := client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, secret)); err != nil {
		return err
	}
	for _, component := range components {
		if w.provider(component) == v1alpha1.CertificatesCertManager {
			continue
		}
		if err := manager.Issue(w.Ctx, harness.InOperatorNamespace(component)); err != nil {
			return err
		}
	}
	return nil
}

// adopted returns an error while a Secret of cert-manager's would outlive the pipeline.
func (w *world) adopted() error {
	secrets, err := w.managed(issued)
	if err == nil && len(secrets) < 4 {
		err = fmt.Errorf("%d Secrets of 4", len(secrets))
	}
	for _, secret := range secrets {
		if len(secret.GetOwnerReferences()) == 0 {
			err = errors.Join(err, fmt.Errorf("%s has no owner", harness.Identity(secret)))
		}
	}
	return err
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

func (w *world) provider(component string) v1alpha1.CertificateProvider {
	pipeline, err := w.pipeline()
	if err != nil {
		return ""
	}
	for _, certificate := range pipeline.Status.Certificates {
		if certificate.Name == component+"-tls" {
			return certificate.Provider
		}
	}
	return ""
}
