// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

// The operator's own permissions, from which config/rbac/role.yaml is generated together with those beside each operand: the names of
// its objects, and what it is granted. The operator can grant only what it has itself: there is no escalate, and bind on one
// ClusterRole alone. Each permission is proved to be needed, and a name beside each name to be refused: run make test-role after a
// change.
//
// Whatever is written has a name here: a server-side apply that creates an object is authorized as a create with that name. A list
// and a watch are limited to a name by a field selector, which selects one; so a cache of several objects needs all of them.

// What it reads and reports.
// +kubebuilder:rbac:groups=metricspipeline.io,resources=metricspipelines,verbs=list;watch
// +kubebuilder:rbac:groups=metricspipeline.io,resources=metricspipelines/status,resourceNames=default,verbs=patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=list;watch
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=prometheuses;prometheusagents,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// What it reads in kube-system, by name and not by a Role there: a bundle of OLM cannot ship one. It is what the API server publishes
// for backends, and granted to these as well. The API server's own endpoints, in default, it may list with all others, which an operand is
// granted.
// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=extension-apiserver-authentication,verbs=get;list;watch

// What it watches in the whole cluster, to see others' objects of the kind, or drift in its own.
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,verbs=list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,verbs=list;watch

// Monitors of annotated apps, in the apps' namespaces. Their names are known by namespace and app only.
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors;podmonitors,verbs=get;list;watch;create;patch;delete

// What it watches in its own namespace. It reads the Secrets and ConfigMaps that spec.prometheus names. Services, Pods and
// Deployments it may read in the whole cluster, see below.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets;configmaps;serviceaccounts,verbs=list;watch
// +kubebuilder:rbac:groups=policy,namespace=metricspipeline-system,resources=poddisruptionbudgets,verbs=list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=metricspipeline-system,resources=networkpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates;issuers;certificaterequests,verbs=list;watch

// Which nodes there are, of which of them metrics.k8s.io has metrics, and the addresses of those that it asks why it has none.
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=nodes,verbs=list

// Whether a ResourceQuota there lets pods have the priority class system-cluster-critical.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=resourcequotas,verbs=list;watch

// What it deletes there by label: Kubernetes makes up the names of ReplicaSets.
// +kubebuilder:rbac:groups=apps,namespace=metricspipeline-system,resources=replicasets,verbs=list;delete

// The authority of the components' certificates: its own, or one of cert-manager, whose Secret cert-manager writes.
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=metricspipeline-ca,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=metricspipeline-system,resources=secrets,resourceNames=metricspipeline-ca-issued,verbs=patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=certificates,resourceNames=metricspipeline-ca,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=metricspipeline-system,resources=issuers,resourceNames=metricspipeline-ca;metricspipeline-selfsigned,verbs=get;create;patch;delete

// What its own metrics endpoint uses, to find out who calls and whether they may, and what it grants to backends, which do the
// same.
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// What it watches for annotations; that it may read Services also serves the components' own.
// +kubebuilder:rbac:groups="",resources=namespaces;pods;services,verbs=get;list;watch

// The HPAs of the cluster, of which it watches all and reads one that fails. What follows is read of those alone, in their namespaces, to
// say why: what they scale, the pods of that and their usage, and what of KEDA and of the VPA stands above them.
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments/scale;replicasets/scale;statefulsets/scale,verbs=get
// +kubebuilder:rbac:groups="",resources=replicationcontrollers/scale,verbs=get
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=pods,verbs=list
// +kubebuilder:rbac:groups=keda.sh,resources=scaledobjects,verbs=get
// +kubebuilder:rbac:groups=autoscaling.k8s.io,resources=verticalpodautoscalers,verbs=list

// What it watches, the metadata of all and the template of a few, for annotations that belong to the template; that it may list
// Deployments also serves the components' own.
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=list;watch
