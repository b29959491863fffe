// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/scale"
)

// discoveryTimeout bounds a request of the API server's discovery, which has no context.
const discoveryTimeout = 10 * time.Second

// Resources returns the resources and subresources of a group and version, as discovery does.
type Resources func(groupVersion string) (*metav1.APIResourceList, error)

// NewScales returns what reads the subresource scale of any kind, and what says which kinds have it.
func NewScales(config *rest.Config, client *http.Client, mapper meta.RESTMapper) (scale.ScalesGetter, Resources, error) {
	limited := *client
	limited.Timeout = discoveryTimeout
	resources, err := discovery.NewDiscoveryClientForConfigAndClient(config, &limited)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the API server's discovery: %w", err)
	}
	scales, err := scale.NewForConfig(rest.CopyConfig(config), mapper, dynamic.LegacyAPIPathResolverFunc,
		scale.NewDiscoveryScaleKindResolver(resources))
	if err != nil {
		return nil, nil, fmt.Errorf("make the client of scales: %w", err)
	}
	return scales, resources.ServerResourcesForGroupVersion, nil
}

// withoutScale is true where a kind has no subresource scale. The API server says so in the words of an object that does not exist, but
// for its name; or that the scale may not be read, whatever there is.
func (c *collection) withoutScale(of schema.GroupVersionResource, err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || c.Resources == nil || !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return false
	}
	list, err := c.Resources(of.GroupVersion().String())
	return err == nil && !slices.ContainsFunc(list.APIResources, func(resource metav1.APIResource) bool {
		return resource.Name == of.Resource+"/scale"
	})
}
