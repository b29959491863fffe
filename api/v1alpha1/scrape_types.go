// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScrapeTarget is a kind of app whose annotations are honored.
//
// +kubebuilder:validation:Enum=Services;Pods
type ScrapeTarget string

const (
	// ScrapeServices honors the annotations of Services.
	ScrapeServices ScrapeTarget = "Services"
	// ScrapePods honors the annotations of Pods.
	ScrapePods ScrapeTarget = "Pods"
)

// ScrapeGranularity is how many monitors there are.
//
// +kubebuilder:validation:Enum=Namespace;Service
type ScrapeGranularity string

const (
	// ScrapePerNamespace makes one ServiceMonitor and one PodMonitor for all apps of a namespace.
	ScrapePerNamespace ScrapeGranularity = "Namespace"
	// ScrapePerService makes one ServiceMonitor for each Service. Prometheus keeps a discovery for each, which hundreds of
	// them make expensive.
	ScrapePerService ScrapeGranularity = "Service"
)

// ScrapeSpec says which annotated apps become targets of Prometheus, and how.
//
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || !has(self.scrapeTimeout) || duration(self.scrapeTimeout) <= duration(self.interval)",message="scrapeTimeout must be at most interval: lower scrapeTimeout, or raise interval"
type ScrapeSpec struct {
	// targets are the kinds of app whose annotations are honored; empty turns discovery off. Where both a Pod and its
	// Service are annotated, the Pod's annotations count.
	// +optional
	// +listType=atomic
	// +kubebuilder:default={Services,Pods}
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.all(t, self.exists_one(o, o == t))",message="targets has one value twice: write each once"
	Targets []ScrapeTarget `json:"targets"`

	// namespaceSelector selects the namespaces by their labels; unset selects all. A Namespace with the label
	// metricspipeline.io/scrape: "false" is left out in any case.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// granularity is Namespace (default) or Service.
	// +optional
	// +kubebuilder:default=Namespace
	Granularity ScrapeGranularity `json:"granularity,omitempty"`

	// annotationPrefix of the annotations scrape, port, path and scheme.
	// +optional
	// +kubebuilder:default=prometheus.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	AnnotationPrefix string `json:"annotationPrefix,omitempty"`

	// interval between two scrapes of a target; unset uses the Prometheus' own.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval must be at least 1s"
	Interval Duration `json:"interval,omitempty"`

	// scrapeTimeout bounds one scrape, at most interval; unset uses the Prometheus' own.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="scrapeTimeout must be at least 1s"
	ScrapeTimeout Duration `json:"scrapeTimeout,omitempty"`

	// limits bound what a target may cost; a target that exceeds one counts as down.
	// +optional
	// +kubebuilder:default={}
	Limits ScrapeLimits `json:"limits,omitzero"`

	// slow is how often apps with the annotation scrape-slow are scraped; unset is every 5m, with a timeout of 30s.
	// +optional
	Slow *ScrapeSlow `json:"slow,omitempty"`

	// tls is how targets with the scheme https are verified.
	// +optional
	// +kubebuilder:default={}
	TLS ScrapeTLS `json:"tls,omitzero"`

	// selectorlessServices is Refuse (default) or Allow. A Service without a selector gets its endpoints from any user who
	// may write EndpointSlices in its namespace; allowed, they can aim Prometheus at any address that it reaches.
	// +optional
	// +kubebuilder:default=Refuse
	SelectorlessServices SelectorlessPolicy `json:"selectorlessServices,omitempty"`

	// hostNetworkPods allows annotated Pods in the network of their node, which are refused by default: the address of such a Pod
	// is the node's, so that its annotations can lead Prometheus to any port of the node.
	// +optional
	HostNetworkPods *HostNetworkPods `json:"hostNetworkPods,omitempty"`

	// podTargetLabels are labels of Pods, by their keys, that the series of their targets get as well, such as app or
	// app.kubernetes.io/version. In the name of the series' label each character but letters, digits and _ becomes _. At most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.exists_one(o, k.replace('-', '_').replace('.', '_').replace('/', '_') == o.replace('-', '_').replace('.', '_').replace('/', '_')))",message="two of podTargetLabels become the same label of the series, in which -, . and / are _: leave one of them out"
	PodTargetLabels []PodTargetLabel `json:"podTargetLabels,omitempty"`

	// nativeSidecars are names of native sidecars (initContainers with restartPolicy: Always), such as istio-proxy, whose ports count
	// like those of a Pod's containers. Prometheus does not discover which of a Pod's init containers go on running, so that the
	// ports of all others are left out. At most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	NativeSidecars []ContainerName `json:"nativeSidecars,omitempty"`

	// honorLabels allows targets to choose labels such as namespace, pod and job of their series, which is refused by default: an app
	// could pass its numbers off as those of another. A Pushgateway and whatever federates or exports for others needs it.
	// +optional
	HonorLabels *HonorLabels `json:"honorLabels,omitempty"`

	// bearerToken is sent to the targets with the scheme https in some namespaces. It is never sent over http.
	// +optional
	BearerToken *ScrapeBearerToken `json:"bearerToken,omitempty"`

	// labels are added to the monitors, beside those that the selectors of the chosen Prometheus demand. At most 32, each
	// valid as a label of a Kubernetes object.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a key of labels must be a label key such as release or example.com/release: correct the key",messageExpression="'labels[\"' + self.filter(k, format.qualifiedName().validate(k).hasValue())[0] + '\"]: a key of labels must be a label key such as release or example.com/release: correct the key'"
	Labels map[string]LabelValue `json:"labels,omitempty"`
}

// HostNetworkPods says where Pods in the network of their node are scraped.
type HostNetworkPods struct {
	// namespaceSelector selects the namespaces, by their labels, that may have such Pods scraped; {} selects all.
	// +required
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitzero"`
}

// ByteSize is a number of bytes as Prometheus takes it: 0, or a whole number of KB, MB or GB, each 1024 of the one before.
//
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]{0,5}(KB|MB|GB))$`
type ByteSize string

// ScrapeLimits bound what a target, or a namespace, may cost. Those that the installed prometheus-operator does not know are left out
// of the monitors, and the condition ScrapeReady says so.
type ScrapeLimits struct {
	// bodySize is the most bytes that one answer of a target may have, such as 32MB (default). Prometheus holds an answer in memory
	// before it counts samples. 0 is no limit.
	// +optional
	// +kubebuilder:default="32MB"
	BodySize ByteSize `json:"bodySize,omitempty"`

	// targets is the most targets of a monitor, 5000 by default. Beyond it Prometheus scrapes none of them. 0 is no limit.
	// +optional
	// +kubebuilder:default=5000
	// +kubebuilder:validation:Minimum=0
	Targets *int64 `json:"targets,omitempty"`

	// droppedTargets is how many of those that the relabelings of a monitor drop Prometheus remembers, to show them; 100 by default.
	// 0 is no limit.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	DroppedTargets *int64 `json:"droppedTargets,omitempty"`

	// samples is the most samples that one scrape of a target may give; a target with more counts as down. 0 is no limit.
	// +optional
	// +kubebuilder:default=50000
	// +kubebuilder:validation:Minimum=0
	Samples *int64 `json:"samples,omitempty"`
}

// LabelValue is the value of a label of a Kubernetes object.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="a label's value must be empty, or letters, digits, -, _ and . with a letter or digit at both ends: correct the value"
type LabelValue string

// SelectorlessPolicy says whether Services without a selector are scraped.
//
// +kubebuilder:validation:Enum=Refuse;Allow
type SelectorlessPolicy string

const (
	// SelectorlessRefuse leaves them out.
	SelectorlessRefuse SelectorlessPolicy = "Refuse"
	// SelectorlessAllow scrapes them.
	SelectorlessAllow SelectorlessPolicy = "Allow"
)

// ScrapeStatus counts the annotated apps and their monitors.
type ScrapeStatus struct {
	// services is the number of annotated Services that are scraped.
	// +optional
	Services int32 `json:"services"`

	// pods is the number of annotated Pods that are scraped.
	// +optional
	Pods int32 `json:"pods"`

	// monitors is the number of ServiceMonitors and PodMonitors. Where the operator runs a Prometheus without prometheus-operator, it is
	// that of the namespaces with a scrape configuration.
	// +optional
	Monitors int32 `json:"monitors"`

	// rejected are annotated apps that are not scraped, and Services of which some Pods are not; at most 20 of them, of each namespace
	// in turn.
	// +optional
	// +listType=atomic
	Rejected []RejectedApp `json:"rejected,omitempty"`

	// rejectedTotal is the number of such apps, listed or not.
	// +optional
	RejectedTotal int32 `json:"rejectedTotal,omitempty"`

	// nearMisses are Services and Pods that almost request to be scraped, such as by the annotation prometheus.io.scrape, or ask for what
	// scraping is not, and Deployments, StatefulSets and DaemonSets whose annotation belongs to their template; at most 20 of them, of
	// each namespace in turn.
	// +optional
	// +listType=atomic
	NearMisses []RejectedApp `json:"nearMisses,omitempty"`

	// nearMissesTotal is the number of such objects, listed or not.
	// +optional
	NearMissesTotal int32 `json:"nearMissesTotal,omitempty"`

	// notScraped are namespaces whose annotated apps are not scraped, or soon not, for a reason that other namespaces do not have; at
	// most 20 of them.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	NotScraped []NotScrapedNamespace `json:"notScraped,omitempty"`

	// notScrapedTotal is the number of such namespaces, listed or not.
	// +optional
	NotScrapedTotal int32 `json:"notScrapedTotal,omitempty"`

	// targets counts what Prometheus scrapes of annotated apps, as it says itself; unset before it was asked, and where nothing is known
	// that could be.
	// +optional
	Targets *TargetCounts `json:"targets,omitempty"`

	// down are annotated apps with a target that Prometheus has failed to scrape for more than a minute; at most 20 of them, of each
	// namespace in turn.
	// +optional
	// +listType=atomic
	Down []DownApp `json:"down,omitempty"`

	// downTotal is the number of such apps, listed or not.
	// +optional
	DownTotal int32 `json:"downTotal,omitempty"`
}

// TargetCounts counts targets of annotated apps. An app may have several: one for each pod.
type TargetCounts struct {
	// up is the number of targets that the last scrape has reached.
	// +optional
	Up int32 `json:"up"`

	// down is the number of those that it has not.
	// +optional
	Down int32 `json:"down"`

	// message says why the targets are not known, or only roughly, and what to do; empty where they are known.
	// +optional
	Message string `json:"message,omitempty"`
}

// DownApp is an annotated app that Prometheus fails to scrape.
type DownApp struct {
	// kind is Service or Pod.
	// +required
	Kind string `json:"kind,omitempty"`

	// namespace of the app.
	// +required
	Namespace string `json:"namespace,omitempty"`

	// name of the app.
	// +required
	Name string `json:"name,omitempty"`

	// error is why, as Prometheus says it of one of its targets; empty where only its series are known.
	// +optional
	Error string `json:"error,omitempty"`
}

// NotScrapedNamespace is a namespace whose annotated apps are not scraped.
type NotScrapedNamespace struct {
	// namespace is its name.
	// +required
	Namespace string `json:"namespace,omitempty"`

	// reason is NotSelected, NameTaken, Contested, Refused, ConfigurationLimit, TargetLimit or NoTargets.
	// +required
	Reason string `json:"reason,omitempty"`

	// message says what is wrong and what to do.
	// +required
	Message string `json:"message,omitempty"`
}

// Reasons of status.scrape.notScraped and of the Events in those namespaces, beside NotSelected, NameTaken and Contested.
const (
	// ReasonRefused is that of a namespace in which the API server refuses the monitors, for its quota for one.
	ReasonRefused = "Refused"
	// ReasonConfigurationLimit is that of a namespace whose scrape configuration is too large, or has no room beside those of others.
	// Only a Prometheus that the operator runs without prometheus-operator has such.
	ReasonConfigurationLimit = "ConfigurationLimit"
	// ReasonTargetLimit is that of a namespace whose annotated apps come near scrape.limits.targets.
	ReasonTargetLimit = "TargetLimit"
	// ReasonNoTargets is that of a namespace with running Pods of annotated apps of which Prometheus has no target.
	ReasonNoTargets = "NoTargets"
)

// RejectedApp is an app that is not scraped, or a workload whose Pods are not.
type RejectedApp struct {
	// kind is Service or Pod; of a near miss also Deployment, StatefulSet or DaemonSet.
	// +required
	Kind string `json:"kind,omitempty"`

	// namespace of the app.
	// +required
	Namespace string `json:"namespace,omitempty"`

	// name of the app.
	// +required
	Name string `json:"name,omitempty"`

	// reason names the annotation and its value, and what to do.
	// +required
	Reason string `json:"reason,omitempty"`
}
