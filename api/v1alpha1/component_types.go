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

	// priorityClassName of the pods.
	// +optional
	// +kubebuilder:default=system-cluster-critical
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

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

// KubeletTLS says how metrics-server verifies the kubelets.
//
// +kubebuilder:validation:Enum=Verify;Insecure
type KubeletTLS string

const (
	// KubeletTLSVerify verifies each kubelet's serving certificate against the cluster's certificate authority.
	KubeletTLSVerify KubeletTLS = "Verify"
	// KubeletTLSInsecure accepts any certificate; the numbers can then be forged by whoever answers on a node's
	// address.
	KubeletTLSInsecure KubeletTLS = "Insecure"
)

// ResourceMetricsSpec configures metrics.k8s.io and metrics-server.
//
// +kubebuilder:validation:XValidation:rule="!has(self.kubelet) || !has(self.kubelet.requestTimeout) || !has(self.metricResolution) || duration(self.kubelet.requestTimeout).getMilliseconds() * 10 <= duration(self.metricResolution).getMilliseconds() * 9",message="kubelet.requestTimeout must be at most nine tenths of metricResolution, or metrics-server exits at start: lower kubelet.requestTimeout, leave it unset, or raise metricResolution"
type ResourceMetricsSpec struct {
	APIOptions       `json:",inline"`
	ComponentOptions `json:",inline"`

	// metricResolution is how often metrics-server reads every kubelet, at least 10s. It bounds how fresh kubectl top
	// and HorizontalPodAutoscalers are; the API is first available after one such interval.
	// +optional
	// +kubebuilder:default="15s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="metricResolution must be at least 10s, or metrics-server exits at start"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="metricResolution must be at most 1h"
	MetricResolution Duration `json:"metricResolution,omitempty"`

	// kubelet says how metrics-server reaches the kubelets.
	// +optional
	// +kubebuilder:default={}
	Kubelet KubeletSpec `json:"kubelet,omitzero"`

	// extraArgs are appended to metrics-server's command line, each in the form --flag=value. Flags that the operator
	// sets are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^--[a-z0-9][-a-z0-9]*(=.*)?$`
	// +kubebuilder:validation:XValidation:rule="self.all(a, !(a.split('=')[0] in ['--secure-port', '--bind-address', '--cert-dir', '--tls-cert-file', '--tls-private-key-file', '--metric-resolution', '--kubelet-preferred-address-types', '--kubelet-use-node-status-port', '--kubelet-request-timeout', '--kubelet-insecure-tls', '--kubelet-port', '--deprecated-kubelet-completely-insecure', '--authorization-always-allow-paths', '--tls-min-version', '--tls-cipher-suites', '--kubeconfig']))",message="extraArgs must not hold a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, --metric-resolution, --kubelet-port, --kubelet-use-node-status-port, --kubelet-preferred-address-types, --kubelet-request-timeout, --kubelet-insecure-tls, --deprecated-kubelet-completely-insecure, --authorization-always-allow-paths, --kubeconfig): use the field for it"
	ExtraArgs []string `json:"extraArgs,omitempty"`
}

// KubeletSpec says how metrics-server reaches the kubelets.
type KubeletSpec struct {
	// tls is Verify (default) or Insecure. Insecure is reported in the status.
	// +optional
	// +kubebuilder:default=Verify
	TLS KubeletTLS `json:"tls,omitempty"`

	// preferredAddressTypes are the kinds of node address to try, in this order.
	// +optional
	// +kubebuilder:default={InternalIP,ExternalIP,Hostname}
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:Enum=Hostname;InternalDNS;InternalIP;ExternalDNS;ExternalIP
	PreferredAddressTypes []string `json:"preferredAddressTypes,omitempty"`

	// requestTimeout bounds one read of one kubelet, at most nine tenths of metricResolution. Unset: 10s, or nine
	// tenths of metricResolution where that is less.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="requestTimeout must be at least 1s"
	RequestTimeout Duration `json:"requestTimeout,omitempty"`
}

// CustomMetricsSpec configures custom.metrics.k8s.io and the prometheus-adapter that serves it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxAge) || !has(self.relistInterval) || duration(self.maxAge) >= duration(self.relistInterval)",message="maxAge must be at least relistInterval, or prometheus-adapter exits at start: raise maxAge, leave it unset, or lower relistInterval"
type CustomMetricsSpec struct {
	APIOptions       `json:",inline"`
	ComponentOptions `json:",inline"`

	// rules say which series become custom metrics, in the form of prometheus-adapter's own rules. Without a rule the
	// API is not registered. A rule that prometheus-adapter would not accept is left out and named in
	// status.rejectedRules; the others work.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Rules []CustomMetricRule `json:"rules,omitempty"`

	// relistInterval is how often the adapter asks Prometheus which series exist; a new metric appears within it.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="relistInterval must be at least 1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="relistInterval must be at most 1h"
	RelistInterval Duration `json:"relistInterval,omitempty"`

	// maxAge is how long a series without a new sample still counts as existing, at least relistInterval. Unset: twice
	// relistInterval, or three scrape intervals of the chosen Prometheus where that is more, because a metric vanishes
	// between two scrapes when maxAge is shorter than the scrape interval.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="maxAge must be at most 24h"
	MaxAge Duration `json:"maxAge,omitempty"`

	// extraArgs are appended to prometheus-adapter's command line, each in the form --flag=value. Flags that the
	// operator sets are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^--[a-z0-9][-a-z0-9]*(=.*)?$`
	// +kubebuilder:validation:XValidation:rule="self.all(a, !(a.split('=')[0] in ['--secure-port', '--bind-address', '--cert-dir', '--tls-cert-file', '--tls-private-key-file', '--config', '--metrics-relist-interval', '--metrics-max-age', '--prometheus-url', '--prometheus-auth-incluster', '--prometheus-auth-config', '--prometheus-ca-file', '--prometheus-token-file', '--prometheus-client-tls-cert-file', '--prometheus-client-tls-key-file', '--authorization-always-allow-paths', '--tls-min-version', '--tls-cipher-suites', '--lister-kubeconfig']))",message="extraArgs must not hold a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, --config, --metrics-relist-interval, --metrics-max-age, --prometheus-url, --prometheus-auth-*, --prometheus-*-file, --authorization-always-allow-paths, --lister-kubeconfig): use the field for it"
	ExtraArgs []string `json:"extraArgs,omitempty"`
}

// ExternalMetricsSpec configures external.metrics.k8s.io.
type ExternalMetricsSpec struct {
	APIOptions `json:",inline"`

	// rules say which series become external metrics, in the form of prometheus-adapter's own externalRules. Without a
	// rule the API is not registered. A rule that prometheus-adapter would not accept is left out and named in
	// status.rejectedRules; the others work.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Rules []ExternalMetricRule `json:"rules,omitempty"`
}
