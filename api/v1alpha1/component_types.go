// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// KubeletPort is where the kubelet of each node listens, and the components where they are not in the network of the node.
const KubeletPort int32 = 10250

// ComponentOptions are the knobs that every deployed component has.
//
// +kubebuilder:validation:XValidation:rule="!has(self.hostNetwork) || !self.hostNetwork || !has(self.port) || self.port != 10250",message="port must not be 10250 with hostNetwork, because the kubelet listens there on each node: set another port, or leave it unset"
type ComponentOptions struct {
	// replicas is the number of pods, 1 to 10. With 2 or more they spread over nodes and a PodDisruptionBudget keeps
	// one of them through a drain.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas *int32 `json:"replicas,omitempty"`

	PodOptions `json:",inline"`

	// hostNetwork runs the pods in the network of their node, for a control plane that does not reach the network of pods. A node
	// then has room for one pod of the component, an old pod ends before its successor starts, no NetworkPolicy applies to the pods,
	// and the Pod Security level of the operator's namespace must be privileged.
	// +optional
	HostNetwork bool `json:"hostNetwork,omitempty"`

	// port is where the component listens, 1024 to 65535. Unset: 10250; with hostNetwork, 4443 for metrics-server and 4444 for
	// prometheus-adapter. With hostNetwork it must be free on each node.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
}

// PodOptions are the knobs of the pods of every deployed component.
type PodOptions struct {
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

	// imagePullSecrets are Secrets of the operator's namespace with which nodes pull the images of the pods. At most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []NameReference `json:"imagePullSecrets,omitempty"`

	// podLabels are added to the labels of the pods, such as sidecar.istio.io/inject: "false". At most 32. Those by which the pods
	// are found stay as they are.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a key of podLabels must be a label key such as team or example.com/team: correct the key"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('metricspipeline.io/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'pod-template-hash']))",message="podLabels must not have app.kubernetes.io/name, app.kubernetes.io/instance, pod-template-hash, or a key that begins with metricspipeline.io/, because the pods are found by these: remove the key"
	PodLabels map[string]LabelValue `json:"podLabels,omitempty"`

	// podAnnotations are added to the annotations of the pods, such as linkerd.io/inject: enabled. At most 32, each value of at
	// most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a key of podAnnotations must be an annotation key such as team or example.com/team: correct the key"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('metricspipeline.io/'))",message="podAnnotations must not have a key that begins with metricspipeline.io/, because those are the operator's: remove the key"
	PodAnnotations map[string]AnnotationValue `json:"podAnnotations,omitempty"`
}

// AnnotationValue is the value of an annotation of a Kubernetes object.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

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
