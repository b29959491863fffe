// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

// What the operator manages for it, by name.
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,resourceNames=v1beta1.custom.metrics.k8s.io;v1beta2.custom.metrics.k8s.io;v1beta1.external.metrics.k8s.io,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames="metricspipeline:prometheus-adapter";"metricspipeline:application-metrics-reader",verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames="metricspipeline:prometheus-adapter";"metricspipeline:prometheus-adapter:aggregate";"metricspipeline:prometheus-adapter:auth-delegator";"metricspipeline:application-metrics-reader:horizontal-pod-autoscaler",verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=serviceaccounts,resourceNames=prometheus-adapter,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=services,resourceNames=prometheus-adapter,verbs=create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=deployments,resourceNames=prometheus-adapter,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=policy,namespace=metricspipeline-system,resources=poddisruptionbudgets,resourceNames=prometheus-adapter,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=metricspipeline-system,resources=networkpolicies,resourceNames=prometheus-adapter,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates,resourceNames=prometheus-adapter,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=prometheus-adapter-tls;prometheus-adapter-access,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=prometheus-adapter-issued,verbs=patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=prometheus-adapter;prometheus-adapter-last-good,verbs=get;create;patch;delete

// What the operator grants to it: what it lists to turn selectors into names, and whatever others add to the role that collects it,
// which the operator itself has not.
// +kubebuilder:rbac:groups="",resources=nodes;namespaces;pods;services,verbs=get;list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=metricspipeline-prometheus-adapter-aggregate,verbs=bind

// What the operator grants to viewers and to the HorizontalPodAutoscaler controller. The resources are the metrics themselves,
// which cannot be listed beforehand.
// +kubebuilder:rbac:groups=custom.metrics.k8s.io;external.metrics.k8s.io,resources=*,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=pods;nodes,verbs=get;list;watch
