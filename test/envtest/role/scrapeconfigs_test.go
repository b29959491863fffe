// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// configureApps has annotated apps scraped by scrape configurations, in a namespace for each ConfigMap that may have them, until monitors
// take their place. The cluster serves Prometheus objects, so the Deployment stands for one of before these were served.
func configureApps(w *world) error {
	apps := appsOfShards()
	defer func() {
		for _, app := range apps {
			_ = w.Client.Delete(w.Ctx, app)
		}
	}()
	before := earlierDeployment() // With the selector of ours: replaced, it would stay, since nothing here collects what is orphaned.
	for _, object := range append([]client.Object{before}, apps...) {
		if object.GetNamespace() != harness.OperatorNamespace {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
			if err := client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, namespace)); err != nil {
				return err
			}
		}
		if err := client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object)); err != nil {
			return err
		}
	}
	if err := w.apply(builtIn, "prometheus: {managed: {}}"); err != nil {
		return err
	}
	err := w.until("each ConfigMap has a scrape configuration", func() error {
		for _, app := range apps {
			shard := &corev1.ConfigMap{}
			name := prometheus.ShardName(prometheus.ShardOf(app.GetNamespace()))
			if err := w.Client.Get(w.Ctx, client.ObjectKey{Namespace: harness.OperatorNamespace, Name: name}, shard); err != nil {
				return err
			}
			if shard.Data[app.GetNamespace()+".yaml"] == "" {
				return fmt.Errorf("%s has nothing for namespace %s", name, app.GetNamespace())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(w.apply(builtIn), client.IgnoreNotFound(w.Client.Delete(w.Ctx, before))); err != nil {
		return err
	}
	return w.until("no scrape configuration is left", func() error {
		return w.gone(func(object *unstructured.Unstructured) bool {
			return object.GetKind() == "ConfigMap" && object.GetLabels()[v1alpha1.ComponentLabel] == "scrape"
		})
	})
}

// appsOfShards returns an annotated Service for each ConfigMap.
func appsOfShards() []client.Object {
	found := map[int]client.Object{}
	for i := 0; len(found) < prometheus.Shards; i++ {
		namespace := fmt.Sprintf("configured-%d", i)
		if shard := prometheus.ShardOf(namespace); found[shard] == nil {
			found[shard] = &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web", Annotations: map[string]string{"prometheus.io/scrape": "true"}},
				Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}}
		}
	}
	var apps []client.Object
	for shard := range prometheus.Shards {
		apps = append(apps, found[shard])
	}
	return apps
}
