// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// lastService is the name of the Service that the floor of P6 answers.
	lastService = "last"
	// floorName is the name and the field manager of its answers.
	floorName = "floor"
)

// floorP6 is a bare watcher: it keeps no state, knows one name, and answers it with an object that it was given.
func floorP6(ctx context.Context, in io.Reader, out io.Writer) error {
	answer := &unstructured.Unstructured{}
	return beFloor(ctx, in, out, &answer.Object, func(ctx context.Context, cluster *kit.Cluster, failed chan<- error) error {
		config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
		if err != nil {
			return err
		}
		meta, err := metadata.NewForConfig(config)
		if err != nil {
			return err
		}
		informer := metadatainformer.NewFilteredMetadataInformer(meta, corev1.SchemeGroupVersion.WithResource("services"),
			metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
			service, ok := object.(*metav1.PartialObjectMetadata)
			if !ok || service.Name != lastService {
				return
			}
			own := answer.DeepCopy()
			own.SetNamespace(service.Namespace)
			err := cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(own), client.FieldOwner(floorName))
			if err != nil {
				failed <- err
			}
		}})
		if err != nil {
			return err
		}
		go informer.RunWithContext(ctx)
		if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return context.Cause(ctx)
		}
		return nil
	})
}
