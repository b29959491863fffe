// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p5Workloads is what the watches for near misses cost: all Deployments are read, and those alone are kept whose annotation belongs to
// their template.
var p5Workloads = row{
	name:    "P5W",
	about:   "the operator's heap for each of 10,000 Deployments without an annotation, and for each of 2,000 near misses, against none",
	measure: measureP5Workloads,
}

const (
	p5Deployments, p5NearMisses = 10_000, 2_000
	p5WorkloadGoal              = 0.05
	p5NearMissGoal              = 0.75
	p5WorkloadNamespace         = "bench-workloads"
)

func measureP5Workloads(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	made := namespaces(p5WorkloadNamespace)
	defer func() { err = errors.Join(err, takeDown(ctx, p5Limit, cluster, made...)) }()
	ctx, cancel := context.WithTimeout(ctx, 2*p5Limit)
	defer cancel()
	if err := installTraced(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.Apply(ctx, made...); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, scrapesEverything(v1alpha1.ScrapePerNamespace)); err != nil {
		return nil, err
	}
	var measured [3]memory
	for i, add := range []struct {
		name        string
		many        int
		annotations map[string]string
	}{
		{many: 0},
		{name: "app", many: p5Deployments},
		{name: "miss", many: p5NearMisses, annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}},
	} {
		err := kit.InParallel(ctx, add.many, func(ctx context.Context, i int) error {
			deployment := idleDeployment(fmt.Sprintf("%s-%05d", add.name, i), add.annotations)
			_, err := cluster.Kube.AppsV1().Deployments(p5WorkloadNamespace).Create(ctx, deployment, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return nil, err
		}
		if measured[i], _, err = started(ctx, cluster, step); err != nil {
			return nil, err
		}
	}
	none, all, missed := measured[0], measured[1], measured[2]
	return []figure{
		{name: "heap for each Deployment", unit: "KiB", goal: p5WorkloadGoal, ours: (all.live - none.live) * 1024 / p5Deployments},
		{name: "heap for each near miss", unit: "KiB", goal: p5NearMissGoal, ours: (missed.live - all.live) * 1024 / p5NearMisses},
		{name: "memory with them, most while starting", against: "none", unit: "MiB", goal: p5PeakGoal,
			ours: missed.residentMost, theirs: none.residentMost},
	}, nil
}

// idleDeployment is paused and has no replicas, so that nobody makes a ReplicaSet of it.
func idleDeployment(name string, annotations map[string]string) *appsv1.Deployment {
	set := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: p5WorkloadNamespace, Name: name, Labels: set, Annotations: annotations},
		Spec: appsv1.DeploymentSpec{
			Paused: true, Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: set},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: set},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}
}
