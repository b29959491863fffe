// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HonorLabels says where targets may choose the labels of their series.
type HonorLabels struct {
	// namespaceSelector selects the namespaces, by their labels, whose targets may; {} selects all.
	// +required
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitzero"`
}

// ScrapeBearerToken is a token for targets with the scheme https.
type ScrapeBearerToken struct {
	// namespaceSelector selects the namespaces, by their labels, whose targets get the token; {} selects all.
	// +required
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitzero"`

	// secret is the key of a Secret that has the token, in the namespace of each app. Without it prometheus-operator leaves out the
	// apps of that namespace with the scheme https.
	// +required
	Secret KeyReference `json:"secret,omitzero"`
}

// ScrapeSlow is how apps with the annotation scrape-slow are scraped.
//
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || !has(self.scrapeTimeout) || duration(self.scrapeTimeout) <= duration(self.interval)",message="slow.scrapeTimeout must be at most slow.interval: lower slow.scrapeTimeout, or raise slow.interval"
type ScrapeSlow struct {
	// interval between two scrapes of such a target, 5m by default.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval must be at least 1s"
	Interval Duration `json:"interval,omitempty"`

	// scrapeTimeout bounds one scrape of such a target, 30s by default.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="scrapeTimeout must be at least 1s"
	ScrapeTimeout Duration `json:"scrapeTimeout,omitempty"`
}

// ScrapeTLS says how the certificates of targets are verified.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ca) || !has(self.verification) || self.verification != 'Insecure'",message="tls.ca has no effect with tls.verification Insecure, which accepts any certificate: leave ca out, or set verification to Verify"
type ScrapeTLS struct {
	// verification is Verify (default) or Insecure, which accepts any certificate.
	// +optional
	// +kubebuilder:default=Verify
	Verification TLSVerification `json:"verification,omitempty"`

	// ca is the certificate authority that the certificates of targets are verified by, in the namespace of each app, such as the
	// ConfigMap kube-root-ca.crt or one of trust-manager. Without the object prometheus-operator leaves out the apps of that namespace
	// with the scheme https. Unset: the authorities of Prometheus' own system.
	// +optional
	CA *CertificateAuthority `json:"ca,omitempty"`

	// serverName that the certificates of targets must be for; unset is the address of the Pod, which few certificates name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$`
	ServerName string `json:"serverName,omitempty"`
}

// PodTargetLabel is the key of a label of Pods that becomes a label of their series.
//
// +kubebuilder:validation:MaxLength=317
// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="podTargetLabels are keys of labels such as app or app.kubernetes.io/version: correct the key"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9]')",message="the name of a label of series cannot begin with a digit, so that Prometheus would load no configuration: leave this label out of podTargetLabels"
// +kubebuilder:validation:XValidation:rule="!(self.replace('-', '_').replace('.', '_').replace('/', '_') in ['namespace', 'pod', 'service', 'job', 'instance', 'node', 'container', 'endpoint', 'prometheus', 'prometheus_replica', 'le', 'quantile'])",message="users of Pods could forge the label of series that has this name, such as namespace, pod, service, job, instance, node, container, endpoint, prometheus, prometheus_replica, le or quantile: leave it out of podTargetLabels"
type PodTargetLabel string

// ContainerName is the name of a container.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type ContainerName string
