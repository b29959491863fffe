// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ComponentOptions are the knobs that every deployed component has.
type ComponentOptions struct {
	// replicas is the number of pods, 1 to 10. With 2 or more they spread over nodes and a PodDisruptionBudget keeps
	// one of them through a drain.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas *int32 `json:"replicas,omitempty"`

	// resources are the container's requests and limits; unset keeps the component's defaults.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// nodeSelector restricts the nodes; kubernetes.io/os: linux is always added.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations of the pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity of the pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// priorityClassName of the pods. "" is a value: the pods name no PriorityClass, and get the cluster's default. Unset is
	// system-cluster-critical where the operator's namespace is kube-system or has a ResourceQuota for that class, and "" elsewhere:
	// some clusters refuse the pods there.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName *string `json:"priorityClassName,omitempty"`

	// image replaces the component's image: a reference with tag or digest. Unset uses the operator's
	// RELATED_IMAGE_* environment variable, or the version that this release was tested with.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$`
	Image string `json:"image,omitempty"`
}

// Duration is a length of time such as 90s or 1m30s: whole numbers with the units h, m, s and ms.
//
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(h|m|s|ms)){1,4}$`
type Duration string

// Or returns the duration, or otherwise where it is unset. The schema admits nothing that cannot be parsed; were it
// bypassed, otherwise is returned as well.
func (d Duration) Or(otherwise time.Duration) time.Duration {
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		return otherwise
	}
	return parsed
}
