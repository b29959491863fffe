// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// waveEnd is for how long no object has come when the wave is over.
const waveEnd = 3 * time.Second

// firstWave are the objects that a new pipeline brings where no pod runs: all but the APIServices, which wait for pods to serve.
type firstWave struct {
	cluster  *kit.Cluster
	pipeline *unstructured.Unstructured
	// objects are the kinds of the objects by their identity.
	objects map[string]schema.GroupVersionKind
	// components is how many of them are Deployments, which the status lists.
	components int
}

// firstObjects creates the pipeline, finds out what it brings, and removes it again.
func firstObjects(ctx context.Context, cluster *kit.Cluster, pipeline *unstructured.Unstructured) (*firstWave, error) {
	ctx, cancel := context.WithTimeout(ctx, p1Limit)
	defer cancel()
	if err := cluster.Client.Create(ctx, pipeline.DeepCopy()); err != nil {
		return nil, err
	}
	reported := func(seen *v1alpha1.MetricsPipeline) bool { return reports(seen, 1) }
	if err := kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipelineKey, reported); err != nil {
		return nil, err
	}
	wave := &firstWave{cluster: cluster, pipeline: pipeline}
	last := time.Now()
	err := kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		managed, err := cluster.Managed(ctx, false)
		if err != nil {
			return false, err
		}
		if found := kindsOf(managed); len(found) != len(wave.objects) {
			wave.objects, last = found, time.Now()
		}
		return time.Since(last) > waveEnd, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the objects of the pipeline: %w", err)
	}
	for _, kind := range wave.objects {
		if kind.Kind == "Deployment" {
			wave.components++
		}
	}
	return wave, cluster.DeletePipeline(ctx)
}

// kindsOf returns the kinds of the objects of a first wave, by their identity.
func kindsOf(managed []metav1.PartialObjectMetadata) map[string]schema.GroupVersionKind {
	found := map[string]schema.GroupVersionKind{}
	for i := range managed {
		if kind := managed[i].GroupVersionKind(); kind.Group != apiregv1.GroupName {
			found[identity(&managed[i])] = kind
		}
	}
	return found
}

func identity(object *metav1.PartialObjectMetadata) string {
	return object.Kind + " " + client.ObjectKeyFromObject(object).String()
}

// pipelineKey is that of the only pipeline.
var pipelineKey = client.ObjectKey{Name: v1alpha1.SingletonName}

// reports is true of a pipeline whose status is about the spec that it has, and lists that many components.
func reports(pipeline *v1alpha1.MetricsPipeline, components int) bool {
	return pipeline.Status.ObservedGeneration == pipeline.Generation && len(pipeline.Status.Components) >= components
}

// spread is how many objects there are of which kind.
func (w *firstWave) spread() string {
	counts := map[string]int{}
	for _, kind := range w.objects {
		counts[kind.Kind]++
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// samplePipeline is the sample with rules, with which every component is deployed. It is read as it stands, so that a field
// of the API may be renamed.
func samplePipeline(cluster *kit.Cluster) (*unstructured.Unstructured, error) {
	content, err := os.ReadFile(filepath.Join(cluster.Root, kit.SampleRules))
	if err != nil {
		return nil, err
	}
	pipeline := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &pipeline.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", kit.SampleRules, err)
	}
	return pipeline, nil
}

// arrival is an object that has been created, or the pipeline with a status that reports it.
type arrival struct {
	object metav1.PartialObjectMetadata
	status bool
	at     time.Time
}

// waveRun is one creation of the pipeline.
type waveRun struct {
	pipeline *unstructured.Unstructured
	// created is when the API server had answered that the pipeline exists, and written when it had the status.
	created, written time.Time
	// stored are the objects in the order in which they were.
	stored []arrival
}

// time creates the pipeline and takes the times at which watches show what comes of it.
func (w *firstWave) time(ctx context.Context) (*waveRun, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrivals, err := w.watch(ctx)
	if err != nil {
		return nil, err
	}
	run := &waveRun{pipeline: w.pipeline.DeepCopy()}
	if err := w.cluster.Client.Create(ctx, run.pipeline); err != nil {
		return nil, err
	}
	run.created = time.Now()
	missing := maps.Clone(w.objects)
	for len(missing) > 0 || run.written.IsZero() {
		select {
		case seen := <-arrivals:
			_, wanted := missing[identity(&seen.object)]
			switch {
			case seen.status && run.written.IsZero():
				run.written = seen.at
			case wanted:
				delete(missing, identity(&seen.object))
				run.stored = append(run.stored, seen)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the objects of the pipeline, of which %d are missing, and its status: %w: %s",
				len(missing), ctx.Err(), strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
		}
	}
	slices.SortStableFunc(run.stored, func(a, b arrival) int { return a.at.Compare(b.at) })
	return run, nil
}

// watch sees the objects of the wave's kinds come, and the pipeline's status, until ctx ends.
func (w *firstWave) watch(ctx context.Context) (<-chan arrival, error) {
	arrivals := make(chan arrival, 2*len(w.objects))
	send := func(seen arrival) {
		select {
		case arrivals <- seen:
		case <-ctx.Done():
		}
	}
	kinds := map[schema.GroupVersionKind]bool{}
	for _, kind := range w.objects {
		kinds[kind] = true
	}
	for kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		events, err := w.cluster.Client.Watch(ctx, list, client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", kind.Kind, err)
		}
		go each(ctx, events, func(event watch.Event) {
			if object, ok := event.Object.(*metav1.PartialObjectMetadata); ok && event.Type == watch.Added {
				object.SetGroupVersionKind(kind)
				send(arrival{object: *object, at: time.Now()})
			}
		})
	}
	events, err := w.cluster.Watch(ctx, &v1alpha1.MetricsPipelineList{}, pipelineKey)
	if err != nil {
		return nil, err
	}
	go each(ctx, events, func(event watch.Event) {
		if pipeline, ok := event.Object.(*v1alpha1.MetricsPipeline); ok && reports(pipeline, w.components) {
			send(arrival{status: true, at: time.Now()})
		}
	})
	return arrivals, nil
}

// each calls do for the events of a watch, until that or ctx ends.
func each(ctx context.Context, events watch.Interface, do func(watch.Event)) {
	defer events.Stop()
	for {
		select {
		case event, open := <-events.ResultChan():
			if !open {
				return
			}
			do(event)
		case <-ctx.Done():
			return
		}
	}
}

// milliseconds is how long it took until both the objects and the status were there.
func (r *waveRun) milliseconds() float64 {
	last := r.stored[len(r.stored)-1].at
	return float64(max(last.Sub(r.created), r.written.Sub(r.created)).Microseconds()) / 1000
}

// String says what came when.
func (r *waveRun) String() string {
	first, last := r.stored[0], r.stored[len(r.stored)-1]
	return fmt.Sprintf("first object after %d ms (%s), last after %d ms (%s), status after %d ms",
		first.at.Sub(r.created).Milliseconds(), identity(&first.object), last.at.Sub(r.created).Milliseconds(), identity(&last.object),
		r.written.Sub(r.created).Milliseconds())
}
