// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p1Work is what the floor of P1 sends, in this order.
type p1Work struct {
	// Owner is the UID by which the requests name the pipeline; the floor puts that of the new one in its place.
	Owner    types.UID
	Requests []p1Request
}

// p1Request is one PATCH.
type p1Request struct {
	Path string
	Type types.PatchType
	Body json.RawMessage
}

// floorP1 is a bare client: it watches the pipeline, and when that is created it sends ready requests one after the other, all
// over the connection of the watch.
func floorP1(ctx context.Context, in io.Reader, out io.Writer) error {
	work := &p1Work{}
	return beFloor(ctx, in, out, work, func(ctx context.Context, cluster *kit.Cluster, failed chan<- error) error {
		events, err := cluster.Watch(ctx, &v1alpha1.MetricsPipelineList{}, pipelineKey)
		if err != nil {
			return err
		}
		go each(ctx, events, func(event watch.Event) {
			pipeline, ok := event.Object.(*v1alpha1.MetricsPipeline)
			if !ok || event.Type != watch.Added {
				return
			}
			if err := work.send(ctx, cluster, pipeline.UID); err != nil {
				failed <- err
			}
		})
		return nil
	})
}

func (w *p1Work) send(ctx context.Context, cluster *kit.Cluster, owner types.UID) error {
	for _, request := range w.Requests {
		body := bytes.ReplaceAll(request.Body, []byte(w.Owner), []byte(owner))
		patch := cluster.Kube.CoreV1().RESTClient().Patch(request.Type).AbsPath(request.Path).Param("fieldManager", v1alpha1.FieldManager)
		if request.Type == types.ApplyPatchType {
			patch.Param("force", "true")
		}
		if err := patch.Body(body).Do(ctx).Error(); err != nil {
			return fmt.Errorf("PATCH %s: %w", request.Path, err)
		}
	}
	return nil
}

// workOf are the requests by which the operator stored the objects of a run and wrote the status, as the API server kept them:
// of each object the fields that the operator's field manager owns, which are those that it applied.
func workOf(ctx context.Context, cluster *kit.Cluster, run *waveRun) (*p1Work, error) {
	extractor, err := metav1ac.NewUnstructuredExtractor(cluster.Kube.Discovery())
	if err != nil {
		return nil, err
	}
	work := &p1Work{Owner: run.pipeline.GetUID()}
	for _, seen := range run.stored {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(seen.object.GroupVersionKind())
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(&seen.object), object); err != nil {
			return nil, err
		}
		applied, err := extractor.Extract(object, v1alpha1.FieldManager)
		if err != nil {
			return nil, fmt.Errorf("read what was applied of %s: %w", identity(&seen.object), err)
		}
		if err := work.add(cluster, applied, types.ApplyPatchType, applied.Object, ""); err != nil {
			return nil, err
		}
	}
	pipeline := run.pipeline.DeepCopy()
	if err := cluster.Client.Get(ctx, pipelineKey, pipeline); err != nil {
		return nil, err
	}
	status := map[string]any{"status": pipeline.Object["status"]}
	return work, work.add(cluster, pipeline, types.MergePatchType, status, "status")
}

// add adds a patch of an object, or of a subresource of it.
func (w *p1Work) add(
	cluster *kit.Cluster, object *unstructured.Unstructured, kind types.PatchType, content map[string]any, subresource string,
) error {
	gvk := object.GroupVersionKind()
	mapping, err := cluster.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", gvk.Kind, object.GetName(), err)
	}
	root := path.Join("/apis", gvk.Group, gvk.Version)
	if gvk.Group == "" {
		root = path.Join("/api", gvk.Version)
	}
	if object.GetNamespace() != "" {
		root = path.Join(root, "namespaces", object.GetNamespace())
	}
	at := path.Join(root, mapping.Resource.Resource, object.GetName(), subresource)
	w.Requests = append(w.Requests, p1Request{Path: at, Type: kind, Body: body})
	return nil
}
