// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Kinds of apps.
const (
	kindService = "Service"
	kindPod     = "Pod"
)

// apps are the pods that are to expose a metric, and what leads Prometheus to them.
type apps struct {
	// service is the Service whose pods they are, which a metric describes; empty for the pods of the HPA's target.
	service string
	// pods are all that were read, and services those that select one of them.
	pods     []appPod
	services []appService
	// monitors are those that select the pods or the services, at most diagnose.MostPods of them.
	monitors []monitor
	// scrape is what their metrics have in common, and targetsRead is true once it has the targets.
	scrape      diagnose.Scrape
	targetsRead bool
	// refused is how many targets give samples although their scrape fails.
	refused int
	// rejected is the app that scrape.Rejected is about.
	rejected string
	// pools are the first scrape pools of the monitors.
	pools []string
}

// newApps returns the apps of a Service, or of the target, of which nothing is known yet.
func (c *collection) newApps(service string) *apps {
	a := &apps{service: service, scrape: diagnose.Scrape{Up: unknown, Down: unknown, Prefix: c.prefix()}}
	if service != "" {
		a.scrape.Of = kindService + " " + service
	}
	return a
}

// allApps has the target's first: its pods are what the HPA scales.
func (c *collection) allApps() []*apps { return append([]*apps{c.targetApps}, c.describedApps...) }

// readApps reads which Services select the pods that are to expose the metrics, which of these and of the pods are annotated, and which
// monitors select them.
func (c *collection) readApps(ctx context.Context) {
	described := c.describedServices()
	if len(c.targetApps.pods) == 0 && len(described) == 0 {
		return
	}
	services, more, err := c.listServices(ctx)
	if err != nil {
		c.unseen(diagnose.LinkApp, "list the Services of the namespace", err)
		c.unseen(diagnose.LinkMonitor, "list the Services of the namespace", err)
		return
	}
	c.targetApps.services = slices.DeleteFunc(slices.Clone(services), func(s appService) bool { return !c.ofTarget(s) })
	c.readDescribed(ctx, described, services, more)
	all := slices.DeleteFunc(c.allApps(), func(a *apps) bool { return len(a.pods) == 0 })
	if len(all) == 0 {
		return
	}
	namespace, notScraped := c.readNamespace(ctx)
	for _, a := range all {
		a.scrape.Known, a.scrape.NamespaceNotScraped = true, notScraped
		a.readAnnotations()
		c.readStatus(a)
		if a.rejected != "" && len(a.scrape.Annotated) > 1 {
			a.scrape.Rejected = a.rejected + ": " + a.scrape.Rejected // It is one of several.
		}
	}
	c.readMonitors(ctx, all)
	who := sync.OnceValues(func() (prometheus.Target, error) { return c.scraper(ctx) })
	for _, a := range all {
		c.settleMonitors(a, namespace, who)
	}
}

// readNamespace reads the labels of the namespace, nil where they cannot be read, and why they keep its apps from being scraped.
func (c *collection) readNamespace(ctx context.Context) (namespace *metav1.PartialObjectMetadata, notScraped string) {
	namespace = &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.Objects.Get(ctx, client.ObjectKey{Name: c.hpa.Namespace}, namespace); err != nil {
		c.unseen(diagnose.LinkMonitor, "read Namespace "+c.hpa.Namespace, err)
		return nil, ""
	}
	if c.pipeline == nil {
		return namespace, ""
	}
	selector := c.pipeline.Spec.Scrape.NamespaceSelector
	selected, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case namespace.Labels[v1alpha1.ScrapeOptOutLabel] == "false":
		notScraped = fmt.Sprintf("Namespace %s has the label %s: false", namespace.Name, v1alpha1.ScrapeOptOutLabel)
	case selector != nil && err == nil && !selected.Matches(labels.Set(namespace.Labels)):
		notScraped = fmt.Sprintf("spec.scrape.namespaceSelector %q of MetricsPipeline %s excludes Namespace %s",
			metav1.FormatLabelSelector(selector), c.pipeline.Name, namespace.Name)
	case len(c.pipeline.Spec.Scrape.Targets) == 0:
		notScraped = fmt.Sprintf("spec.scrape.targets of MetricsPipeline %s is empty", c.pipeline.Name)
	}
	return namespace, notScraped
}

// readAnnotations takes the annotated apps that lead to the pods, and why one of them is rejected.
func (a *apps) readAnnotations() {
	take := func(app string, of annotated) {
		if of.wanted && !slices.Contains(a.scrape.Annotated, app) && len(a.scrape.Annotated) < diagnose.MostPods {
			a.scrape.Annotated = append(a.scrape.Annotated, app)
		}
		if of.rejected != "" && a.scrape.Rejected == "" {
			a.rejected, a.scrape.Rejected = app, of.rejected
		}
	}
	for _, service := range a.services {
		take(kindService+" "+service.name, service.annotated)
	}
	for _, pod := range a.pods {
		take(kindPod+" "+pod.name, pod.annotated)
	}
}

// honors is true where annotations of a kind of app count. Without a pipeline they do.
func (c *collection) honors(kind v1alpha1.ScrapeTarget) bool {
	return c.pipeline == nil || slices.Contains(c.pipeline.Spec.Scrape.Targets, kind)
}

// readStatus takes what the status of the pipeline says of the apps, and of the namespace.
func (c *collection) readStatus(a *apps) {
	if c.pipeline == nil || c.pipeline.Status.Scrape == nil {
		return
	}
	status, namespace := c.pipeline.Status.Scrape, c.hpa.Namespace
	for _, app := range status.Rejected {
		if a.scrape.Rejected == "" && app.Namespace == namespace && a.has(app.Kind, app.Name) {
			a.rejected, a.scrape.Rejected = app.Kind+" "+app.Name, app.Reason
		}
	}
	for _, app := range status.Down {
		if a.scrape.Error == "" && app.Namespace == namespace && a.has(app.Kind, app.Name) {
			a.scrape.Error = app.Error
		}
	}
	for _, out := range status.NotScraped {
		if out.Namespace == namespace && a.scrape.NamespaceNotScraped == "" {
			a.scrape.NamespaceNotScraped = out.Message
		}
	}
}

// has is true of a Service or Pod of the HPA's namespace that leads to the pods.
func (a *apps) has(kind, name string) bool {
	if kind == kindService {
		return slices.ContainsFunc(a.services, func(service appService) bool { return service.name == name })
	}
	return kind == kindPod && slices.ContainsFunc(a.pods, func(pod appPod) bool { return pod.name == name })
}

// selectedBy is true where a Service selects one of the pods.
func (a *apps) selectedBy(service appService) bool {
	selector := service.selector.AsSelector()
	return len(service.selector) > 0 && slices.ContainsFunc(a.pods, func(pod appPod) bool { return selector.Matches(pod.labels) })
}

// running are the names of pods that Prometheus can have targets of, as many as a question has room for.
func (a *apps) running() []string {
	var names []string
	for _, pod := range a.pods {
		if pod.runs && len(names) < diagnose.MostPods {
			names = append(names, pod.name)
		}
	}
	slices.Sort(names)
	return fitting(names)
}
