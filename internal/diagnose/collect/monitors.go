// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// monitor is one of the namespace that selects the HPA's pods.
type monitor struct {
	kind, name string
	labels     map[string]string
	endpoints  int
}

func (m monitor) String() string { return m.kind + " " + m.name }

// readMonitors reads the monitors of the namespace that select the pods, and whether Prometheus selects these monitors. A monitor of
// another namespace may select them too, and is no concern of this one.
func (c *collection) readMonitors(ctx context.Context, namespace *metav1.PartialObjectMetadata) {
	found := slices.Concat(c.serviceMonitors(ctx), c.podMonitors(ctx))
	found = found[:min(len(found), diagnose.MostPods)]
	for _, one := range found {
		c.scrape.Monitors = append(c.scrape.Monitors, one.String())
		c.pools = append(c.pools, prometheus.Pools(one.kind, c.hpa.Namespace, one.name, one.endpoints)...)
	}
	if len(found) == 0 || namespace == nil || c.pipeline == nil {
		return
	}
	target, err := c.scraper(ctx)
	if err != nil {
		c.unseen(diagnose.LinkMonitor, "find who scrapes", err)
		return
	}
	for _, one := range found {
		selection := target.ServiceMonitors
		if one.kind == monitoringv1.PodMonitorsKind {
			selection = target.PodMonitors
		}
		if selection == nil {
			continue // A URL alone: who reads monitors for it is not known.
		}
		if excluded := excludes(*selection, one, namespace); excluded != "" {
			c.scrape.Unselected = append(c.scrape.Unselected, one.String())
			c.scrape.Selector = excluded
		}
	}
}

// excludes returns the selector that keeps a Prometheus from using a monitor; empty where it uses it, or its selectors cannot be read.
func excludes(selection prometheus.Selection, one monitor, namespace *metav1.PartialObjectMetadata) string {
	if selection.Never != "" {
		return selection.Never
	}
	if inside, err := selection.SelectsNamespace(namespace.Name, namespace.Labels); err == nil && !inside {
		return fmt.Sprintf("%s (%s)", selection.NamespaceField, selection.Where())
	}
	selector, err := metav1.LabelSelectorAsSelector(selection.Selector) // Of nil nothing.
	if err != nil || selector.Matches(labels.Set(one.labels)) {
		return ""
	}
	if selection.Selector == nil {
		return selection.Field + " (not set, which selects none)"
	}
	return fmt.Sprintf("%s %q", selection.Field, metav1.FormatLabelSelector(selection.Selector))
}

// ours is true of a monitor that the operator makes for annotated apps. It selects every Service, and keeps the annotated ones.
func ours(object metav1.ObjectMeta) bool { return object.Labels[v1alpha1.ManagedLabel] != "" }

func (c *collection) serviceMonitors(ctx context.Context) []monitor {
	var list monitoringv1.ServiceMonitorList
	if !c.list(ctx, &list, "ServiceMonitors") {
		return nil
	}
	services := map[string]labels.Set{}
	for _, service := range c.services {
		services[service.Name] = service.Labels
	}
	var found []monitor
	for _, one := range list.Items {
		if c.selects(one.ObjectMeta, one.Spec.Selector, one.Spec.NamespaceSelector, kindService, services) {
			found = append(found, monitor{monitoringv1.ServiceMonitorsKind, one.Name, one.Labels, len(one.Spec.Endpoints)})
		}
	}
	return found
}

func (c *collection) podMonitors(ctx context.Context) []monitor {
	var list monitoringv1.PodMonitorList
	if !c.list(ctx, &list, "PodMonitors") {
		return nil
	}
	pods := map[string]labels.Set{}
	for _, pod := range c.pods {
		pods[pod.Name] = pod.Labels
	}
	var found []monitor
	for _, one := range list.Items {
		if c.selects(one.ObjectMeta, one.Spec.Selector, one.Spec.NamespaceSelector, kindPod, pods) {
			found = append(found, monitor{monitoringv1.PodMonitorsKind, one.Name, one.Labels, len(one.Spec.PodMetricsEndpoints)})
		}
	}
	return found
}

// selects is true of a monitor that selects one of the HPA's Services or pods, by their names. A selector that cannot be read the API
// server takes, and prometheus-operator does not.
func (c *collection) selects(
	of metav1.ObjectMeta, by metav1.LabelSelector, in monitoringv1.NamespaceSelector, kind string, candidates map[string]labels.Set,
) bool {
	selector, err := metav1.LabelSelectorAsSelector(&by)
	if err != nil || !covers(in, c.hpa.Namespace) {
		return false
	}
	for name, set := range candidates {
		if (!ours(of) || slices.Contains(c.scrape.Annotated, kind+" "+name)) && selector.Matches(set) {
			return true
		}
	}
	return false
}

// covers is true where a monitor in a namespace selects objects of that namespace.
func covers(selector monitoringv1.NamespaceSelector, namespace string) bool {
	return selector.Any || len(selector.MatchNames) == 0 || slices.Contains(selector.MatchNames, namespace)
}

// list reads monitors of a kind. Where the kind is not served there are none.
func (c *collection) list(ctx context.Context, list client.ObjectList, what string) bool {
	err := c.Objects.List(ctx, list, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed))
	if err != nil && !absent(err) {
		c.unseen(diagnose.LinkMonitor, "list the "+what+" of the namespace", err)
	}
	return err == nil
}

// scraper returns who scrapes. Read live, it is the one object that the pipeline names, by its spec or by its status.
func (c *collection) scraper(ctx context.Context) (prometheus.Target, error) {
	if c.Scraper != nil {
		return c.Scraper(ctx, c.pipeline)
	}
	spec, chosen := c.pipeline.Spec.Prometheus, prometheus.Chosen(c.pipeline.Status)
	ref := spec.Ref
	if ref == nil && spec.URL == "" {
		ref = chosen
	}
	objects := prometheus.Objects{Served: true}
	if ref == nil {
		return prometheus.Target{}, nil
	}
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if ref.Kind == v1alpha1.KindPrometheusAgent {
		var agent monitoringv1alpha1.PrometheusAgent
		if err := c.Objects.Get(ctx, key, &agent); err != nil {
			return prometheus.Target{}, err //nolint:wrapcheck // it names the object
		}
		objects.Agents = []monitoringv1alpha1.PrometheusAgent{agent}
	} else {
		var found monitoringv1.Prometheus
		if err := c.Objects.Get(ctx, key, &found); err != nil {
			return prometheus.Target{}, err //nolint:wrapcheck // it names the object
		}
		objects.Prometheuses = []monitoringv1.Prometheus{found}
	}
	return prometheus.Scraper(spec, objects, chosen) //nolint:wrapcheck // it is explained
}
