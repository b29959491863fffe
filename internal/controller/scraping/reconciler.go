// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/controller/optional"
	"github.com/metricspipeline/operator/internal/scrape"
)

// monitorName is the name of a namespace's grouped monitors; those of single Services have the Service's behind it.
const monitorName = "metricspipeline-annotated"

// Reconciler keeps the monitors of one namespace, which is the request's name.
type Reconciler struct {
	// client reads the pipeline, CRDs and namespaces from the manager's cache.
	client client.Client
	// monitors reads and writes monitors in every namespace; prometheuses reads Prometheus objects.
	monitors     client.Client
	prometheuses client.Reader
	applier      *apply.Applier
	optional     *optional.Watches
	index        *index
	failures     failures
	news         news
	pace         pace
	// pendingRetry looks again at a CRD that the API server is about to serve: it says no more when it does.
	pendingRetry time.Duration
}

// Reconcile writes the monitors that a namespace should have, and then deletes the others.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	s, err := r.settings(ctx)
	if err != nil || s == nil {
		return ctrl.Result{}, err
	}
	r.applier.NewSpec(fmt.Sprintf("%s %d", s.pipeline.UID, s.pipeline.Generation))
	r.index.judgeBy(s.rules())
	r.tell("", s.state.Reason+s.state.Message)
	if s.pending {
		return ctrl.Result{RequeueAfter: r.pendingRetry}, nil
	}
	if s.hold || !r.index.ready() {
		return ctrl.Result{}, nil
	}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(namespaceKind)
	err = r.client.Get(ctx, client.ObjectKey{Name: request.Name}, ns)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return ctrl.Result{}, fmt.Errorf("read Namespace %s: %w", request.Name, err)
	}
	if gone || !ns.DeletionTimestamp.IsZero() {
		r.failures.note(request.Name, nil)
		r.news.forget(request.Name)
		return ctrl.Result{}, nil // Gone, or going with all that is in it.
	}
	r.tell(request.Name, labels.FormatLabels(ns.Labels))
	if wait := r.pace.wait(request.Name); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	wanted, err := r.wanted(s, ns)
	if err != nil {
		return ctrl.Result{}, err
	}
	err = r.write(ctx, request.Name, wanted)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil // The CRD or the namespace went meanwhile, and its event brings us back.
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, err // Somebody else was quicker, which is no failure to tell of.
	}
	r.failures.note(request.Name, err)
	var contested *apply.ContestedError
	if errors.As(err, &contested) {
		return ctrl.Result{RequeueAfter: contested.RetryAfter}, nil
	}
	return ctrl.Result{}, err
}

// wanted returns the monitors that a namespace should have.
func (r *Reconciler) wanted(s *settings, ns *metav1.PartialObjectMetadata) ([]*unstructured.Unstructured, error) {
	if s.off || !s.wants(ns.Labels) {
		return nil, nil
	}
	apps := r.index.of(ns.Name)
	services, pods := s.config, s.config
	services.Labels, pods.Labels = s.services, s.pods
	var typed []client.Object
	if s.pipeline.Spec.Scrape.Granularity == v1alpha1.ScrapePerService {
		for _, app := range apps.services {
			typed = append(typed, scrape.ServiceMonitorFor(app, monitorName+"-"+app.Name, services))
		}
	} else if apps.plain || len(apps.special) > 0 {
		typed = append(typed, scrape.ServiceMonitor(ns.Name, monitorName, apps.special, services))
	}
	if apps.pods {
		typed = append(typed, scrape.PodMonitor(ns.Name, monitorName, pods))
	}
	var wanted []*unstructured.Unstructured
	for _, object := range typed {
		u, err := apply.FromTyped(object)
		if err != nil {
			return nil, err
		}
		u.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline",
			Name: s.pipeline.Name, UID: s.pipeline.UID, Controller: ptr.To(true)}})
		wanted = append(wanted, u)
	}
	return wanted, nil
}

// write applies the monitors first and deletes the others after, so that a change of granularity leaves no gap. A monitor that
// somebody else keeps changing is left alone and reported at the end.
func (r *Reconciler) write(ctx context.Context, namespace string, wanted []*unstructured.Unstructured) error {
	keep, changed := map[string]bool{}, false
	var contested *apply.ContestedError
	defer func() {
		if changed {
			r.pace.written(namespace)
			r.index.counted()
		}
	}()
	for _, monitor := range wanted {
		keep[apply.Identity(monitor)] = true
		result, err := r.applier.Apply(ctx, monitor)
		if err != nil && !errors.As(err, &contested) {
			return err
		}
		changed = changed || result != apply.Unchanged
	}
	deleted, err := r.applier.Prune(ctx, apply.Monitors, func(object client.Object) bool {
		return object.GetLabels()[v1alpha1.ComponentLabel] != ComponentName || keep[apply.Identity(object)]
	}, client.InNamespace(namespace))
	changed = changed || len(deleted) > 0
	if err == nil && contested != nil {
		return contested
	}
	return err
}
