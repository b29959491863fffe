// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package optional watches kinds of others that may be absent: from when their CRD appears until it goes. Without a CRD a
// watch would fail, and be tried again, for ever.
package optional

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// CRDs of others whose objects the operator reads when they are there.
const (
	PrometheusCRD         = "prometheuses.monitoring.coreos.com"
	CertificateRequestCRD = "certificaterequests.cert-manager.io"
)

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// Kind is a kind by its CRD.
type Kind struct {
	// CRD is the name of the CRD.
	CRD string
	// GroupVersionKind of the objects, and Object an empty one in the form that Cache holds.
	schema.GroupVersionKind
	Object client.Object
	Cache  cache.Cache
	// Handler of the objects' events.
	Handler handler.EventHandler
}

// Watches are the watches of one controller on optional kinds.
type Watches struct {
	client     client.Client
	controller controller.Controller
	kinds      []Kind

	mu      sync.Mutex
	started map[string]bool
}

// Served is which kinds the cluster serves.
type Served struct {
	kinds map[string]bool
	// Pending is true when a CRD is there and the API server does not serve it yet.
	Pending bool
	// CRDs changes when any CRD comes or goes.
	CRDs string
}

// Has is true when the kind of a CRD is served and watched.
func (s Served) Has(crd string) bool { return s.kinds[crd] }

// New returns watches that have not begun; c reads the CRDs.
func New(c client.Client, kinds ...Kind) *Watches {
	return &Watches{client: c, kinds: kinds, started: map[string]bool{}}
}

// Start lets the watches feed a controller.
func (w *Watches) Start(c controller.Controller) { w.controller = c }

// CRDMetadata returns an empty CRD in the form that the cache has to hold.
func CRDMetadata() client.Object {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(crdKind)
	return object
}

// Ensure starts and stops the watches to match the CRDs that there are, and returns what is served.
func (w *Watches) Ensure(ctx context.Context) (Served, error) {
	crds := &metav1.PartialObjectMetadataList{}
	crds.SetGroupVersionKind(crdKind.GroupVersion().WithKind(crdKind.Kind + "List"))
	if err := w.client.List(ctx, crds); err != nil {
		return Served{}, fmt.Errorf("list the CRDs: %w", err)
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
	result := Served{kinds: map[string]bool{}, CRDs: strings.Join(names, " ")}
	for _, kind := range w.kinds {
		defined := slices.Contains(names, kind.CRD)
		served, err := w.isServed(kind, defined)
		if err != nil {
			return Served{}, err
		}
		result.Pending = result.Pending || defined && !served
		result.kinds[kind.CRD] = served
		switch {
		case served && !w.started[kind.CRD]:
			if err := w.controller.Watch(source.Kind(kind.Cache, kind.Object, kind.Handler)); err != nil {
				return Served{}, fmt.Errorf("watch %s: %w", kind.CRD, err)
			}
			w.started[kind.CRD] = true
		case !served && w.started[kind.CRD]:
			if err := kind.Cache.RemoveInformer(ctx, kind.Object); err != nil {
				return Served{}, fmt.Errorf("stop watching %s: %w", kind.CRD, err)
			}
			delete(w.started, kind.CRD)
		}
	}
	return result, nil
}

// Watching is true while the kind of a CRD is watched.
func (w *Watches) Watching(crd string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started[crd]
}

// isServed is true when there is the CRD and the API server has begun to serve it, which it does a moment later.
func (w *Watches) isServed(kind Kind, defined bool) (bool, error) {
	if !defined {
		return false, nil
	}
	_, err := w.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil && !meta.IsNoMatchError(err) {
		return false, fmt.Errorf("ask the API server whether it serves %s: %w", kind.Kind, err)
	}
	return err == nil, nil
}
