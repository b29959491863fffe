// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
)

// mostDescribed is of how many Services that metrics describe the pods are read, beside those of the target's pods.
const mostDescribed = 4

// describedServices are the names of Services that metrics of type Object describe, in the order of the metrics.
func (c *collection) describedServices() []string {
	var names []string
	for _, metric := range c.hpa.Spec.Metrics {
		if metric.Object == nil || diagnose.CoreKind(metric.Object.DescribedObject) != kindService {
			continue
		}
		if name := metric.Object.DescribedObject.Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readDescribed reads the pods of described Services that are not the target's. Where more is true there are other Services than these.
func (c *collection) readDescribed(ctx context.Context, described []string, services []appService, more bool) {
	pods := map[string][]appPod{} // By selector: several Services may have the same.
	tried := 0
	for _, name := range described {
		if c.targetApps.has(kindService, name) {
			continue
		}
		at := slices.IndexFunc(services, func(s appService) bool { return s.name == name })
		if at < 0 && !more || at >= 0 && len(services[at].selector) == 0 {
			continue
		}
		a := c.newApps(name)
		if tried++; tried > mostDescribed {
			a.scrape.Unseen = fmt.Sprintf("%s is not looked at: of one HorizontalPodAutoscaler the pods of %d described Services are read",
				a.scrape.Of, mostDescribed)
			c.describedApps = append(c.describedApps, a)
			continue
		}
		if at >= 0 {
			c.readService(ctx, a, services[at], services, pods)
			continue
		}
		found, _, err := c.listServices(ctx, client.MatchingFields{"metadata.name": name})
		switch {
		case err != nil:
			a.scrape.Unseen = fmt.Sprintf("list Service %s: %v", name, err)
			c.describedApps = append(c.describedApps, a)
		case len(found) > 0 && c.ofTarget(found[0]):
			c.targetApps.services = append(c.targetApps.services, found[0])
		case len(found) > 0 && len(found[0].selector) > 0:
			c.readService(ctx, a, found[0], append(found, services...), pods)
		}
	}
}

// readService reads the pods of a described Service, and which of the Services select them.
func (c *collection) readService(ctx context.Context, a *apps, service appService, services []appService, read map[string][]appPod) {
	selector := service.selector.String()
	pods, known := read[selector]
	if !known {
		var list corev1.PodList
		err := c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.MatchingLabels(service.selector),
			client.MatchingFields{"status.phase": string(corev1.PodRunning)}, client.Limit(diagnose.MostPods))
		if err != nil {
			a.scrape.Unseen = fmt.Sprintf("list the pods of Service %s: %v", a.service, err)
			c.describedApps = append(c.describedApps, a)
			return
		}
		pods = c.keepPods(list.Items)
		read[selector] = pods
	}
	if len(pods) == 0 && c.evidence.Target.Selector == "" {
		return // It may be the target's own.
	}
	c.describedApps = append(c.describedApps, a)
	a.pods = pods
	a.services = slices.DeleteFunc(slices.Clone(services), func(s appService) bool { return !a.selectedBy(s) })
	if len(pods) == 0 {
		a.scrape.Known, a.scrape.Up, a.scrape.Down, a.scrape.NoPods = true, 0, 0, selector
	}
}

// ofTarget is true of a Service of the target's pods: it selects one of them or, where there are none, would by its selector.
func (c *collection) ofTarget(service appService) bool {
	if len(c.targetApps.pods) > 0 {
		return c.targetApps.selectedBy(service)
	}
	target, err := labels.Parse(c.evidence.Target.Selector)
	if err != nil || c.evidence.Target.Selector == "" || len(service.selector) == 0 {
		return false
	}
	if target.Matches(service.selector) {
		return true // It selects pods that the target's selector selects, and no others.
	}
	for key, value := range service.selector {
		if of, exact := target.RequiresExactMatch(key); !exact || of != value {
			return false
		}
	}
	return true
}

// exposer returns the apps that are to expose a metric: the target's, or those of the Service that it describes. nil where that is
// neither, as for the metrics of an Ingress.
func (c *collection) exposer(metric autoscalingv2.MetricSpec) *apps {
	if metric.Pods != nil {
		return c.targetApps
	}
	if metric.Object == nil {
		return nil
	}
	object, target := metric.Object.DescribedObject, c.hpa.Spec.ScaleTargetRef
	kind := diagnose.CoreKind(object)
	at := slices.IndexFunc(c.describedApps, func(a *apps) bool { return kind == kindService && a.service == object.Name })
	switch {
	case at >= 0:
		return c.describedApps[at]
	case c.targetApps.has(kind, object.Name), object.Kind == target.Kind && object.Name == target.Name:
		return c.targetApps
	default:
		return nil
	}
}
