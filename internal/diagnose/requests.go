// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// without is true where the pod is without the requests that a utilization is computed of, as the HPA controller computes it: requests of
// the whole pod suffice, else every container needs one, restartable init containers included. For a metric of one container that alone
// counts.
func (p Pod) without(m measure) bool {
	if m.container != "" {
		requests, exists := p.Requests[m.container]
		return !exists || !has(requests, m.resource)
	}
	_, missing := p.unrequested(m.resource)
	return missing
}

// unrequested returns the container without a request; an empty name where the pod has requests of the whole pod, and none for the
// resource.
func (p Pod) unrequested(resource corev1.ResourceName) (string, bool) {
	containers := slices.Sorted(maps.Keys(p.Requests))
	if len(p.ByPod) > 0 {
		ofContainers := slices.ContainsFunc(containers, func(container string) bool { return has(p.Requests[container], resource) })
		return "", !has(p.ByPod, resource) && !ofContainers
	}
	for _, container := range containers {
		if !has(p.Requests[container], resource) {
			return container, true
		}
	}
	return "", false
}

func has(requests corev1.ResourceList, resource corev1.ResourceName) bool {
	_, ok := requests[resource]
	return ok
}

// requestsMissing holds for every pod that the selector selects, as the HPA controller has it: one that is not Ready, or has ended, too.
func requestsMissing(v view) *Finding {
	m, ok := v.resource()
	if !ok || !m.utilization() || m.container != "" {
		return nil
	}
	for _, pod := range v.Pods {
		container, missing := pod.unrequested(m.resource)
		if !missing {
			continue
		}
		resource := name(string(m.resource))
		if container == "" {
			return found(v1alpha1.AutoscalerRequestsMissing,
				fmt.Sprintf("Pod %s has requests of the whole pod and none for %s, of which %s measures the utilization.",
					name(pod.Name), resource, v.hpa()),
				"Set spec.resources.requests."+resource+" in the template of "+v.target()+".")
		}
		return found(v1alpha1.AutoscalerRequestsMissing,
			fmt.Sprintf("Container %s of pod %s has no %s request, of which %s measures the utilization.",
				name(container), name(pod.Name), resource, v.hpa()),
			fmt.Sprintf("Set resources.requests.%s of container %s in %s, or where that sidecar is injected; "+
				"or measure one container by a metric of type ContainerResource.", resource, name(container), v.target()))
	}
	return nil
}

func containerMissing(v view) *Finding {
	m, ok := v.resource()
	if !ok || m.container == "" {
		return nil
	}
	for _, pod := range v.Pods {
		if _, exists := pod.Requests[m.container]; exists || len(pod.Requests) == 0 {
			continue
		}
		return found(v1alpha1.AutoscalerContainerMissing,
			fmt.Sprintf("spec.metrics[%d] of %s measures container %s, and pod %s has the containers %s.",
				v.at, v.hpa(), name(m.container), name(pod.Name), names(slices.Sorted(maps.Keys(pod.Requests)))),
			fmt.Sprintf("Set spec.metrics[%d].containerResource.container to one of these.", v.at))
	}
	return nil
}

func containerRequestMissing(v view) *Finding {
	m, ok := v.resource()
	if !ok || m.container == "" || !m.utilization() {
		return nil
	}
	for _, pod := range v.Pods {
		requests, exists := pod.Requests[m.container]
		if !exists || has(requests, m.resource) {
			continue
		}
		resource, container := name(string(m.resource)), name(m.container)
		return found(v1alpha1.AutoscalerContainerRequestMissing,
			fmt.Sprintf("Container %s of pod %s has no %s request, of which %s measures the utilization.",
				container, name(pod.Name), resource, v.hpa()),
			fmt.Sprintf("Set resources.requests.%s of container %s in %s; or set averageValue in place of averageUtilization.",
				resource, container, v.target()))
	}
	return nil
}
