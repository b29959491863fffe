// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

var pipelineRequest = reconcile.Request{NamespacedName: client.ObjectKey{Name: v1alpha1.SingletonName}}

// toPipeline maps every event to the one pipeline.
var toPipeline = handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{pipelineRequest}
})

// subscribe returns the source of everything that a reconcile of the pipeline depends on.
func subscribe(watches *cluster.Watches, objects, prometheuses cache.Cache, options Options) *cluster.Subscriber {
	s := watches.Subscriber(options.Name, pipelineRequest)
	on := func(in cache.Cache, kind kinds.Kind, predicates ...predicate.Predicate) {
		s.On(cluster.Kind{CRD: kind.CRD, GroupVersionKind: kind.GroupVersionKind, Object: kind.New(), Cache: in}, toPipeline, predicates...)
	}
	// Not by the builder's For, whose watch the controller would wait for: an operator that may not list pipelines has to say so.
	s.On(cluster.Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("MetricsPipeline"), Object: &v1alpha1.MetricsPipeline{},
		Cache: objects}, toPipeline, predicate.GenerationChangedPredicate{})
	s.On(watches.CRDs(), toPipeline)
	for _, kind := range kinds.Managed {
		if kind.GroupVersionKind == kinds.APIService.GroupVersionKind {
			on(objects, kind, metricsAPIs)
		} else {
			on(objects, kind)
		}
	}
	on(prometheuses, kinds.Prometheus)
	on(prometheuses, kinds.PrometheusAgent)
	on(objects, kinds.CertificateRequest)
	on(objects, kinds.Namespace, dying(options.Namespace))
	on(objects, kinds.ResourceQuota, quotas)
	on(objects, kinds.Node, comings)
	s.On(cluster.Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), Object: &corev1.Pod{}, Cache: objects}, toPipeline)
	s.On(cluster.Kind{GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
		Object: &discoveryv1.EndpointSlice{}, Cache: objects}, toPipeline)
	return s
}

// metricsAPIs lets through the events of APIServices of metrics APIs.
var metricsAPIs = predicate.NewPredicateFuncs(func(object client.Object) bool {
	_, known := metricsapi.ByName(object.GetName())
	return known
})

// comings lets through that a node comes or goes: kubelets update theirs all the time.
var comings = predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}

// quotas lets through what changes a quota, and not what it counts.
var quotas = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, was := e.ObjectOld.(*corev1.ResourceQuota)
	after, is := e.ObjectNew.(*corev1.ResourceQuota)
	return !was || !is || !equality.Semantic.DeepEqual(before.Spec, after.Spec)
}}

// dying lets through the events of one namespace once it is being deleted.
func dying(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetName() == namespace && !object.GetDeletionTimestamp().IsZero()
	})
}
