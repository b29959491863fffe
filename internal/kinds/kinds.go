// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kinds lists the kinds of objects that the operator manages, and the CRDs of others that it depends on.
package kinds

import (
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind is a kind of object that the operator manages.
type Kind struct {
	schema.GroupVersionKind

	// typed and typedList return empty ones where this kind is cached whole; nil where only its metadata is.
	typed     func() client.Object
	typedList func() client.ObjectList
	// CRD is the name of the CRD that defines the kind, and which may be absent; empty where Kubernetes itself defines it.
	CRD string
	// Guarded kinds demand fields that ours have too, so that the API server itself refuses to merge ours into a foreign
	// object: there is no need to look for one first.
	Guarded bool
	// Replace is how an object is deleted to be made anew, where the API server refuses to change a field; empty for what must
	// not be: a Service would lose its address, and an APIService its API.
	Replace metav1.DeletionPropagation
}

// CRDs of others: those that define managed kinds, and those whose objects the operator reads where they are there.
const (
	PrometheusCRD         = "prometheuses.monitoring.coreos.com"
	PrometheusAgentCRD    = "prometheusagents.monitoring.coreos.com"
	CertificateRequestCRD = "certificaterequests.cert-manager.io"
	ServiceMonitorCRD     = "servicemonitors.monitoring.coreos.com"
	PodMonitorCRD         = "podmonitors.monitoring.coreos.com"
	PrometheusRuleCRD     = "prometheusrules.monitoring.coreos.com"
	CertificateCRD        = "certificates.cert-manager.io"
	IssuerCRD             = "issuers.cert-manager.io"
)

// Managed kinds that others name.
var (
	// APIService and Deployment are cached whole: their status says how they stand.
	APIService = Kind{GroupVersionKind: apiregv1.SchemeGroupVersion.WithKind("APIService"),
		typed:     func() client.Object { return &apiregv1.APIService{} },
		typedList: func() client.ObjectList { return &apiregv1.APIServiceList{} }}
	Deployment = Kind{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment"),
		// Its pods keep serving until the next ones do.
		Replace:   metav1.DeletePropagationOrphan,
		typed:     func() client.Object { return &appsv1.Deployment{} },
		typedList: func() client.ObjectList { return &appsv1.DeploymentList{} }}

	ServiceMonitor = Kind{GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.ServiceMonitorsKind),
		CRD: ServiceMonitorCRD, Guarded: true}
	PodMonitor = Kind{GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PodMonitorsKind), CRD: PodMonitorCRD,
		Guarded: true}
	// PrometheusRule is not guarded: the API server would merge our groups into those of a foreign one.
	PrometheusRule = Kind{GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusRuleKind),
		CRD: PrometheusRuleCRD}
	// Certificate is cached whole: its status says why nothing is issued.
	Certificate = Kind{GroupVersionKind: certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind), CRD: CertificateCRD,
		typed:     func() client.Object { return &certmanagerv1.Certificate{} },
		typedList: func() client.ObjectList { return &certmanagerv1.CertificateList{} }}
	Issuer = Kind{GroupVersionKind: certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.IssuerKind), CRD: IssuerCRD}
)

// Kinds that the operator reads and does not manage.
var (
	// Namespace is cached for its labels and for whether it is being deleted.
	Namespace = Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace")}
	// Node is cached for its name.
	Node = Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node")}
	// CRD is cached for its name.
	CRD = Kind{GroupVersionKind: schema.GroupVersionKind{
		Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}}
	// ResourceQuota is cached for its spec.
	ResourceQuota = Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ResourceQuota"),
		typed:     func() client.Object { return &corev1.ResourceQuota{} },
		typedList: func() client.ObjectList { return &corev1.ResourceQuotaList{} }}
	// Prometheus, made by anyone.
	Prometheus = Kind{GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind), CRD: PrometheusCRD,
		typed:     func() client.Object { return &monitoringv1.Prometheus{} },
		typedList: func() client.ObjectList { return &monitoringv1.PrometheusList{} }}
	// PrometheusAgent, made by anyone: it scrapes, and answers no queries.
	PrometheusAgent = Kind{GroupVersionKind: monitoringv1alpha1.SchemeGroupVersion.WithKind(monitoringv1alpha1.PrometheusAgentsKind),
		CRD:       PrometheusAgentCRD,
		typed:     func() client.Object { return &monitoringv1alpha1.PrometheusAgent{} },
		typedList: func() client.ObjectList { return &monitoringv1alpha1.PrometheusAgentList{} }}
	// CertificateRequest has the labels of the Certificate that it is for.
	CertificateRequest = Kind{GroupVersionKind: certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateRequestKind),
		CRD:       CertificateRequestCRD,
		typed:     func() client.Object { return &certmanagerv1.CertificateRequest{} },
		typedList: func() client.ObjectList { return &certmanagerv1.CertificateRequestList{} }}
)

// Monitors are the kinds of monitors for annotated apps.
var Monitors = []Kind{ServiceMonitor, PodMonitor}

// Managed are the managed kinds in the order in which unwanted objects are deleted: first what makes the API server send
// requests, then what answers them, then what that needs.
var Managed = []Kind{
	APIService,
	ServiceMonitor,
	PrometheusRule,
	{GroupVersionKind: policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")},
	Deployment,
	Prometheus,
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service")},
	{GroupVersionKind: networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")},
	// Not replaced: what is on the volume would be gone.
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")},
	Certificate,
	Issuer,
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		Replace:   metav1.DeletePropagationBackground,
		typed:     func() client.Object { return &corev1.ConfigMap{} },
		typedList: func() client.ObjectList { return &corev1.ConfigMapList{} }},
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Secret"),
		Replace:   metav1.DeletePropagationBackground,
		typed:     func() client.Object { return &corev1.Secret{} },
		typedList: func() client.ObjectList { return &corev1.SecretList{} }},
	{GroupVersionKind: rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding"), Replace: metav1.DeletePropagationBackground},
	{GroupVersionKind: rbacv1.SchemeGroupVersion.WithKind("ClusterRole")},
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ServiceAccount")},
}

// New returns an empty object of the kind in the form of the cache.
func (k Kind) New() client.Object {
	if k.typed != nil {
		return k.typed()
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(k.GroupVersionKind)
	return object
}

// NewList is New for a list.
func (k Kind) NewList() client.ObjectList {
	if k.typedList != nil {
		return k.typedList()
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	return list
}

// Of returns the managed kind of an object; false where the operator does not manage it.
func Of(gvk schema.GroupVersionKind) (Kind, bool) {
	for _, kind := range slices.Concat(Managed, Monitors) {
		if kind.GroupVersionKind == gvk {
			return kind, true
		}
	}
	return Kind{}, false
}
