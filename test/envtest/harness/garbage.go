// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Managed returns every object of the cluster that carries the operator's label, of whatever kind.
func (c *Cluster) Managed(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	kinds, err := c.kinds("events", "leases")
	if err != nil {
		return nil, err
	}
	var managed []metav1.PartialObjectMetadata
	for _, kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		err := c.Client.List(ctx, list, client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
		if client.IgnoreNotFound(err) != nil { // Not found: a kind that has just been removed.
			return nil, fmt.Errorf("listing %s: %w", kind, err)
		}
		for _, item := range list.Items {
			item.SetGroupVersionKind(kind)
			managed = append(managed, item)
		}
	}
	return managed, nil
}

// Everything returns the identities of all objects that the API server stores, but for Events.
func (c *Cluster) Everything(ctx context.Context) ([]string, error) {
	kinds, err := c.kinds("events")
	if err != nil {
		return nil, err
	}
	var everything []string
	for _, kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		if err := c.Client.List(ctx, list); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("listing %s: %w", kind, err)
		}
		for _, item := range list.Items {
			item.SetGroupVersionKind(kind)
			everything = append(everything, Identity(&item))
		}
	}
	slices.Sort(everything)
	return everything, nil
}

// kinds returns what the API server itself stores and can list, but for some resources; what aggregated servers serve is not stored here.
func (c *Cluster) kinds(except ...string) ([]schema.GroupVersionKind, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	lists, err := client.ServerPreferredResources()
	// A metrics API that is not available is no reason not to look at the others.
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	var kinds []schema.GroupVersionKind
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			stored := slices.Contains(resource.Verbs, "watch")
			if stored && slices.Contains(resource.Verbs, "list") && !slices.Contains(except, resource.Name) {
				kinds = append(kinds, version.WithKind(resource.Kind))
			}
		}
	}
	return kinds, nil
}

// CollectGarbage deletes the managed objects all of whose owners are deleted, and what they owned, as the garbage collector
// of kube-controller-manager would. An object without owners stays.
func (c *Cluster) CollectGarbage(ctx context.Context) error {
	for {
		managed, err := c.Managed(ctx)
		if err != nil {
			return err
		}
		alive, err := c.alive(ctx, managed)
		if err != nil {
			return err
		}
		collected := 0
		for _, object := range managed {
			owned := len(object.OwnerReferences) > 0
			hasOwner := slices.ContainsFunc(object.OwnerReferences, func(owner metav1.OwnerReference) bool { return alive[owner.UID] })
			if !owned || hasOwner {
				continue
			}
			if err := c.Client.Delete(ctx, &object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("collecting %s %s: %w", object.Kind, object.Name, err)
			}
			collected++
		}
		if collected == 0 {
			return nil
		}
	}
}

func (c *Cluster) alive(ctx context.Context, managed []metav1.PartialObjectMetadata) (map[types.UID]bool, error) {
	pipelines := &v1alpha1.MetricsPipelineList{}
	if err := c.Client.List(ctx, pipelines); err != nil {
		return nil, err
	}
	alive := map[types.UID]bool{}
	for _, pipeline := range pipelines.Items {
		alive[pipeline.UID] = true
	}
	for _, object := range managed {
		alive[object.UID] = true
	}
	return alive, nil
}
