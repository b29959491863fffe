// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package component turns a spec into the components that should run: one file for each operand, which is the only
// place that knows that operand. It is pure: what the cluster offers comes in as Capabilities.
package component

import (
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Component is one operand as the spec wants it: an asset folder and what to change in it.
type Component struct {
	// Name of the component, of its Deployment, Service and ServiceAccount, and of its folder in the assets.
	Name string
	// Namespace that it runs in.
	Namespace string
	// Image reference that replaces the asset's.
	Image string
	// Variants are the asset's kustomize components to include, by folder.
	Variants []string
	// Files are the data of the component's ConfigMap, which is named like it; none if empty.
	Files map[string]string
	// Patches come from the knobs of the spec.
	Patches []Patch
	// UserPatches come from spec.patches and are applied last. One of them may be about another component.
	UserPatches []v1alpha1.Patch
	// APIs are the metrics APIs that it serves.
	APIs []API
}

// ServingSecret is the name of the Secret with the component's serving certificate.
func (c Component) ServingSecret() string { return c.Name + "-tls" }

// DNSNames are the names that the serving certificate must hold, the one that the API server asks for last.
func (c Component) DNSNames() []string {
	return []string{c.Name, c.Name + "." + c.Namespace, c.Name + "." + c.Namespace + ".svc"}
}

// Labels are on every object that the operator manages: by them it finds the object again, and a person what it is part of.
// name is the component that the object belongs to; empty where it belongs to none.
func Labels(name string) map[string]string {
	labels := map[string]string{
		v1alpha1.ManagedLabel:          v1alpha1.SingletonName,
		"app.kubernetes.io/part-of":    "metricspipeline",
		"app.kubernetes.io/managed-by": v1alpha1.FieldManager,
	}
	if name != "" {
		labels[v1alpha1.ComponentLabel] = name
	}
	return labels
}

// Patch changes one rendered object.
type Patch struct {
	// Kind and Name of the object.
	Kind, Name string
	// Content is a strategic merge patch or a list of JSON 6902 operations.
	Content string
}

// API is one version of a metrics API.
type API struct {
	// Group and Version that the API server delegates.
	Group, Version string
	// VersionPriority orders the versions of one group, the highest first.
	VersionPriority int32
}

// Name of the APIService.
func (a API) Name() string { return a.Version + "." + a.Group }

// The metrics APIs, in the order in which they are reported.
var (
	ResourceMetrics     = API{Group: "metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
	CustomMetricsBeta1  = API{Group: "custom.metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
	CustomMetricsBeta2  = API{Group: "custom.metrics.k8s.io", Version: "v1beta2", VersionPriority: 200}
	ExternalMetricsBeta = API{Group: "external.metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
)

// APIs returns every metrics API there is, whether somebody wants it or not.
func APIs() []API {
	return []API{ResourceMetrics, CustomMetricsBeta1, CustomMetricsBeta2, ExternalMetricsBeta}
}

// Plan is what should exist.
type Plan struct {
	// Components to deploy.
	Components []Component
	// Omitted says why a metrics API is not registered by us, by the APIService's name.
	Omitted map[string]Omission
}

// Omission is why a metrics API is not registered.
type Omission struct {
	// Reason is one of the API's reasons, such as NoRules.
	Reason string
	// Message says what would register it.
	Message string
}

// Backend returns the component that serves an API, if one of the plan does.
func (p Plan) Backend(api API) (Component, bool) {
	for _, c := range p.Components {
		if slices.Contains(c.APIs, api) {
			return c, true
		}
	}
	return Component{}, false
}

// Catalog returns every component with everything that a spec could ask of it: what a patch may be about.
func Catalog() []Component {
	all := []string{variantHighAvailability, variantMonitor}
	return []Component{
		{Name: MetricsServer, Namespace: "catalog", Image: MetricsServer, Variants: all},
		{Name: PrometheusAdapter, Namespace: "catalog", Image: PrometheusAdapter, Variants: all,
			Files: map[string]string{"config.yaml": ""}},
	}
}

// For returns what should exist for a spec on a cluster with the given capabilities.
func For(spec v1alpha1.MetricsPipelineSpec, caps Capabilities) Plan {
	plan := Plan{Omitted: map[string]Omission{}}
	plan.withhold(spec, caps)
	for _, add := range []func(v1alpha1.MetricsPipelineSpec, Capabilities, *Plan){metricsServer, prometheusAdapter} {
		add(spec, caps, &plan)
	}
	return plan
}
