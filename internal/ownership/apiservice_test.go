// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestOfAPIServices names the owner of an APIService.
func TestOfAPIServices(t *testing.T) {
	entry := func(manager, subresource string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Operation: metav1.ManagedFieldsOperationUpdate}
	}
	aggregator, helm, argo := entry("kube-apiserver", "status"), entry("helm", ""), entry("argocd-controller", "")
	fields := func(manager, content string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationApply,
			FieldsV1: metav1.NewFieldsV1(content)}
	}
	const bundle = `{"f:spec":{"f:caBundle":{}}}`
	service := &apiregv1.ServiceReference{Namespace: "kube-system", Name: "metrics-server"}

	for name, tc := range map[string]struct {
		labels  map[string]string
		entries []metav1.ManagedFieldsEntry
		service *apiregv1.ServiceReference
		want    string
	}{
		"ours": {
			labels:  map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName},
			entries: []metav1.ManagedFieldsEntry{helm}, service: service, want: "MetricsPipeline default"},
		"ours, but the label was removed": {
			entries: []metav1.ManagedFieldsEntry{helm, fields(v1alpha1.FieldManager, bundle)}, service: service,
			want: "MetricsPipeline default"},
		"handed over: another manager applied the caBundle": {
			entries: []metav1.ManagedFieldsEntry{fields("argo", bundle), fields(v1alpha1.FieldManager, `{"f:metadata":{}}`)},
			want:    "argo"},
		"of another pipeline": {
			labels:  map[string]string{v1alpha1.ManagedLabel: "other"},
			entries: []metav1.ManagedFieldsEntry{helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"foreign": {
			entries: []metav1.ManagedFieldsEntry{helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"not the aggregator's, which writes only the status": {
			entries: []metav1.ManagedFieldsEntry{aggregator, helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"the first of several": {
			entries: []metav1.ManagedFieldsEntry{argo, helm}, service: service, want: "argocd-controller (service kube-system/metrics-server)"},
		"of an unknown manager": {service: service, want: "unknown (service kube-system/metrics-server)"},
		"the API server's own":  {entries: []metav1.ManagedFieldsEntry{aggregator}, want: "unknown"},
		"without a Service":     {entries: []metav1.ManagedFieldsEntry{helm}, want: "helm"},
	} {
		t.Run(name, func(t *testing.T) {
			apiService := &apiregv1.APIService{
				ObjectMeta: metav1.ObjectMeta{Labels: tc.labels, ManagedFields: tc.entries}, Spec: apiregv1.APIServiceSpec{Service: tc.service}}
			if got := Of(apiService); got != tc.want {
				t.Errorf("owner %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOursOfAPIServices: the label marks what is ours, and where it was removed the fields that our server-side apply owns; of an APIService
// only the caBundle does.
func TestOursOfAPIServices(t *testing.T) {
	applied := func(manager, subresource string, operation metav1.ManagedFieldsOperationType, content string) metav1.ObjectMeta {
		return metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: manager, Subresource: subresource,
			Operation: operation, FieldsV1: metav1.NewFieldsV1(content)}}}
	}
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	const bundle, other = `{"f:spec":{"f:caBundle":{}}}`, `{"f:metadata":{}}`
	labeled := metav1.ObjectMeta{Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}}
	for name, tc := range map[string]struct {
		of                 metav1.ObjectMeta
		apiService, secret bool
	}{
		"labeled":                  {labeled, true, true},
		"unmarked":                 {metav1.ObjectMeta{}, false, false},
		"the caBundle is ours":     {applied(v1alpha1.FieldManager, "", apply, bundle), true, true},
		"other fields are ours":    {applied(v1alpha1.FieldManager, "", apply, other), false, true},
		"of another manager":       {applied("helm", "", apply, bundle), false, false},
		"updated under our name":   {applied(v1alpha1.FieldManager, "", update, bundle), false, false},
		"only a subresource is so": {applied(v1alpha1.FieldManager, "status", apply, bundle), false, false},
	} {
		if got := Ours(&apiregv1.APIService{ObjectMeta: tc.of}); got != tc.apiService {
			t.Errorf("%s: an APIService is ours: %v", name, got)
		}
		if got := Ours(&corev1.Secret{ObjectMeta: tc.of}); got != tc.secret {
			t.Errorf("%s: a Secret is ours: %v", name, got)
		}
	}
}
