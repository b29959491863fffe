// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/report"
)

// observe joins what the stages returned with the state of everything afterwards, as the caches have it.
func (r *Reconciler) observe(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, in round) report.Observation {
	o := report.Observation{
		Generation: pipeline.Generation, Spec: pipeline.Spec, Version: r.Version,
		Facts: in.facts, Plan: in.plan, Planned: in.planned,
		Workloads: map[string][]cluster.Workload{}, Scrape: r.Scrape(pipeline), Autoscalers: r.Autoscalers(pipeline),
		Pruned: in.pruned, Deregistered: in.deregistered.Deleted,
	}
	failed := func(err error) {
		if err != nil && !apierrors.IsConflict(err) {
			o.Failures = append(o.Failures, report.FailureOf(err))
		}
	}
	for _, problem := range in.facts.Problems {
		failed(problem)
	}
	for _, err := range in.errs {
		failed(err)
	}
	for _, authority := range in.authorities {
		o.Authorities = append(o.Authorities, report.Authority{Issued: authority.Issued,
			CertificateStatus: certificateStatus(authority.Secret, authority.Provider, authority.Expiry, authority.Renewal)})
	}
	for _, outcome := range in.outcomes {
		o.Outcomes = append(o.Outcomes, outcome.Outcome)
	}
	for _, c := range in.plan.Components {
		workloads, err := r.workloads(ctx, c.Component)
		failed(err)
		o.Workloads[c.Name] = workloads
	}
	apiServices, err := r.Facts.MetricsAPIs(ctx)
	if err != nil {
		apiServices = in.facts.APIServices
	}
	o.APIServices = apiServices
	return o
}

// workloads returns the workloads of a component. What can be read of them comes back with an error as well.
func (r *Reconciler) workloads(ctx context.Context, c operand.Component) ([]cluster.Workload, error) {
	var pods corev1.PodList
	podsErr := r.Client.List(ctx, &pods, client.InNamespace(r.Namespace), client.MatchingLabels{
		v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: c.Name})
	if podsErr != nil {
		podsErr = fmt.Errorf("list the pods of %s: %w", c.Name, podsErr)
	}
	var workloads []cluster.Workload
	for _, name := range c.Workloads {
		workload := cluster.Workload{Name: name}
		deployment := &appsv1.Deployment{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, deployment)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("read Deployment %s/%s: %w", r.Namespace, name, err)
		default:
			deployment.SetGroupVersionKind(kinds.Deployment.GroupVersionKind) // The cache strips it.
			workload.Deployment = deployment
			workload.Pods = podsOf(deployment, pods.Items)
			workload.Missing = r.missing(ctx, c, deployment)
		}
		workloads = append(workloads, workload)
	}
	return workloads, podsErr
}

// podsOf returns the pods that a Deployment selects.
func podsOf(deployment *appsv1.Deployment, all []corev1.Pod) []corev1.Pod {
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	return slices.DeleteFunc(slices.Clone(all), func(pod corev1.Pod) bool {
		return err != nil || !selector.Matches(labels.Set(pod.Labels))
	})
}

// missing returns the Secrets and ConfigMaps that the pods of a Deployment refer to, and that do not exist or do not have a key that a
// volume names. What the operator makes itself, and what cannot be read, counts as existing.
func (r *Reconciler) missing(ctx context.Context, c operand.Component, deployment *appsv1.Deployment) []health.Source {
	var missing []health.Source
	for _, source := range health.Sources(deployment.Spec.Template) {
		if source.Optional {
			continue
		}
		keys, err := r.keys(ctx, source.Kind, client.ObjectKey{Namespace: deployment.Namespace, Name: source.Name})
		source.Keys = slices.DeleteFunc(source.Keys, keys.Has)
		switch {
		case err == nil && len(source.Keys) > 0:
			missing = append(missing, source)
		case apierrors.IsNotFound(err) && source.Name != c.Serving && source.Name != c.AccessSecret && source.Name != c.Name:
			source.Keys = nil
			missing = append(missing, source)
		}
	}
	return missing
}

// keys returns those of the data of a Secret or ConfigMap.
func (r *Reconciler) keys(ctx context.Context, kind string, key client.ObjectKey) (sets.Set[string], error) {
	if kind == "ConfigMap" {
		var found corev1.ConfigMap
		err := r.Client.Get(ctx, key, &found)
		return sets.KeySet(found.Data).Union(sets.KeySet(found.BinaryData)), err //nolint:wrapcheck // it is only looked at
	}
	var found corev1.Secret
	err := r.Client.Get(ctx, key, &found)
	return sets.KeySet(found.Data), err //nolint:wrapcheck // as above
}
