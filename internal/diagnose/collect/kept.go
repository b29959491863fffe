// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/text"
)

// The lists of pods, Services and monitors are of the size that tenants choose, up to longestAnswer each. Of their objects no more is kept
// than what follows, so that one list is in memory at a time.

// Bounds of what is kept of an object, in bytes: of its labels and its selector, which are far shorter as people and tools write them, and
// of why its annotations are refused.
const (
	longestLabels    = 4 << 10
	longestRejection = 400
)

// appPod is what is kept of a pod.
type appPod struct {
	name   string
	labels labels.Set
	// runs is true where Prometheus can have a target of it.
	runs bool
	annotated
}

// appService is what is kept of a Service.
type appService struct {
	name             string
	labels, selector labels.Set
	annotated
}

// annotated is what the annotations of an app say.
type annotated struct {
	// wanted is true where they request scraping, and rejected is why they are refused.
	wanted   bool
	rejected string
}

// keepPods returns what is kept of pods, of which it changes the order: first those of which there is something to say.
func (c *collection) keepPods(pods []corev1.Pod) []appPod {
	slices.SortFunc(pods, byTrouble)
	kept := make([]appPod, 0, len(pods))
	for _, pod := range pods {
		app := appPod{name: pod.Name, labels: fewLabels(pod.Labels),
			runs: pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil}
		if c.honors(v1alpha1.ScrapePods) && scrape.Wanted(c.prefix(), pod.Annotations) {
			_, rejection := scrape.ParsePod(c.prefix(), pod.Annotations)
			app.annotated = annotated{true, reasonOf(rejection)}
		}
		kept = append(kept, app)
	}
	return kept
}

// listServices lists those of the namespace. More is true where there are others beside these.
func (c *collection) listServices(ctx context.Context, options ...client.ListOption) (kept []appService, more bool, err error) {
	var list corev1.ServiceList
	options = append(options, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed))
	if err := c.Objects.List(ctx, &list, options...); err != nil {
		return nil, false, err //nolint:wrapcheck // the caller says what was listed
	}
	allowed := c.spec().Scrape.SelectorlessServices == v1alpha1.SelectorlessAllow
	for i := range list.Items {
		service := &list.Items[i]
		app := appService{name: service.Name, labels: fewLabels(service.Labels)}
		if size(service.Spec.Selector) <= longestLabels { // A longer one selects nothing of what is kept.
			app.selector = service.Spec.Selector
		}
		if c.honors(v1alpha1.ScrapeServices) && scrape.Wanted(c.prefix(), service.Annotations) {
			_, rejection := scrape.Classify(scrape.AppOf(service), c.prefix(), allowed)
			app.annotated = annotated{true, reasonOf(rejection)}
		}
		kept = append(kept, app)
	}
	return kept, list.Continue != "", nil
}

func reasonOf(rejection *scrape.Rejection) string {
	if rejection == nil {
		return ""
	}
	return text.Shorten(rejection.Reason, longestRejection)
}

// fewLabels returns labels, the first by their keys where they are too long.
func fewLabels(all map[string]string) labels.Set {
	if size(all) <= longestLabels {
		return all
	}
	kept, length := labels.Set{}, 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if length += len(key) + len(all[key]); length > longestLabels {
			break
		}
		kept[key] = all[key]
	}
	return kept
}

// size of a map, in bytes.
func size(of map[string]string) int {
	length := 0
	for key, value := range of {
		length += len(key) + len(value)
	}
	return length
}
