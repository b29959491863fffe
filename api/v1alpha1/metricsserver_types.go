// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// MetricsServerSpec configures metrics-server, which serves metrics.k8s.io.
//
// +kubebuilder:validation:XValidation:rule="!has(self.kubelet) || !has(self.kubelet.requestTimeout) || !has(self.metricResolution) || duration(self.kubelet.requestTimeout).getMilliseconds() * 10 <= duration(self.metricResolution).getMilliseconds() * 9",message="kubelet.requestTimeout must be at most nine tenths of metricResolution, or metrics-server exits at start: lower kubelet.requestTimeout, leave it unset, or raise metricResolution"
// +kubebuilder:validation:XValidation:rule="!has(self.kubelet) || !has(self.kubelet.tls) || !has(self.kubelet.tls.ca) || !has(self.extraArgs) || self.extraArgs.all(a, a.split('=')[0] != '--kubelet-certificate-authority')",message="extraArgs must not contain --kubelet-certificate-authority together with kubelet.tls.ca: remove it from extraArgs"
type MetricsServerSpec struct {
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
	// sets, and those that decide whom metrics-server trusts, are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^--[a-z0-9][-a-z0-9]*(=.*)?$`
	// +kubebuilder:validation:XValidation:rule="self.all(a, !a.startsWith('--tls-') && !a.startsWith('--requestheader-') && !(a.split('=')[0] in ['--secure-port', '--bind-address', '--cert-dir', '--metric-resolution', '--kubelet-preferred-address-types', '--kubelet-use-node-status-port', '--kubelet-request-timeout', '--kubelet-insecure-tls', '--kubelet-port', '--deprecated-kubelet-completely-insecure', '--authentication-kubeconfig', '--authentication-skip-lookup', '--authentication-tolerate-lookup-failure', '--authorization-always-allow-paths', '--authorization-kubeconfig', '--client-ca-file', '--kubeconfig']))",message="extraArgs must not contain a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, --metric-resolution, --kubelet-port, --kubelet-use-node-status-port, --kubelet-preferred-address-types, --kubelet-request-timeout, --kubelet-insecure-tls, --deprecated-kubelet-completely-insecure, --kubeconfig) or that decides whom it trusts (--authentication-kubeconfig, --authentication-skip-lookup, --authentication-tolerate-lookup-failure, --authorization-always-allow-paths, --authorization-kubeconfig, --client-ca-file, --requestheader-*): use the field for it"
	ExtraArgs []string `json:"extraArgs,omitempty"`
}

// KubeletTLS says how metrics-server verifies the kubelets' serving certificates.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ca) || !has(self.verification) || self.verification != 'Insecure'",message="kubelet.tls.ca must not be set together with verification: Insecure, or metrics-server exits at start: remove ca, or set verification to Verify"
type KubeletTLS struct {
	// verification is Verify (default) or Insecure, which accepts any certificate.
	// +optional
	// +kubebuilder:default=Verify
	Verification TLSVerification `json:"verification,omitempty"`

	// ca is the certificate authority that signed the kubelets' serving certificates. Unset: the cluster's own. Its content is
	// the whole of what is trusted, so where some kubelets have certificates of the cluster's authority, add that to it.
	// +optional
	CA *CertificateAuthority `json:"ca,omitempty"`
}

// KubeletSpec says how metrics-server reaches the kubelets.
type KubeletSpec struct {
	// tls is how metrics-server verifies the kubelets' serving certificates. Verify (default) verifies them against the
	// cluster's certificate authority, or that of ca. With Insecure the numbers can be forged by any process that answers on
	// a node's address; the status reports it.
	// +optional
	// +kubebuilder:default={}
	TLS KubeletTLS `json:"tls,omitzero"`

	// port is the port of every kubelet, from 1 to 65535. Unset: the one that each node states in its status.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// preferredAddressTypes are the kinds of node address to try, in this order.
	// +optional
	// +kubebuilder:default={InternalIP,ExternalIP,Hostname}
	// +listType=atomic
	// +kubebuilder:validation:XValidation:rule="self.all(t, self.exists_one(o, o == t))",message="preferredAddressTypes has one value twice: write each once"
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
