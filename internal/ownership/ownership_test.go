// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const caBundle = `{"f:spec":{"f:caBundle":{}}}`

// entry of a field manager.
func entry(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Subresource: subresource,
		FieldsV1: metav1.NewFieldsV1(fields)}
}

// TestOurs: the label says whose an object is, and without it the fields that were applied.
func TestOurs(t *testing.T) {
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	label := map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
	for name, tc := range map[string]struct {
		object client.Object
		labels map[string]string
		fields []metav1.ManagedFieldsEntry
		want   bool
	}{
		"labeled":                    {&corev1.Service{}, label, nil, true},
		"of another pipeline":        {&corev1.Service{}, map[string]string{v1alpha1.ManagedLabel: "other"}, nil, false},
		"bare":                       {&corev1.Service{}, nil, nil, false},
		"applied by us":              {&corev1.Service{}, nil, []metav1.ManagedFieldsEntry{entry(v1alpha1.FieldManager, apply, "", "{}")}, true},
		"applied by another":         {&corev1.Service{}, nil, []metav1.ManagedFieldsEntry{entry("helm", apply, "", "{}")}, false},
		"updated by us":              {&corev1.Service{}, nil, []metav1.ManagedFieldsEntry{entry(v1alpha1.FieldManager, update, "", "{}")}, false},
		"only a subresource applied": {&corev1.Service{}, nil, []metav1.ManagedFieldsEntry{entry(v1alpha1.FieldManager, apply, "status", "{}")}, false},
		"an APIService with our caBundle": {&apiregv1.APIService{}, nil,
			[]metav1.ManagedFieldsEntry{entry("helm", update, "", "{}"), entry(v1alpha1.FieldManager, apply, "", caBundle)}, true},
		"an APIService with our labels alone": {&apiregv1.APIService{}, nil,
			[]metav1.ManagedFieldsEntry{entry(v1alpha1.FieldManager, apply, "", `{"f:metadata":{}}`)}, false},
		"an APIService with another's caBundle": {&apiregv1.APIService{}, nil,
			[]metav1.ManagedFieldsEntry{entry("helm", apply, "", caBundle)}, false},
		"a labeled APIService": {&apiregv1.APIService{}, label, nil, true},
	} {
		tc.object.SetLabels(tc.labels)
		tc.object.SetManagedFields(tc.fields)
		if got := Ours(tc.object); got != tc.want {
			t.Errorf("%s: ours %t, want %t", name, got, tc.want)
		}
	}
}

// TestOf names the owner as a person would look for it.
func TestOf(t *testing.T) {
	service := &apiregv1.ServiceReference{Namespace: "kube-system", Name: "metrics"}
	const update = metav1.ManagedFieldsOperationUpdate
	for name, tc := range map[string]struct {
		labels  map[string]string
		service *apiregv1.ServiceReference
		fields  []metav1.ManagedFieldsEntry
		want    string
	}{
		"ours":               {Labels("lamp"), service, nil, "MetricsPipeline default"},
		"by its manager":     {nil, service, []metav1.ManagedFieldsEntry{entry("helm", update, "", "{}")}, "helm (service kube-system/metrics)"},
		"without a Service":  {nil, nil, []metav1.ManagedFieldsEntry{entry("helm", update, "", "{}")}, "helm"},
		"without any fields": {nil, service, nil, "unknown (service kube-system/metrics)"},
		"after a status": {nil, nil, []metav1.ManagedFieldsEntry{
			entry("kube-apiserver", update, "status", "{}"), entry("k3s", update, "", "{}")}, "k3s"},
	} {
		apiService := &apiregv1.APIService{Spec: apiregv1.APIServiceSpec{Service: tc.service}}
		apiService.Labels, apiService.ManagedFields = tc.labels, tc.fields
		if got := Of(apiService); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestLabels: by these the operator finds its objects again, also those of no component.
func TestLabels(t *testing.T) {
	want := map[string]string{"metricspipeline.io/pipeline": "default", "app.kubernetes.io/part-of": "metricspipeline",
		"app.kubernetes.io/managed-by": v1alpha1.FieldManager}
	if diff := cmp.Diff(want, Labels("")); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want[v1alpha1.ComponentLabel] = "lamp"
	if diff := cmp.Diff(want, Labels("lamp")); diff != "" {
		t.Errorf("labels of a component (-want +got):\n%s", diff)
	}
	for _, key := range Fixed() {
		if want[key] == "" {
			t.Errorf("the fixed label %s is not set", key)
		}
	}
}

// TestOwnerReferences do not block the deletion of their owner. A pipeline is the controller of what it owns; an APIService only
// orders the deletion.
func TestOwnerReferences(t *testing.T) {
	pipeline := &v1alpha1.MetricsPipeline{}
	pipeline.Name, pipeline.UID = "default", "1"
	want := metav1.OwnerReference{APIVersion: "metricspipeline.io/v1alpha1", Kind: "MetricsPipeline", Name: "default", UID: "1",
		Controller: ptr.To(true)}
	if diff := cmp.Diff(want, Pipeline(pipeline)); diff != "" {
		t.Errorf("to the pipeline (-want +got):\n%s", diff)
	}
	apiService := &apiregv1.APIService{}
	apiService.Name, apiService.UID = "v1beta1.metrics.k8s.io", "2"
	want = metav1.OwnerReference{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService", Name: "v1beta1.metrics.k8s.io", UID: "2"}
	if diff := cmp.Diff(want, APIService(apiService)); diff != "" {
		t.Errorf("to the APIService (-want +got):\n%s", diff)
	}
}

func TestIdentity(t *testing.T) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
	object.Name = "lamp"
	if got := Identity(object); got != "Service lamp" {
		t.Errorf("of the whole cluster: %q", got)
	}
	object.Namespace = "metrics"
	if got := Identity(object); got != "Service metrics/lamp" {
		t.Errorf("in a namespace: %q", got)
	}
}
