// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/kinds"
)

// CacheOptions returns the options of the watch cache for an operator in a namespace: objects with our label, and of foreign
// ones only what the reconciler reads.
func CacheOptions(namespace string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
	everything := labels.Everything()
	own := map[string]cache.Config{namespace: {}}

	// Objects in other namespaces are selected by name, because RBAC grants a list by nothing else: the API server's own endpoints,
	// beside those of the components.
	endpoints := map[string]cache.Config{
		namespace:                  {LabelSelector: ours},
		cluster.APIServerNamespace: {FieldSelector: named(cluster.APIServerEndpoints)},
	}
	// What the API server publishes for backends, beside the ConfigMaps of the components and of spec.prometheus.auth.
	configMaps := map[string]cache.Config{
		cluster.AuthenticationNamespace: {FieldSelector: named(cluster.AuthenticationConfigMap)},
		namespace:                       {},
	}
	if namespace == cluster.APIServerNamespace {
		endpoints[namespace] = cache.Config{LabelSelector: everything}
	}

	return cache.Options{
		DefaultLabelSelector: ours,
		DefaultNamespaces:    own,
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.MetricsPipeline{}:  {Label: everything},
			&apiregv1.APIService{}:       {Label: everything},
			kinds.Namespace.New():        {Label: everything, Transform: onlyLabels},
			kinds.CRD.New():              {Label: everything, Transform: onlyName},
			kinds.Node.New():             {Label: everything, Transform: onlyName},
			&corev1.ResourceQuota{}:      {Label: everything, Transform: onlySpec},
			&corev1.Secret{}:             {Label: everything, Namespaces: own},
			&corev1.ConfigMap{}:          {Label: everything, Namespaces: configMaps, Transform: monitors.Digests},
			&discoveryv1.EndpointSlice{}: {Label: everything, Namespaces: endpoints},
		},
	}
}

// named selects the object of a name.
func named(name string) fields.Selector {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, name)
}

// discoveryTimeout bounds a request of the API server's discovery: whoever needs a resource waits for it, without a deadline of its own.
const discoveryTimeout = 10 * time.Second

// Mapper returns a manager's RESTMapper, whose requests end.
func Mapper(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
	return mapper(config, httpClient, discoveryTimeout)
}

func mapper(config *rest.Config, httpClient *http.Client, timeout time.Duration) (meta.RESTMapper, error) {
	limited := *httpClient
	limited.Timeout = timeout
	return apiutil.NewDynamicRESTMapper(config, &limited) //nolint:wrapcheck // the manager says what it made
}

// Discover returns a RESTMapper that knows every resource that the API server serves now.
func Discover(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
	limited := *httpClient
	limited.Timeout = discoveryTimeout
	client, err := discovery.NewDiscoveryClientForConfigAndClient(config, &limited)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server's discovery: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it looks for
	}
	return restmapper.NewDiscoveryRESTMapper(groups), nil
}

// onlyName drops everything from an object that is cached for its existence.
func onlyName(object any) (any, error) {
	full, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: full.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion, DeletionTimestamp: full.DeletionTimestamp}}, nil
}

// onlySpec drops the status of a quota, which every pod changes.
func onlySpec(object any) (any, error) {
	full, ok := object.(*corev1.ResourceQuota)
	if !ok {
		return object, nil
	}
	return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: full.Namespace, Name: full.Name, UID: full.UID,
		ResourceVersion: full.ResourceVersion}, Spec: full.Spec}, nil
}

// onlyLabels drops everything but the labels as well, and what says that the platform chooses the users of a namespace's pods.
func onlyLabels(object any) (any, error) {
	stripped, err := onlyName(object)
	if full, ok := object.(*metav1.PartialObjectMetadata); ok && err == nil {
		kept := stripped.(*metav1.PartialObjectMetadata)
		kept.Labels = full.Labels
		if users, chosen := full.Annotations[cluster.UsersAnnotation]; chosen {
			kept.Annotations = map[string]string{cluster.UsersAnnotation: users}
		}
	}
	return stripped, err
}
