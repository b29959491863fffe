// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ownership says whose an object is: how the operator marks what it manages, and how it knows it again.
package ownership

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// MonitorsComponent is the value of the component label on monitors for annotated apps, which belong to no operand.
const MonitorsComponent = "scrape"

// NameLabel has the name of a component on its objects; Services, monitors and policies select by it.
const NameLabel = "app.kubernetes.io/name"

// Labels are on every object that the operator manages: by them it finds the object again, and a person what it is part of.
// component is the name of the component that the object belongs to; empty where it belongs to none.
func Labels(component string) map[string]string {
	labels := map[string]string{
		v1alpha1.ManagedLabel:          v1alpha1.SingletonName,
		"app.kubernetes.io/part-of":    "metricspipeline",
		"app.kubernetes.io/managed-by": v1alpha1.FieldManager,
	}
	if component != "" {
		labels[v1alpha1.ComponentLabel] = component
	}
	return labels
}

// Fixed are the keys of those labels by which the operator finds its objects again. Nothing may give them another value.
func Fixed() []string { return []string{v1alpha1.ManagedLabel, v1alpha1.ComponentLabel} }

// Labeled is true for an object that carries the label of what the operator manages. Watch caches select by it.
func Labeled(object client.Object) bool {
	return object.GetLabels()[v1alpha1.ManagedLabel] == v1alpha1.SingletonName
}

// Ours is true for an object of the pipeline: by its label or, where the label was removed, by the fields that our field
// manager still owns. Of an APIService these must include the caBundle: without the label we would otherwise give up the
// backend of an APIService that leads to it, and with less than the caBundle another owner's registration would count as ours.
func Ours(object client.Object) bool {
	if Labeled(object) {
		return true
	}
	fields := AppliedFields(object)
	if _, ok := object.(*apiregv1.APIService); ok {
		return strings.Contains(fields, `"f:caBundle"`)
	}
	return fields != ""
}

// AppliedFields returns the fields that our server-side apply owns, in the API server's own writing; empty for none.
func AppliedFields(object client.Object) string {
	for _, entry := range object.GetManagedFields() {
		applied := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		if applied && entry.Manager == v1alpha1.FieldManager && entry.FieldsV1 != nil {
			return entry.FieldsV1.GetRawString()
		}
	}
	return ""
}

// Of says who an APIService belongs to: the pipeline, or the field manager that made it and the Service that it leads to.
func Of(apiService *apiregv1.APIService) string {
	if Ours(apiService) {
		return "MetricsPipeline " + v1alpha1.SingletonName
	}
	owner := "unknown"
	for _, entry := range apiService.ManagedFields {
		// kube-apiserver only writes the status.
		if entry.Subresource == "" && entry.Operation != "" {
			owner = entry.Manager
			break
		}
	}
	if service := apiService.Spec.Service; service != nil {
		return fmt.Sprintf("%s (service %s/%s)", owner, service.Namespace, service.Name)
	}
	return owner
}

// Pipeline is the owner reference to a pipeline. It does not block the deletion of its owner: that would need rights on the
// pipeline's finalizers.
func Pipeline(pipeline *v1alpha1.MetricsPipeline) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline", Name: pipeline.Name, UID: pipeline.UID,
		Controller: ptr.To(true),
	}
}

// APIService is the owner reference to an APIService.
func APIService(apiService *apiregv1.APIService) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: apiregv1.SchemeGroupVersion.String(), Kind: "APIService", Name: apiService.Name, UID: apiService.UID}
}

// Identity returns an object's kind, namespace and name, for messages and as a key.
func Identity(object client.Object) string {
	return ID(object.GetObjectKind().GroupVersionKind().Kind, object.GetNamespace(), object.GetName())
}

// ID is Identity by its parts; namespace is empty for objects of the whole cluster.
func ID(kind, namespace, name string) string {
	if namespace != "" {
		return kind + " " + namespace + "/" + name
	}
	return kind + " " + name
}
