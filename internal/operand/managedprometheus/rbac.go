// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

// What the operator manages for it, by name.
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,resourceNames="metricspipeline:managed-prometheus",verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=serviceaccounts,resourceNames=managed-prometheus,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=services,resourceNames=managed-prometheus,verbs=create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=deployments,resourceNames=managed-prometheus,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=metricspipeline-system,resources=prometheuses,resourceNames=metricspipeline,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=policy,namespace=metricspipeline-system,resources=poddisruptionbudgets,resourceNames=managed-prometheus,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=metricspipeline-system,resources=networkpolicies,resourceNames=managed-prometheus,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates,resourceNames=managed-prometheus,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=managed-prometheus-tls;managed-prometheus-access,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=managed-prometheus-issued,verbs=patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=managed-prometheus;managed-prometheus-last-good,verbs=get;create;patch;delete

// The scrape configurations of annotated apps, which the controller of monitors writes for it.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=managed-prometheus-scrape-0;managed-prometheus-scrape-1;managed-prometheus-scrape-2;managed-prometheus-scrape-3;managed-prometheus-scrape-4;managed-prometheus-scrape-5;managed-prometheus-scrape-6;managed-prometheus-scrape-7,verbs=get;create;patch;delete

// Its volume, where spec.prometheus.managed.storage claims one.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=persistentvolumeclaims,verbs=list;watch
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=persistentvolumeclaims,resourceNames=managed-prometheus,verbs=get;create;patch;delete

// What the operator grants to it: what service discovery lists, and the kubelets' metrics.
// +kubebuilder:rbac:groups="",resources=nodes;pods;services,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=nodes/metrics,verbs=get

// The scrape configurations of annotated apps, where a Prometheus of its own reads them and there are no monitors.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=configmaps,resourceNames=managed-prometheus-scrape-0;managed-prometheus-scrape-1;managed-prometheus-scrape-2;managed-prometheus-scrape-3;managed-prometheus-scrape-4;managed-prometheus-scrape-5;managed-prometheus-scrape-6;managed-prometheus-scrape-7,verbs=get;create;patch;delete
