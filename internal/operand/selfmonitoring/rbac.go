// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package selfmonitoring

// What the operator manages for it, by name. It may write ServiceMonitors anyway, for annotated apps.
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=metricspipeline-system,resources=prometheusrules,verbs=list;watch
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=metricspipeline-system,resources=prometheusrules,resourceNames=metricspipeline,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates,resourceNames=self-monitoring,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=self-monitoring-tls,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=self-monitoring-issued,verbs=patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=metricspipeline-dashboard;self-monitoring-last-good,verbs=get;create;patch;delete
