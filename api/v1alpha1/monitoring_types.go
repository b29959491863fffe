// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// MonitoringPolicy says whether objects of prometheus-operator are made for the stack itself.
//
// +kubebuilder:validation:Enum=Auto;Disabled
type MonitoringPolicy string

const (
	// MonitoringAuto makes them where the cluster serves their kind.
	MonitoringAuto MonitoringPolicy = "Auto"
	// MonitoringDisabled makes none.
	MonitoringDisabled MonitoringPolicy = "Disabled"
)

// DashboardPolicy says whether the dashboard for Grafana is made.
//
// +kubebuilder:validation:Enum=Auto;Enabled;Disabled
type DashboardPolicy string

const (
	// DashboardAuto makes it where the cluster serves ServiceMonitors or PrometheusRules.
	DashboardAuto DashboardPolicy = "Auto"
	// DashboardEnabled makes it on every cluster.
	DashboardEnabled DashboardPolicy = "Enabled"
	// DashboardDisabled makes none.
	DashboardDisabled DashboardPolicy = "Disabled"
)

// MonitoringSpec says how the stack itself is monitored: the operator and the components that it deploys.
type MonitoringSpec struct {
	// monitors are the ServiceMonitors of the operator and of its components: Auto (default) makes them where the cluster serves
	// ServiceMonitors, Disabled makes none. Alerts and dashboard need the metrics of the operator: with Disabled, have Prometheus
	// scrape the Service metricspipeline-operator-metrics in another way.
	// +optional
	// +kubebuilder:default=Auto
	Monitors MonitoringPolicy `json:"monitors,omitempty"`

	// alerts is the PrometheusRule metricspipeline with the alerts about the stack: Auto (default) makes it where the cluster
	// serves PrometheusRules, Disabled makes none.
	// +optional
	// +kubebuilder:default=Auto
	Alerts MonitoringPolicy `json:"alerts,omitempty"`

	// dashboard is the ConfigMap metricspipeline-dashboard, which the sidecar of Grafana takes up by the label grafana_dashboard:
	// "1". Auto (default) makes it where the cluster serves ServiceMonitors or PrometheusRules, Enabled everywhere, Disabled
	// nowhere.
	// +optional
	// +kubebuilder:default=Auto
	Dashboard DashboardPolicy `json:"dashboard,omitempty"`

	// labels are added to the ServiceMonitors, the PrometheusRule and the ConfigMap, beside those that the selectors of the chosen
	// Prometheus demand: set here what a Prometheus behind spec.prometheus.url, or a sidecar of Grafana, selects by. At most 32,
	// each valid as a label of a Kubernetes object.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a key of labels must be a label key such as release or example.com/release: correct the key",messageExpression="'labels[\"' + self.filter(k, format.qualifiedName().validate(k).hasValue())[0] + '\"]: a key of labels must be a label key such as release or example.com/release: correct the key'"
	Labels map[string]LabelValue `json:"labels,omitempty"`
}
