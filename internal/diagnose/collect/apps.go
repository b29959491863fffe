// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"
	"sync"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
)

// Kinds of apps.
const (
	kindService = "Service"
	kindPod     = "Pod"
)

// apps are pods that expose metrics, and what leads Prometheus to them.
type apps struct {
	*collection
	// service is whose pods they are; empty for those of the HPA's target.
	service string
	// pods are all that were read, and services those that select one of them.
	pods     []corev1.Pod
	services []corev1.Service
	// scrape is what their metrics have in common, and targetsRead is true once it has the targets.
	scrape      diagnose.Scrape
	targetsRead bool
	// refused is how many targets give samples although their scrape fails.
	refused int
	// rejected is the app that scrape.Rejected is about.
	rejected string
	// pools are the scrape pools of the monitors that select the pods.
	pools []string
}

// mostBehind is of how many Services the pods are read, beside those that select the target's pods.
const mostBehind = 4

// readApps reads which Services select the pods that expose the metrics, which of these and of the pods are annotated, and which monitors
// select them.
func (c *collection) readApps(ctx context.Context) {
	described := c.described()
	if len(c.own.pods) == 0 && len(described) == 0 {
		c.own.begin(c.prefix())
		return
	}
	var list corev1.ServiceList
	if err := c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed)); err != nil {
		c.own.begin(c.prefix())
		c.unseen(diagnose.LinkApp, "list the Services of the namespace", err)
		c.unseen(diagnose.LinkMonitor, "list the Services of the namespace", err)
		return
	}
	for _, service := range list.Items {
		if len(service.Spec.Selector) > 0 && slices.Contains(described, service.Name) && !c.own.selectedBy(service) &&
			len(c.behind) < mostBehind {
			c.behind = append(c.behind, c.readBehind(ctx, service))
		}
	}
	namespace, notScraped := c.readNamespace(ctx)
	who := sync.OnceValues(func() (prometheus.Target, error) { return c.scraper(ctx) })
	monitors := c.monitors(ctx)
	for _, one := range append([]*apps{c.own}, c.behind...) {
		one.begin(c.prefix())
		if len(one.pods) == 0 {
			continue
		}
		one.services = slices.DeleteFunc(slices.Clone(list.Items), func(service corev1.Service) bool { return !one.selectedBy(service) })
		one.scrape.Known, one.scrape.NamespaceNotScraped = true, notScraped
		one.readAnnotations()
		one.readStatus()
		if one.rejected != "" && len(one.scrape.Annotated) > 1 {
			one.scrape.Rejected = one.rejected + ": " + one.scrape.Rejected // It is one of several.
		}
		one.readMonitors(monitors, namespace, who)
	}
}

// begin is what is known of a scrape before it is looked at.
func (a *apps) begin(prefix string) {
	a.scrape = diagnose.Scrape{Up: unknown, Down: unknown, Prefix: prefix}
	if a.service != "" {
		a.scrape.Of = kindService + " " + a.service
	}
}

// described are the Services that metrics of type Object describe.
func (c *collection) described() []string {
	var names []string
	for _, metric := range c.hpa.Spec.Metrics {
		if metric.Object != nil && metric.Object.DescribedObject.Kind == kindService {
			names = append(names, metric.Object.DescribedObject.Name)
		}
	}
	return names
}

// readBehind reads the pods of a Service.
func (c *collection) readBehind(ctx context.Context, service corev1.Service) *apps {
	one := &apps{collection: c, service: service.Name}
	var list corev1.PodList
	err := c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.MatchingLabels(service.Spec.Selector), client.Limit(mostListed))
	if err != nil {
		for _, link := range []diagnose.LinkName{diagnose.LinkScrape, diagnose.LinkMonitor, diagnose.LinkApp} {
			c.unseen(link, "list the pods of Service "+service.Name, err)
		}
	}
	one.pods = list.Items
	slices.SortFunc(one.pods, byTrouble)
	return one
}

// exposing returns what is to expose a metric: the target's own pods, or those behind the Service that it describes. nil where that is
// neither, as for the metrics of an Ingress.
func (c *collection) exposing(metric autoscalingv2.MetricSpec) *apps {
	if metric.Pods != nil {
		return c.own
	}
	if metric.Object == nil {
		return nil
	}
	object, target := metric.Object.DescribedObject, c.hpa.Spec.ScaleTargetRef
	at := slices.IndexFunc(c.behind, func(one *apps) bool { return object.Kind == kindService && one.service == object.Name })
	switch {
	case at >= 0:
		return c.behind[at]
	case c.own.isApp(c.hpa.Namespace, object.Kind, object.Name), object.Kind == target.Kind && object.Name == target.Name:
		return c.own
	default:
		return nil
	}
}

// selectedBy is true where a Service selects one of the pods.
func (a *apps) selectedBy(service corev1.Service) bool {
	selector := labels.SelectorFromSet(service.Spec.Selector)
	return len(service.Spec.Selector) > 0 &&
		slices.ContainsFunc(a.pods, func(pod corev1.Pod) bool { return selector.Matches(labels.Set(pod.Labels)) })
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

// readAnnotations finds the annotated apps that lead to the pods, and why one of them is rejected.
func (a *apps) readAnnotations() {
	reject := func(app string, rejection *scrape.Rejection) {
		if rejection != nil && a.scrape.Rejected == "" {
			a.rejected, a.scrape.Rejected = app, rejection.Reason
		}
	}
	add := func(app string) {
		if !slices.Contains(a.scrape.Annotated, app) && len(a.scrape.Annotated) < diagnose.MostPods {
			a.scrape.Annotated = append(a.scrape.Annotated, app)
		}
	}
	allowed := a.spec().Scrape.SelectorlessServices == v1alpha1.SelectorlessAllow
	for _, service := range a.services {
		if a.honors(v1alpha1.ScrapeServices) && scrape.Wanted(a.prefix(), service.Annotations) {
			add(kindService + " " + service.Name)
			_, rejection := scrape.Classify(scrape.AppOf(&service), a.prefix(), allowed)
			reject(kindService+" "+service.Name, rejection)
		}
	}
	for _, pod := range a.pods {
		if a.honors(v1alpha1.ScrapePods) && scrape.Wanted(a.prefix(), pod.Annotations) {
			add(kindPod + " " + pod.Name)
			_, rejection := scrape.ParsePod(a.prefix(), pod.Annotations)
			reject(kindPod+" "+pod.Name, rejection)
		}
	}
}

// honors is true where annotations of a kind of app count. Without a pipeline they do.
func (c *collection) honors(kind v1alpha1.ScrapeTarget) bool {
	return c.pipeline == nil || slices.Contains(c.pipeline.Spec.Scrape.Targets, kind)
}

// readStatus takes what the status of the pipeline says of the apps, and of the namespace.
func (a *apps) readStatus() {
	if a.pipeline == nil || a.pipeline.Status.Scrape == nil {
		return
	}
	status := a.pipeline.Status.Scrape
	for _, app := range status.Rejected {
		if a.scrape.Rejected == "" && a.isApp(app.Namespace, app.Kind, app.Name) {
			a.rejected, a.scrape.Rejected = app.Kind+" "+app.Name, app.Reason
		}
	}
	for _, app := range status.Down {
		if a.scrape.Error == "" && a.isApp(app.Namespace, app.Kind, app.Name) {
			a.scrape.Error = app.Error
		}
	}
	for _, out := range status.NotScraped {
		if out.Namespace == a.hpa.Namespace && a.scrape.NamespaceNotScraped == "" {
			a.scrape.NamespaceNotScraped = out.Message
		}
	}
}

// isApp is true of an app that leads to the HPA's pods.
func (a *apps) isApp(namespace, kind, name string) bool {
	switch {
	case namespace != a.hpa.Namespace:
		return false
	case kind == kindService:
		return slices.ContainsFunc(a.services, func(service corev1.Service) bool { return service.Name == name })
	default:
		return kind == kindPod && slices.ContainsFunc(a.pods, func(pod corev1.Pod) bool { return pod.Name == name })
	}
}

// running are the names of pods that Prometheus can have targets of, as many as a question has room for.
func (a *apps) running() []string {
	var names []string
	for _, pod := range a.pods {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && len(names) < diagnose.MostPods {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return fitting(names)
}
