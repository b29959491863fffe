// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// StorageSize is an amount of disk space such as 10Gi.
//
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,5}(Mi|Gi|Ti)$`
type StorageSize string

// ManagedPrometheusSpec configures the Prometheus that the operator runs. Where the cluster serves Prometheus objects it is one of
// these, for prometheus-operator to run, and otherwise a Deployment of the operator's own, which queries need a token for.
//
// +kubebuilder:validation:XValidation:rule="!has(self.storage) || !has(self.storage.storageClassName) || has(self.storage.size)",message="storage.storageClassName is for a volume, whose size is not set: set storage.size, or remove storage.storageClassName"
// +kubebuilder:validation:XValidation:rule="!has(self.storage) || !has(self.storage.size) || !has(self.replicas) || self.replicas == 1",message="replicas must be 1 with storage.size, because one volume is not for two pods: set replicas to 1, or remove storage.size"
type ManagedPrometheusSpec struct {
	// replicas is the number of pods, 1 (default) or 2. Each of them scrapes every target and has samples of its own; queries stay with
	// one of them as long as it is there. With 2 they spread over nodes and a PodDisruptionBudget keeps one of them through a drain.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2
	Replicas *int32 `json:"replicas,omitempty"`

	PodOptions `json:",inline"`

	// retention is how long samples are there to be queried, 1h to 2160h. HorizontalPodAutoscalers need minutes; it is not meant for
	// dashboards of last month.
	// +optional
	// +kubebuilder:default="2h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="retention must be at least 1h, because rules query ranges of it: raise it"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('2160h')",message="retention must be at most 2160h (90 days): lower it, and write to a long-term store from a Prometheus of your own, which ref or url then names"
	Retention Duration `json:"retention,omitempty"`

	// scrapeInterval is how often every target is scraped that names no interval of its own, 5s to 2m. HorizontalPodAutoscalers see a
	// change after up to two of them.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s')",message="scrapeInterval must be at least 5s, because each scrape costs every app a request: raise it"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('2m')",message="scrapeInterval must be at most 2m, because a sample older than 5m is not queried any more: lower it"
	ScrapeInterval Duration `json:"scrapeInterval,omitempty"`

	// storage is where the samples are. Unset: in the pod, at most 4Gi on the disk of its node, and gone with it.
	// +optional
	Storage *ManagedPrometheusStorage `json:"storage,omitempty"`

	// remoteWrite is where samples are copied to, such as a store for months. At most 4. What it names is in the operator's namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	RemoteWrite []ManagedRemoteWrite `json:"remoteWrite,omitempty"`

	// extraArgs are appended to the command line of Prometheus, each in the form --flag=value. Flags that the operator sets, and those
	// that open what Prometheus serves to others, are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^--[a-z0-9][-.a-z0-9]*(=.*)?$`
	// +kubebuilder:validation:XValidation:rule="self.all(a, !a.startsWith('--web.') && !a.startsWith('--config.') && !a.startsWith('--storage.') && !(a.split('=')[0] in ['--agent', '--no-agent', '--enable-feature']))",message="extraArgs must not contain a flag that the operator sets, or that opens what Prometheus serves to others (--agent, --config.*, --enable-feature, --storage.*, --web.*): use the field for it, or run a Prometheus of your own and name it in ref or url"
	ExtraArgs []string `json:"extraArgs,omitempty"`
}

// ManagedPrometheusStorage is where the samples of the Prometheus are that the operator runs.
type ManagedPrometheusStorage struct {
	// size is that of a PersistentVolumeClaim, which outlives the pod: old samples go when four fifths of it are used. It can only be
	// raised, where the StorageClass permits that. Unset: no volume is claimed.
	// +optional
	Size StorageSize `json:"size,omitempty"`

	// storageClassName is the StorageClass of the volume. Unset: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// ManagedRemoteWrite is a store that speaks Prometheus' remote write.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) && has(self.basicAuth))",message="bearerToken and basicAuth are both sent in the header Authorization; set one of them"
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) || has(self.basicAuth)) || !isURL(self.url) || url(self.url).getScheme() == 'https'",message="credentials over http can be read by anyone on the way; set url to an https URL, or remove bearerToken and basicAuth"
type ManagedRemoteWrite struct {
	// url of the store, such as https://mimir.example.com/api/v1/push.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="url must be an absolute http or https URL such as https://mimir.example.com/api/v1/push"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[@?#]')",message="url must not contain credentials, a query or a fragment; give credentials in bearerToken or basicAuth"
	URL string `json:"url,omitempty"`

	// bearerToken is the key of a Secret that has the bearer token to present.
	// +optional
	BearerToken *KeyReference `json:"bearerToken,omitempty"`

	// basicAuth is the user and the password to present.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`

	// ca is the certificate authority that the store's certificate is verified by. Unset: those of the system.
	// +optional
	CA *CertificateAuthority `json:"ca,omitempty"`
}
