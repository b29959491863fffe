// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// monitor is one of the namespace.
type monitor struct {
	metav1.ObjectMeta
	kind      string
	selector  metav1.LabelSelector
	in        monitoringv1.NamespaceSelector
	endpoints int
}

func (m monitor) String() string { return m.kind + " " + m.Name }

// readMonitors takes the monitors that select the pods, and whether Prometheus selects these monitors: who says who scrapes. A monitor of
// another namespace may select them too, and is no concern of this one.
func (a *apps) readMonitors(all []monitor, namespace *metav1.PartialObjectMetadata, who func() (prometheus.Target, error)) {
	found := slices.DeleteFunc(slices.Clone(all), func(one monitor) bool { return !a.selectedByMonitor(one) })
	found = found[:min(len(found), diagnose.MostPods)]
	for _, one := range found {
		a.scrape.Monitors = append(a.scrape.Monitors, one.String())
		a.pools = append(a.pools, prometheus.Pools(one.kind, a.hpa.Namespace, one.Name, one.endpoints)...)
	}
	if len(found) == 0 || namespace == nil || a.pipeline == nil {
		return
	}
	target, err := who()
	if err != nil {
		a.unseen(diagnose.LinkMonitor, "find who scrapes", err)
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
			a.scrape.Unselected = append(a.scrape.Unselected, one.String())
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
	if err != nil || selector.Matches(labels.Set(one.Labels)) {
		return ""
	}
	if selection.Selector == nil {
		return selection.Field + " (not set, which selects none)"
	}
	return fmt.Sprintf("%s %q", selection.Field, metav1.FormatLabelSelector(selection.Selector))
}

// ours is true of a monitor that the operator makes for annotated apps. It selects every Service, and keeps the annotated ones.
func ours(object metav1.ObjectMeta) bool { return object.Labels[v1alpha1.ManagedLabel] != "" }

// monitors reads those of the namespace.
func (c *collection) monitors(ctx context.Context) []monitor {
	var all []monitor
	var services monitoringv1.ServiceMonitorList
	if c.list(ctx, &services, "ServiceMonitors") {
		for _, one := range services.Items {
			all = append(all, monitor{one.ObjectMeta, monitoringv1.ServiceMonitorsKind, one.Spec.Selector, one.Spec.NamespaceSelector,
				len(one.Spec.Endpoints)})
		}
	}
	var pods monitoringv1.PodMonitorList
	if c.list(ctx, &pods, "PodMonitors") {
		for _, one := range pods.Items {
			all = append(all, monitor{one.ObjectMeta, monitoringv1.PodMonitorsKind, one.Spec.Selector, one.Spec.NamespaceSelector,
				len(one.Spec.PodMetricsEndpoints)})
		}
	}
	return all
}

// selectedByMonitor is true where a monitor selects one of the Services or pods. A selector that cannot be read the API server takes, and
// prometheus-operator does not.
func (a *apps) selectedByMonitor(one monitor) bool {
	selector, err := metav1.LabelSelectorAsSelector(&one.selector)
	if err != nil || !covers(one.in, a.hpa.Namespace) {
		return false
	}
	selects := func(kind, name string, of map[string]string) bool {
		return (!ours(one.ObjectMeta) || slices.Contains(a.scrape.Annotated, kind+" "+name)) && selector.Matches(labels.Set(of))
	}
	if one.kind == monitoringv1.PodMonitorsKind {
		return slices.ContainsFunc(a.pods, func(pod corev1.Pod) bool { return selects(kindPod, pod.Name, pod.Labels) })
	}
	return slices.ContainsFunc(a.services, func(service corev1.Service) bool { return selects(kindService, service.Name, service.Labels) })
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
