// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// annotatedService is an app as people annotate it. It selects no pod.
func annotatedService(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone,
			Selector:  map[string]string{"app.kubernetes.io/name": name},
			Ports:     []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

// create makes n Services at full speed, and returns the time that it took.
func create(ctx context.Context, cluster *kit.Cluster, n int, service func(i int) *corev1.Service) (time.Duration, error) {
	start := time.Now()
	err := kit.InParallel(ctx, n, func(ctx context.Context, i int) error {
		service := service(i)
		_, err := cluster.Kube.CoreV1().Services(service.Namespace).Create(ctx, service, metav1.CreateOptions{})
		return err
	})
	return time.Since(start), err
}

// scrapesEverything is `spec: {}` with a granularity.
func scrapesEverything(granularity v1alpha1.ScrapeGranularity) *v1alpha1.MetricsPipeline {
	return &v1alpha1.MetricsPipeline{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName},
		Spec: v1alpha1.MetricsPipelineSpec{Scrape: v1alpha1.ScrapeSpec{
			Targets:     []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices, v1alpha1.ScrapePods},
			Granularity: granularity,
		}},
	}
}

// counted waits until the status counts at least that many Services.
func counted(ctx context.Context, cluster *kit.Cluster, services int) error {
	var last int32
	err := kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pipeline, err := cluster.Pipeline(ctx)
		if err != nil {
			return false, err
		}
		last = pipeline.Status.Scrape.Services
		return int(last) >= services, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %d Services in the status, which says %d: %w", services, last, err)
	}
	return nil
}

// namespaces are Namespaces of those names.
func namespaces(names ...string) []client.Object {
	var objects []client.Object
	for _, name := range names {
		objects = append(objects, kit.Namespace(name))
	}
	return objects
}
