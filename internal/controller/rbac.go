// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

// The operator's own permissions, from which config/rbac/role.yaml is generated together with those beside each operand, which it
// grants on. There is neither escalate nor bind, so it can grant only what it has itself. Each one is proved to be needed: run make
// test-role after a change.

// What it reads and reports.
// +kubebuilder:rbac:groups=metricspipeline.io,resources=metricspipelines,verbs=list;watch
// +kubebuilder:rbac:groups=metricspipeline.io,resources=metricspipelines/status,verbs=patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=list;watch
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=prometheuses,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,namespace=default,resources=endpointslices,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// What it manages in the whole cluster.
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors;podmonitors,verbs=get;list;watch;create;patch;delete

// What it manages in its own namespace. Services and Pods it may read in the whole cluster, see below.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets;configmaps;serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=services,verbs=create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=replicasets,verbs=list;delete
// +kubebuilder:rbac:groups=policy,namespace=metricspipeline-system,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=metricspipeline-system,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates;issuers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificaterequests,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,namespace=metricspipeline-system,resources=endpointslices,verbs=list;watch

// What it manages in kube-system: the bindings that let backends read how to authenticate the API server, and that
// ConfigMap, which the bindings grant.
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,namespace=kube-system,resources=rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=kube-system,resources=configmaps,resourceNames=extension-apiserver-authentication,verbs=get;list;watch

// What its own metrics endpoint uses, to find out who calls and whether they may, and what it grants to backends, which do the
// same.
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// What it watches for annotations; that it may read Services also serves the components' own.
// +kubebuilder:rbac:groups="",resources=namespaces;pods;services,verbs=get;list;watch
