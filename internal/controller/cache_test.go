// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// TestCacheInAnyNamespace: two namespaces have objects of the API server's that are read by name. Where the operator itself is in one of
// them, what is its own there must not be missed.
func TestCacheInAnyNamespace(t *testing.T) {
	const (
		everything = "everything"
		ours       = "metricspipeline.io/pipeline=default"
		published  = "metadata.name=extension-apiserver-authentication"
		apiServer  = "metadata.name=kubernetes"
	)
	for namespace, want := range map[string]struct{ configMaps, endpointSlices map[string]string }{
		"metrics": {
			map[string]string{"metrics": everything, "kube-system": published}, map[string]string{"metrics": ours, "default": apiServer}},
		"kube-system": {
			map[string]string{"kube-system": everything}, map[string]string{"kube-system": ours, "default": apiServer}},
		"default": {
			map[string]string{"default": everything, "kube-system": published}, map[string]string{"default": everything}},
	} {
		options := CacheOptions(namespace)
		got := map[string]map[string]string{}
		for object, by := range options.ByObject {
			switch object.(type) {
			case *corev1.ConfigMap:
				got["ConfigMaps"] = selected(by.Namespaces)
			case *discoveryv1.EndpointSlice:
				got["EndpointSlices"] = selected(by.Namespaces)
			}
		}
		if diff := cmp.Diff(map[string]map[string]string{"ConfigMaps": want.configMaps, "EndpointSlices": want.endpointSlices}, got); diff != "" {
			t.Errorf("in %s (-want +got):\n%s", namespace, diff)
		}
		if _, own := options.DefaultNamespaces[namespace]; !own || len(options.DefaultNamespaces) != 1 {
			t.Errorf("in %s: what is managed is cached in %v", namespace, options.DefaultNamespaces)
		}
	}
}

// selected says what is cached in each namespace.
func selected(namespaces map[string]cache.Config) map[string]string {
	by := map[string]string{}
	for namespace, config := range namespaces {
		by[namespace] = "everything"
		if config.LabelSelector != nil && !config.LabelSelector.Empty() {
			by[namespace] = config.LabelSelector.String()
		}
		if config.FieldSelector != nil {
			by[namespace] = config.FieldSelector.String()
		}
	}
	return by
}
