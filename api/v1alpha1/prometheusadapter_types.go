// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// PrometheusAdapterSpec configures prometheus-adapter, which serves custom.metrics.k8s.io and external.metrics.k8s.io,
// and metrics.k8s.io where resourceMetrics.backend says so.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxAge) || !has(self.relistInterval) || duration(self.maxAge) >= duration(self.relistInterval)",message="maxAge must be at least relistInterval, or prometheus-adapter exits at start: raise maxAge, leave it unset, or lower relistInterval"
type PrometheusAdapterSpec struct {
	ComponentOptions `json:",inline"`

	// relistInterval is how often the adapter lists the series that Prometheus has; a new metric appears within it.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="relistInterval must be at least 1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="relistInterval must be at most 1h"
	RelistInterval Duration `json:"relistInterval,omitempty"`

	// maxAge is how long a series without a new sample still counts as existing, at least relistInterval. Unset: twice
	// relistInterval, or three scrape intervals where that is more, because a metric vanishes between two scrapes when maxAge is
	// shorter than the scrape interval. That is the longer one of the chosen Prometheus' and spec.scrape.interval.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="maxAge must be at most 24h"
	MaxAge Duration `json:"maxAge,omitempty"`

	// extraArgs are appended to prometheus-adapter's command line, each in the form --flag=value. Flags that the
	// operator sets, and those that decide whom prometheus-adapter trusts, are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^--[a-z0-9][-a-z0-9]*(=.*)?$`
	// +kubebuilder:validation:XValidation:rule="self.all(a, !a.startsWith('--tls-') && !a.startsWith('--requestheader-') && !(a.split('=')[0] in ['--secure-port', '--bind-address', '--cert-dir', '--config', '--metrics-relist-interval', '--metrics-max-age', '--prometheus-url', '--prometheus-auth-incluster', '--prometheus-auth-config', '--prometheus-ca-file', '--prometheus-token-file', '--prometheus-client-tls-cert-file', '--prometheus-client-tls-key-file', '--authentication-kubeconfig', '--authentication-skip-lookup', '--authentication-tolerate-lookup-failure', '--authorization-always-allow-paths', '--authorization-kubeconfig', '--client-ca-file', '--lister-kubeconfig']))",message="extraArgs must not contain a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, --config, --metrics-relist-interval, --metrics-max-age, --prometheus-url, --prometheus-auth-*, --prometheus-*-file, --lister-kubeconfig) or that decides whom it trusts (--authentication-kubeconfig, --authentication-skip-lookup, --authentication-tolerate-lookup-failure, --authorization-always-allow-paths, --authorization-kubeconfig, --client-ca-file, --requestheader-*): use the field for it"
	ExtraArgs []string `json:"extraArgs,omitempty"`
}
