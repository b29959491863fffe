// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsserver

// What the operator manages for it, by name.
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,resourceNames=v1beta1.metrics.k8s.io,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames="metricspipeline:metrics-server";"metricspipeline:resource-metrics-reader",verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames="metricspipeline:metrics-server";"metricspipeline:metrics-server:auth-delegator",verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=serviceaccounts,resourceNames=metrics-server,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=services,resourceNames=metrics-server,verbs=create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=deployments,resourceNames=metrics-server,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=policy,namespace=metricspipeline-system,resources=poddisruptionbudgets,resourceNames=metrics-server,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=metricspipeline-system,resources=networkpolicies,resourceNames=metrics-server,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates,resourceNames=metrics-server,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=metrics-server-tls,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=metrics-server-issued,verbs=patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=metrics-server-last-good,verbs=get;create;patch;delete

// What the operator grants to it: kubelets' metrics, and the nodes and pods that they are about.
// +kubebuilder:rbac:groups="",resources=nodes/metrics,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes;namespaces;pods;services,verbs=get;list;watch

// What the operator grants to viewers and to the HorizontalPodAutoscaler controller.
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=pods;nodes,verbs=get;list;watch
