// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/internal/apply"
)

// CRDs of others that the operator works with when they are there.
const (
	serviceMonitorCRD = "servicemonitors.monitoring.coreos.com"
	prometheusCRD     = "prometheuses.monitoring.coreos.com"
)

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// served is which kinds of others the cluster serves.
type served struct {
	serviceMonitors bool
	prometheuses    bool
	// pending is true when a CRD is there and the API server does not serve it yet.
	pending bool
	// crds changes when any CRD comes or goes.
	crds string
}

// optionalWatches watches kinds that may be absent: from when their CRD appears until it goes. Without a CRD a watch
// would fail, and be tried again, for ever.
type optionalWatches struct {
	client     client.Client
	controller controller.Controller
	kinds      map[string]optionalKind

	mu      sync.Mutex
	started map[string]bool
}

// optionalKind is a kind by the name of its CRD.
type optionalKind struct {
	gvk    schema.GroupVersionKind
	object client.Object
	cache  cache.Cache
}

// newOptionalWatches returns the watches on ServiceMonitors that carry our label, in managed, and on every Prometheus
// object, in all.
func newOptionalWatches(c client.Client, managed, all cache.Cache) *optionalWatches {
	return &optionalWatches{
		client: c,
		kinds: map[string]optionalKind{
			serviceMonitorCRD: {apply.ServiceMonitor.GroupVersionKind, apply.ServiceMonitor.New(), managed},
			prometheusCRD:     {monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind), &monitoringv1.Prometheus{}, all},
		},
		started: map[string]bool{},
	}
}

// ensure starts and stops the watches to match the CRDs that there are, and returns what is served.
func (w *optionalWatches) ensure(ctx context.Context) (served, error) {
	crds := &metav1.PartialObjectMetadataList{}
	crds.SetGroupVersionKind(crdKind.GroupVersion().WithKind(crdKind.Kind + "List"))
	if err := w.client.List(ctx, crds); err != nil {
		return served{}, fmt.Errorf("list the CRDs: %w", err)
	}
	var names []string
	for _, crd := range crds.Items {
		if crd.DeletionTimestamp == nil {
			names = append(names, crd.Name)
		}
	}
	slices.Sort(names)

	w.mu.Lock()
	defer w.mu.Unlock()
	result := served{crds: strings.Join(names, " ")}
	for name, kind := range w.kinds {
		defined := slices.Contains(names, name)
		present, err := w.isServed(kind.gvk, defined)
		if err != nil {
			return served{}, err
		}
		result.pending = result.pending || defined && !present
		switch {
		case present && !w.started[name]:
			if err := w.controller.Watch(source.Kind(kind.cache, kind.object, toPipeline)); err != nil {
				return served{}, fmt.Errorf("watch %s: %w", name, err)
			}
			w.started[name] = true
		case !present && w.started[name]:
			if err := kind.cache.RemoveInformer(ctx, kind.object); err != nil {
				return served{}, fmt.Errorf("stop watching %s: %w", name, err)
			}
			delete(w.started, name)
		}
	}
	result.serviceMonitors, result.prometheuses = w.started[serviceMonitorCRD], w.started[prometheusCRD]
	return result, nil
}

// isServed is true when there is the CRD and the API server has begun to serve it, which it does a moment later.
func (w *optionalWatches) isServed(gvk schema.GroupVersionKind, defined bool) (bool, error) {
	if !defined {
		return false, nil
	}
	_, err := w.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil && !meta.IsNoMatchError(err) {
		return false, fmt.Errorf("ask the API server whether it serves %s: %w", gvk.Kind, err)
	}
	return err == nil, nil
}
