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

// monitor is what is kept of one.
type monitor struct {
	kind, name string
	labels     labels.Set
	endpoints  int
}

func (m monitor) String() string { return m.kind + " " + m.name }

// readMonitors takes the monitors of the namespace that select the pods of some apps. A monitor of another namespace may select them too,
// and is no concern of this one.
func (c *collection) readMonitors(ctx context.Context, all []*apps) {
	take := func(kind string, object metav1.ObjectMeta, wanted metav1.LabelSelector, in monitoringv1.NamespaceSelector, endpoints int) {
		selector, err := metav1.LabelSelectorAsSelector(&wanted)
		if err != nil || !covers(in, c.hpa.Namespace) {
			return // A selector that cannot be read the API server takes, and prometheus-operator does not.
		}
		for _, a := range all {
			if len(a.monitors) < diagnose.MostPods && a.monitoredBy(kind, selector, ours(object)) {
				a.monitors = append(a.monitors, monitor{kind, object.Name, fewLabels(object.Labels), min(endpoints, mostPools)})
			}
		}
	}
	var services monitoringv1.ServiceMonitorList
	if c.list(ctx, &services, "ServiceMonitors") {
		for _, one := range services.Items {
			take(monitoringv1.ServiceMonitorsKind, one.ObjectMeta, one.Spec.Selector, one.Spec.NamespaceSelector, len(one.Spec.Endpoints))
		}
	}
	services.Items = nil // Before the next list is read.
	var pods monitoringv1.PodMonitorList
	if c.list(ctx, &pods, "PodMonitors") {
		for _, one := range pods.Items {
			take(monitoringv1.PodMonitorsKind, one.ObjectMeta, one.Spec.Selector, one.Spec.NamespaceSelector,
				len(one.Spec.PodMetricsEndpoints))
		}
	}
}

// monitoredBy is true where a monitor selects one of the Services or pods, of the operator's own one that is annotated.
func (a *apps) monitoredBy(kind string, selector labels.Selector, ours bool) bool {
	selects := func(app string, of labels.Set) bool {
		return (!ours || slices.Contains(a.scrape.Annotated, app)) && selector.Matches(of)
	}
	if kind == monitoringv1.PodMonitorsKind {
		return slices.ContainsFunc(a.pods, func(pod appPod) bool { return selects(kindPod+" "+pod.name, pod.labels) })
	}
	return slices.ContainsFunc(a.services, func(service appService) bool { return selects(kindService+" "+service.name, service.labels) })
}

// settleMonitors says which monitors select the pods, and whether Prometheus selects these: who says who scrapes.
func (c *collection) settleMonitors(a *apps, namespace *metav1.PartialObjectMetadata, who func() (prometheus.Target, error)) {
	for _, m := range a.monitors {
		a.scrape.Monitors = append(a.scrape.Monitors, m.String())
		a.pools = append(a.pools, prometheus.Pools(m.kind, c.hpa.Namespace, m.name, m.endpoints)...)
	}
	if len(a.monitors) == 0 || namespace == nil || c.pipeline == nil {
		return
	}
	target, err := who()
	if err != nil {
		c.unseen(diagnose.LinkMonitor, "find who scrapes", err)
		return
	}
	for _, m := range a.monitors {
		selection := target.ServiceMonitors
		if m.kind == monitoringv1.PodMonitorsKind {
			selection = target.PodMonitors
		}
		if selection == nil {
			continue // A URL alone: who reads monitors for it is not known.
		}
		if excluded := excludes(*selection, m, namespace); excluded != "" {
			a.scrape.Unselected = append(a.scrape.Unselected, m.String())
			a.scrape.Selector = excluded
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
	if err != nil || selector.Matches(one.labels) {
		return ""
	}
	if selection.Selector == nil {
		return selection.Field + " (not set, which selects none)"
	}
	return fmt.Sprintf("%s %q", selection.Field, metav1.FormatLabelSelector(selection.Selector))
}

// ours is true of a monitor that the operator makes for annotated apps. It selects every Service, and keeps the annotated ones.
func ours(object metav1.ObjectMeta) bool { return object.Labels[v1alpha1.ManagedLabel] != "" }

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
