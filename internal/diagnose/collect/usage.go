// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

var podMetricsList = schema.GroupVersionKind{Group: metricsapi.Resource.Group, Version: metricsapi.Resource.Version, Kind: "PodMetricsList"}

// usage is what metrics.k8s.io has of the HPA's pods.
type usage struct {
	read             bool
	pods, containers []string
}

// readUsage reads of which pods metrics.k8s.io has usage, once for all metrics of the HPA.
func (c *collection) readUsage(ctx context.Context, metric *diagnose.Metric) {
	selected, err := labels.Parse(c.evidence.Target.Selector)
	if err != nil || c.evidence.Target.Selector == "" || c.pipeline != nil && !metric.API.Available {
		return
	}
	if !c.usage.read {
		c.usage.read = true
		c.usage.pods, c.usage.containers = c.listUsage(ctx, selected)
	}
	metric.PodsWithMetrics, metric.ContainersWithMetrics = c.usage.pods, c.usage.containers
}

func (c *collection) listUsage(ctx context.Context, selected labels.Selector) (pods, containers []string) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(podMetricsList)
	err := c.Objects.List(ctx, list, client.InNamespace(c.hpa.Namespace), client.MatchingLabelsSelector{Selector: selected},
		client.Limit(mostListed))
	if err != nil {
		if !absent(err) && !apierrors.IsServiceUnavailable(err) { // Those the link of the API explains.
			c.unseen(diagnose.LinkValue, "list the PodMetrics of the namespace", err)
		}
		return nil, nil
	}
	pods, containers = []string{}, []string{}
	for _, item := range list.Items[:min(len(list.Items), mostListed)] {
		pods = append(pods, item.GetName())
		measured, _, _ := unstructured.NestedSlice(item.Object, "containers")
		for _, one := range measured {
			container, _ := one.(map[string]any)
			if name, _ := container["name"].(string); name != "" && !slices.Contains(containers, name) {
				containers = append(containers, name)
			}
		}
	}
	slices.Sort(pods)
	slices.Sort(containers)
	return pods, containers
}
