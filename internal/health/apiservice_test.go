// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func TestOwner(t *testing.T) {
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
		"ours, but somebody took the label away": {
			entries: []metav1.ManagedFieldsEntry{helm, fields(v1alpha1.FieldManager, bundle)}, service: service,
			want: "MetricsPipeline default"},
		"handed over: somebody else applied the caBundle": {
			entries: []metav1.ManagedFieldsEntry{fields("argo", bundle), fields(v1alpha1.FieldManager, `{"f:metadata":{}}`)},
			want:    "argo"},
		"of another pipeline": {
			labels:  map[string]string{v1alpha1.ManagedLabel: "other"},
			entries: []metav1.ManagedFieldsEntry{helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"somebody's": {
			entries: []metav1.ManagedFieldsEntry{helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"not the aggregator's, which writes only the status": {
			entries: []metav1.ManagedFieldsEntry{aggregator, helm}, service: service, want: "helm (service kube-system/metrics-server)"},
		"the first of several": {
			entries: []metav1.ManagedFieldsEntry{argo, helm}, service: service, want: "argocd-controller (service kube-system/metrics-server)"},
		"nobody's that is known": {service: service, want: "unknown (service kube-system/metrics-server)"},
		"the API server's own":   {entries: []metav1.ManagedFieldsEntry{aggregator}, want: "unknown"},
		"without a Service":      {entries: []metav1.ManagedFieldsEntry{helm}, want: "helm"},
	} {
		t.Run(name, func(t *testing.T) {
			apiService := &apiregv1.APIService{
				ObjectMeta: metav1.ObjectMeta{Labels: tc.labels, ManagedFields: tc.entries}, Spec: apiregv1.APIServiceSpec{Service: tc.service}}
			if got := Owner(apiService); got != tc.want {
				t.Errorf("owner %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAvailability(t *testing.T) {
	apiService := &apiregv1.APIService{}
	if condition, looked := Availability(apiService); looked {
		t.Errorf("%+v before anybody looked", condition)
	}
	apiService.Status.Conditions = []apiregv1.APIServiceCondition{
		{Type: "Other", Status: apiregv1.ConditionTrue},
		{Type: apiregv1.Available, Status: apiregv1.ConditionFalse, Reason: "MissingEndpoints"}}
	if condition, looked := Availability(apiService); !looked || condition.Reason != "MissingEndpoints" {
		t.Errorf("%+v, %v", condition, looked)
	}
}
