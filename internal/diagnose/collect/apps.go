// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/scrape"
)

// Kinds of apps.
const (
	kindService = "Service"
	kindPod     = "Pod"
)

// readApps reads which Services select the HPA's pods, which of these and of the pods are annotated, and which monitors select them.
func (c *collection) readApps(ctx context.Context) {
	c.scrape.Up, c.scrape.Down, c.scrape.Prefix = unknown, unknown, c.prefix()
	if len(c.pods) == 0 {
		return
	}
	var list corev1.ServiceList
	if err := c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed)); err != nil {
		c.unseen(diagnose.LinkApp, "list the Services of the namespace", err)
		c.unseen(diagnose.LinkMonitor, "list the Services of the namespace", err)
		return
	}
	for _, service := range list.Items {
		if len(service.Spec.Selector) > 0 && c.selectsAPod(labels.SelectorFromSet(service.Spec.Selector)) {
			c.services = append(c.services, service)
		}
	}
	c.scrape.Known = true
	namespace := c.readNamespace(ctx)
	c.readAnnotations()
	c.readStatus()
	if c.rejected != "" && len(c.scrape.Annotated) > 1 {
		c.scrape.Rejected = c.rejected + ": " + c.scrape.Rejected // It is one of several.
	}
	c.readMonitors(ctx, namespace)
}

func (c *collection) selectsAPod(selector labels.Selector) bool {
	return slices.ContainsFunc(c.pods, func(pod corev1.Pod) bool { return selector.Matches(labels.Set(pod.Labels)) })
}

// readNamespace reads the labels of the namespace, and whether they have its apps scraped; nil where they cannot be read.
func (c *collection) readNamespace(ctx context.Context) *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.Objects.Get(ctx, client.ObjectKey{Name: c.hpa.Namespace}, namespace); err != nil {
		c.unseen(diagnose.LinkMonitor, "read Namespace "+c.hpa.Namespace, err)
		return nil
	}
	if c.pipeline == nil {
		return namespace
	}
	selector := c.pipeline.Spec.Scrape.NamespaceSelector
	selected, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case namespace.Labels[v1alpha1.ScrapeOptOutLabel] == "false":
		c.scrape.NamespaceNotScraped = fmt.Sprintf("Namespace %s has the label %s: false", namespace.Name, v1alpha1.ScrapeOptOutLabel)
	case selector != nil && err == nil && !selected.Matches(labels.Set(namespace.Labels)):
		c.scrape.NamespaceNotScraped = fmt.Sprintf("spec.scrape.namespaceSelector %q of MetricsPipeline %s excludes Namespace %s",
			metav1.FormatLabelSelector(selector), c.pipeline.Name, namespace.Name)
	case len(c.pipeline.Spec.Scrape.Targets) == 0:
		c.scrape.NamespaceNotScraped = fmt.Sprintf("spec.scrape.targets of MetricsPipeline %s is empty", c.pipeline.Name)
	}
	return namespace
}

// readAnnotations finds the annotated apps that lead to the pods, and why one of them is rejected.
func (c *collection) readAnnotations() {
	reject := func(app string, rejection *scrape.Rejection) {
		if rejection != nil && c.scrape.Rejected == "" {
			c.rejected, c.scrape.Rejected = app, rejection.Reason
		}
	}
	add := func(app string) {
		if !slices.Contains(c.scrape.Annotated, app) && len(c.scrape.Annotated) < diagnose.MostPods {
			c.scrape.Annotated = append(c.scrape.Annotated, app)
		}
	}
	allowed := c.spec().Scrape.SelectorlessServices == v1alpha1.SelectorlessAllow
	for _, service := range c.services {
		if c.honors(v1alpha1.ScrapeServices) && scrape.Wanted(c.prefix(), service.Annotations) {
			add(kindService + " " + service.Name)
			_, rejection := scrape.Classify(scrape.AppOf(&service), c.prefix(), allowed)
			reject(kindService+" "+service.Name, rejection)
		}
	}
	for _, pod := range c.pods {
		if c.honors(v1alpha1.ScrapePods) && scrape.Wanted(c.prefix(), pod.Annotations) {
			add(kindPod + " " + pod.Name)
			_, rejection := scrape.ParsePod(c.prefix(), pod.Annotations)
			reject(kindPod+" "+pod.Name, rejection)
		}
	}
}

// honors is true where annotations of a kind of app count. Without a pipeline they do.
func (c *collection) honors(kind v1alpha1.ScrapeTarget) bool {
	return c.pipeline == nil || slices.Contains(c.pipeline.Spec.Scrape.Targets, kind)
}

// readStatus takes what the status of the pipeline says of the apps, and of the namespace.
func (c *collection) readStatus() {
	if c.pipeline == nil || c.pipeline.Status.Scrape == nil {
		return
	}
	status := c.pipeline.Status.Scrape
	for _, app := range status.Rejected {
		if c.scrape.Rejected == "" && c.isApp(app.Namespace, app.Kind, app.Name) {
			c.rejected, c.scrape.Rejected = app.Kind+" "+app.Name, app.Reason
		}
	}
	for _, app := range status.Down {
		if c.scrape.Error == "" && c.isApp(app.Namespace, app.Kind, app.Name) {
			c.scrape.Error = app.Error
		}
	}
	for _, out := range status.NotScraped {
		if out.Namespace == c.hpa.Namespace && c.scrape.NamespaceNotScraped == "" {
			c.scrape.NamespaceNotScraped = out.Message
		}
	}
}

// isApp is true of an app that leads to the HPA's pods.
func (c *collection) isApp(namespace, kind, name string) bool {
	switch {
	case namespace != c.hpa.Namespace:
		return false
	case kind == kindService:
		return slices.ContainsFunc(c.services, func(service corev1.Service) bool { return service.Name == name })
	default:
		return kind == kindPod && slices.ContainsFunc(c.pods, func(pod corev1.Pod) bool { return pod.Name == name })
	}
}
