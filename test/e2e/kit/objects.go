// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// servedWithin is how long the API server has to serve a kind whose CRD was created.
const servedWithin = 30 * time.Second

// Apply stores these objects in the cluster, by server-side apply.
func (c *Cluster) Apply(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		applied, err := c.unstructured(object)
		if err != nil {
			return err
		}
		if err := c.apply(ctx, applied); err != nil {
			return fmt.Errorf("apply %s %s: %w", applied.GetKind(), client.ObjectKeyFromObject(object), err)
		}
	}
	return nil
}

// apply waits for a kind whose CRD has just been created, which the API server serves a moment later.
func (c *Cluster) apply(ctx context.Context, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	var err error
	_ = Poll(ctx, func(ctx context.Context) (bool, error) {
		err = c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner(FieldOwner))
		noPath := apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
		return !noPath && !apimeta.IsNoMatchError(err), nil
	})
	return err
}

// Manifest is a file with these objects, in this order, as a person would write it.
func (c *Cluster) Manifest(objects ...client.Object) ([]byte, error) {
	var file []byte
	for _, object := range objects {
		converted, err := c.unstructured(object)
		if err != nil {
			return nil, err
		}
		content, err := yaml.Marshal(converted.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", converted.GetKind(), client.ObjectKeyFromObject(object), err)
		}
		file = append(append(file, "---\n"...), content...)
	}
	return file, nil
}

// unstructured converts an object to what a person would apply: without status and empty server-side fields.
func (c *Cluster) unstructured(object client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(object, c.Client.Scheme())
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object.DeepCopyObject())
	if err != nil {
		return nil, fmt.Errorf("convert %s %s: %w", gvk.Kind, client.ObjectKeyFromObject(object), err)
	}
	converted := &unstructured.Unstructured{Object: content}
	converted.SetGroupVersionKind(gvk)
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	return converted, nil
}

// Delete removes the objects and waits until they are deleted, with what they own. What is not there is no error.
func (c *Cluster) Delete(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		err := c.Client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationForeground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %T %s: %w", object, client.ObjectKeyFromObject(object), err)
		}
	}
	for _, object := range objects {
		err := Poll(ctx, func(ctx context.Context) (bool, error) {
			err := c.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			return fmt.Errorf("wait for the end of %T %s: %w", object, client.ObjectKeyFromObject(object), err)
		}
	}
	return nil
}

// Poll calls done four times a second until it returns true, fails, or ctx ends. For what is measured or must not be missed
// there is [Await].
func Poll(ctx context.Context, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextCancel(ctx, 250*time.Millisecond, true, done)
}

// Await watches the object of that key, whose kind list is a list of, until done is true of it or ctx ends. It sees
// every change as it happens, and starts with the object as it is.
func Await[T client.Object](ctx context.Context, c *Cluster, list client.ObjectList, key client.ObjectKey, done func(T) bool) error {
	seen := "it was never there"
	for ctx.Err() == nil {
		events, err := c.Watch(ctx, list, key)
		if err != nil {
			return err
		}
		// The API server ends a watch after some minutes; a new one starts with the object as it is then.
		found, last := consume(events, done)
		if found {
			return nil
		}
		if last != "" {
			seen = "the last event was " + last
		}
	}
	return fmt.Errorf("%T %s: %w; %s", *new(T), key, ctx.Err(), seen)
}

// consume reads events until done is true of an object or the watch ends, and returns the type of the last one.
func consume[T client.Object](events watch.Interface, done func(T) bool) (found bool, last string) {
	defer events.Stop()
	for event := range events.ResultChan() {
		last = string(event.Type)
		if object, ok := event.Object.(T); ok && event.Type != watch.Deleted && done(object) {
			return true, last
		}
	}
	return false, last
}

// Watch opens a watch of one object, whose kind list is a list of; the first event is the object as it is.
func (c *Cluster) Watch(ctx context.Context, list client.ObjectList, key client.ObjectKey) (watch.Interface, error) {
	events, err := c.Client.Watch(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name})
	if err != nil {
		return nil, fmt.Errorf("watch %T %s: %w", list, key, err)
	}
	return events, nil
}

// Labeled returns every object of the cluster that has the label, of every kind that can be deleted, whatever its group
// or namespace. What a controller of Kubernetes made of another object (a Deployment's pods, a Service's slices) is only
// included with derived.
func (c *Cluster) Labeled(ctx context.Context, label client.MatchingLabels, derived bool) ([]metav1.PartialObjectMetadata, error) {
	// An aggregated API that is down makes discovery incomplete, not useless.
	resources, err := c.Kube.Discovery().ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	var found []metav1.PartialObjectMetadata
	for _, group := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, resources) {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range group.APIResources {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(version.WithKind(resource.Kind + "List"))
			err := c.Client.List(ctx, list, label)
			// A kind whose CRD has just been deleted has no objects.
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s of %s: %w", resource.Name, version, err)
			}
			for i := range list.Items {
				list.Items[i].SetGroupVersionKind(version.WithKind(resource.Kind))
			}
			found = append(found, list.Items...)
		}
	}
	if !derived {
		found = slices.DeleteFunc(found, isDerived)
	}
	return found, nil
}

// isDerived is true of what a controller of Kubernetes made of another object. Endpoints take over the labels of their
// Service and have no owner.
func isDerived(object metav1.PartialObjectMetadata) bool {
	controller := metav1.GetControllerOf(&object)
	return object.Kind == "Endpoints" || controller != nil && controller.Kind != "MetricsPipeline"
}

// PodReady is true of a pod that is ready.
func PodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}
