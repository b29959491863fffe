// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Configuration is the part of an object's spec that a field manager applies.
func Configuration(apiVersion, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "spec": spec}}
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// StartRival starts a controller that applies its configuration of an existing object whenever the object differs from it, until
// it is stopped.
func (c *Cluster) StartRival(ctx context.Context, desired *unstructured.Unstructured) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	watcher, err := client.NewWithWatch(c.Config, client.Options{Scheme: Scheme})
	if err != nil {
		cancel()
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(desired.GetAPIVersion())
	list.SetKind(desired.GetKind() + "List")
	changes, err := watcher.Watch(ctx, list, client.InNamespace(desired.GetNamespace()),
		client.MatchingFields{"metadata.name": desired.GetName()})
	if err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for change := range changes.ResultChan() {
			found, isObject := change.Object.(*unstructured.Unstructured)
			if !isObject || change.Type == watch.Deleted || includes(found.Object["spec"], desired.Object["spec"]) {
				continue
			}
			// A conflict with the operator's own write brings another change.
			_ = watcher.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired.DeepCopy()),
				client.FieldOwner("rival"), client.ForceOwnership)
		}
	}()
	return func() {
		cancel()
		changes.Stop()
		<-ended
	}, nil
}

// includes is true when an object has all the fields of another one.
func includes(object, desired any) bool {
	fields, nested := desired.(map[string]any)
	if !nested {
		return object == desired
	}
	for name, value := range fields {
		content, _ := object.(map[string]any)
		if !includes(content[name], value) {
			return false
		}
	}
	return true
}
