// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// SamplePlain is the sample pipeline with `spec: {}`.
	SamplePlain = "config/samples/metricspipeline_v1alpha1_metricspipeline.yaml"
	// SampleKind is the sample pipeline for clusters whose kubelets sign their certificates themselves.
	SampleKind = "config/samples/metricspipeline_v1alpha1_metricspipeline_kind.yaml"
	// SampleManaged is the sample pipeline for clusters without a Prometheus.
	SampleManaged = "config/samples/metricspipeline_v1alpha1_metricspipeline_managed.yaml"
	// SampleRules is the sample pipeline with rules for custom and external metrics.
	SampleRules = "config/samples/metricspipeline_v1alpha1_metricspipeline_rules.yaml"
)

// The metrics APIs by the names of their APIServices.
const (
	ResourceMetricsAPI = "v1beta1.metrics.k8s.io"
	CustomMetricsAPI   = "v1beta2.custom.metrics.k8s.io"
	OldCustomMetrics   = "v1beta1.custom.metrics.k8s.io"
	ExternalMetricsAPI = "v1beta1.external.metrics.k8s.io"
)

// Sample reads a pipeline of config/samples.
func (c *Cluster) Sample(file string) (*v1alpha1.MetricsPipeline, error) {
	content, err := os.ReadFile(filepath.Join(c.Root, file))
	if err != nil {
		return nil, err
	}
	pipeline := &v1alpha1.MetricsPipeline{}
	if err := yaml.UnmarshalStrict(content, pipeline); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return pipeline, nil
}

// QuickSample is the sample pipeline with rules, tuned to follow within seconds on a cluster whose Prometheus scrapes
// every 5 s: a new metric appears within 10 s, and rates are over 20 s instead of minutes.
func (c *Cluster) QuickSample() (*v1alpha1.MetricsPipeline, error) {
	return c.quick(SampleRules)
}

// quick reads a pipeline of a file and tunes it.
func (c *Cluster) quick(file string) (*v1alpha1.MetricsPipeline, error) {
	pipeline, err := c.Sample(file)
	if err != nil {
		return nil, err
	}
	pipeline.Spec.PrometheusAdapter.RelistInterval = "10s"
	for i := range pipeline.Spec.CustomMetrics.Rules {
		rule := &pipeline.Spec.CustomMetrics.Rules[i]
		rule.MetricsQuery = strings.ReplaceAll(rule.MetricsQuery, "[2m]", "[20s]")
	}
	return pipeline, nil
}

// ApplyPipeline applies a pipeline as `kubectl apply` would: with a spec, also when there is nothing in it.
func (c *Cluster) ApplyPipeline(ctx context.Context, pipeline *v1alpha1.MetricsPipeline) error {
	object, err := c.unstructured(pipeline)
	if err != nil {
		return err
	}
	if _, found := object.Object["spec"]; !found {
		if err := unstructured.SetNestedMap(object.Object, map[string]any{}, "spec"); err != nil {
			return err
		}
	}
	return c.Apply(ctx, object)
}

// Pipeline reads the pipeline.
func (c *Cluster) Pipeline(ctx context.Context) (*v1alpha1.MetricsPipeline, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	return pipeline, c.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
}

// DeletePipeline deletes the pipeline and waits until nothing that carries its label is left, pods included.
func (c *Cluster) DeletePipeline(ctx context.Context) error {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	if err := client.IgnoreNotFound(c.Client.Delete(ctx, pipeline)); err != nil && !apimeta.IsNoMatchError(err) {
		return fmt.Errorf("delete the pipeline: %w", err)
	}
	var left []string
	err := Poll(ctx, func(ctx context.Context) (bool, error) {
		objects, err := c.Managed(ctx, true)
		left = Names(objects)
		return len(objects) == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait for the end of what the pipeline deployed: %w; left: %s", err, strings.Join(left, ", "))
	}
	return nil
}

// Managed returns every object of the cluster that carries the label of the pipeline; see [Cluster.Labeled].
func (c *Cluster) Managed(ctx context.Context, derived bool) ([]metav1.PartialObjectMetadata, error) {
	return c.Labeled(ctx, client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName}, derived)
}

// Names are kind, namespace and name of objects, for messages.
func Names(objects []metav1.PartialObjectMetadata) []string {
	var names []string
	for i := range objects {
		names = append(names, objects[i].Kind+" "+client.ObjectKeyFromObject(&objects[i]).String())
	}
	return names
}

// IsReady is true of a pipeline whose Ready condition is True for the spec that it has now.
func IsReady(pipeline *v1alpha1.MetricsPipeline) bool {
	ready := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == pipeline.Generation
}

// APIService returns what the status says about one metrics API, or nil.
func APIService(pipeline *v1alpha1.MetricsPipeline, name string) *v1alpha1.APIServiceStatus {
	for i := range pipeline.Status.APIServices {
		if pipeline.Status.APIServices[i].Name == name {
			return &pipeline.Status.APIServices[i]
		}
	}
	return nil
}

// Component returns what the status says about one component, or nil.
func Component(pipeline *v1alpha1.MetricsPipeline, name string) *v1alpha1.ComponentStatus {
	for i := range pipeline.Status.Components {
		if pipeline.Status.Components[i].Name == name {
			return &pipeline.Status.Components[i]
		}
	}
	return nil
}
