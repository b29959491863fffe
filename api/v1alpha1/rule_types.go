// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// MetricRule is what the rules for custom and external metrics share: which series, under which name, and how they
// are queried.
type MetricRule struct {
	// id names the rule among those of its metrics API: lower-case letters, digits and -, at most 63. status.rules refers
	// to it, and by it teams own rules of theirs with server-side apply. A rule that was in use and is changed to one that
	// is rejected goes on to serve in its last good form, which is known by its id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ID string `json:"id,omitempty"`

	// seriesQuery is the PromQL series selector of the series that the rule is about, such as
	// http_requests_total{namespace!="",pod!=""}. One that matches every series makes the adapter read all of them at
	// each relist, so name the metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	SeriesQuery string `json:"seriesQuery,omitempty"`

	// seriesFilters narrow the series by name, where a selector cannot say it. All of them must match.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	SeriesFilters []SeriesFilter `json:"seriesFilters,omitempty"`

	// name says how the metric is called in the metrics API. Unset: as the series.
	// +optional
	Name MetricName `json:"name,omitzero"`

	// metricsQuery is the PromQL that gives the metric's value, a Go template with the delimiters << and >> over
	// .Series, .LabelMatchers, .LabelValuesByName, .GroupBy and .GroupBySlice, such as
	// sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	MetricsQuery string `json:"metricsQuery,omitempty"`
}

// SeriesFilter is a regular expression on the names of series.
//
// +kubebuilder:validation:XValidation:rule="has(self.is) != has(self.isNot)",message="a filter has exactly one of is and isNot"
type SeriesFilter struct {
	// is keeps the series whose name matches this regular expression (RE2).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Is string `json:"is,omitempty"`

	// isNot drops the series whose name matches this regular expression (RE2).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	IsNot string `json:"isNot,omitempty"`
}

// MetricName turns the name of a series into the name of a metric.
type MetricName struct {
	// matches is a regular expression (RE2) on the series' name. Unset: any name.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Matches string `json:"matches,omitempty"`

	// as is the metric's name, with $1 for the first group of matches. Where a letter, a digit or _ follows, the number stands in
	// braces, after the $. Unset: $1 if matches has one group, the whole name if it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	As string `json:"as,omitempty"`
}

// GroupResource names a kind of Kubernetes object.
type GroupResource struct {
	// group is the API group; empty for core.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// resource is the name of the resource, such as namespace or service.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
}

// CustomMetricRule makes custom metrics of series.
type CustomMetricRule struct {
	MetricRule `json:",inline"`

	// resources say which labels of the series name the Kubernetes objects that the metric describes.
	// +required
	Resources ResourceMapping `json:"resources,omitzero"`
}

// ResourceMapping maps labels of series to Kubernetes objects.
//
// +kubebuilder:validation:XValidation:rule="has(self.template) || (has(self.overrides) && size(self.overrides) > 0)",message="resources needs a template or an override, or no label of the series leads to an object: set overrides such as {namespace: {resource: namespace}, pod: {resource: pod}}"
type ResourceMapping struct {
	// template is a Go template with the delimiters << and >> that turns .Group and .Resource into the name of a label,
	// such as kube_<<.Group>>_<<.Resource>>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Template string `json:"template,omitempty"`

	// overrides map names of labels to resources, such as pod: {resource: pod}.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Overrides map[string]GroupResource `json:"overrides,omitempty"`
}

// ExternalMetricRule makes external metrics of series.
//
// +kubebuilder:validation:XValidation:rule="has(self.resources) && ((has(self.resources.namespaced) && !self.resources.namespaced) || has(self.resources.template) || (has(self.resources.overrides) && self.resources.overrides.exists(l, self.resources.overrides[l].resource in ['namespace', 'namespaces'])))",message="an external metric is requested in a namespace: set resources.overrides to the label that names it, such as {namespace: {resource: namespace}}, or resources.namespaced: false if the series belong to no namespace"
type ExternalMetricRule struct {
	MetricRule `json:",inline"`

	// resources say which label of the series names the namespace.
	// +optional
	Resources ExternalResourceMapping `json:"resources,omitzero"`
}

// ExternalResourceMapping maps labels of series to Kubernetes objects.
type ExternalResourceMapping struct {
	// template is a Go template with the delimiters << and >> that turns .Group and .Resource into the name of a label.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Template string `json:"template,omitempty"`

	// overrides map names of labels to resources, such as namespace: {resource: namespace}.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Overrides map[string]GroupResource `json:"overrides,omitempty"`

	// namespaced is true (default) when a query is restricted to the namespace of the HorizontalPodAutoscaler, false
	// when the series belong to no namespace.
	// +optional
	Namespaced *bool `json:"namespaced,omitempty"`
}
