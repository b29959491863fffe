// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p13 is what a thousand annotated pods cost the Prometheus that the operator runs as a Deployment. It discovers them by the API server of
// the cluster, with the configuration that the operator would write, and is a process of this machine; pods and kubelets are played here,
// on loopback.
var p13 = row{
	name:    "P13",
	about:   "the memory of the managed Prometheus with 1,000 annotated pods, and once all of them are replaced; PROMETHEUS is its program",
	measure: measureP13,
}

const (
	p13Pods, p13Namespaces = 1_000, 10
	// p13Series is how many series each pod has of its own.
	p13Series = 200
	// p13Interval is a sixth of the default, so that all are scraped often enough in the time.
	p13Interval = 5 * time.Second
	// p13Look is how long the process is looked at in each state: 36 samples of each series.
	p13Look  = 3 * time.Minute
	p13Limit = 20 * time.Minute
	p13Node  = "bench-node"
	// The limit of the Deployment's container, in bytes, and the share of it that is to suffice.
	p13Container, p13Goal = 2 << 30, 0.75
)

func measureP13(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	ctx, cancel := context.WithTimeout(ctx, p13Limit)
	defer cancel()
	var names []string
	for i := range p13Namespaces {
		names = append(names, p13Namespace(i))
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: p13Node}, Spec: corev1.NodeSpec{Unschedulable: true}}
	made := append(namespaces(names...), node)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p13Limit)
		defer cancel()
		err = errors.Join(err, p13Delete(ctx, cluster), cluster.Delete(ctx, made...))
	}()
	if err := cluster.Apply(ctx, made...); err != nil {
		return nil, err
	}
	apps, err := serveApps(p13Series)
	if err != nil {
		return nil, err
	}
	defer apps.Close()
	if err := p13Create(ctx, cluster, "first", apps.port); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "bench-p13-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	started, err := startPrometheus(ctx, folder, names, apps)
	if err != nil {
		return nil, err
	}
	defer started.stop()

	steady, err := p13Observe(ctx, started, p13Pods)
	if err != nil {
		return nil, err
	}
	step("  steady: %.0f MB resident at most, %.0f MB private, %.0f series", steady.most.resident, steady.most.private, steady.series)
	if err := errors.Join(p13Create(ctx, cluster, "second", apps.port), p13Remove(ctx, cluster, "first")); err != nil {
		return nil, err
	}
	replaced, err := p13Observe(ctx, started, p13Pods)
	if err != nil {
		return nil, err
	}
	step("  all replaced: %.0f MB resident at most, %.0f MB private, %.0f series",
		replaced.most.resident, replaced.most.private, replaced.series)
	const limit = p13Container / 1e6
	return []figure{
		{name: "series in the head", ours: steady.series, unit: "series", free: true},
		{name: "most memory", against: "the container's limit", ours: steady.most.resident, theirs: limit, unit: "MB", goal: p13Goal},
		{name: "series once all pods are replaced", ours: replaced.series, unit: "series", free: true},
		{name: "most memory once all pods are replaced", against: "the container's limit", ours: replaced.most.resident, theirs: limit,
			unit: "MB", goal: p13Goal},
		{name: "of that written by the process", against: "the container's limit", ours: replaced.most.private, theirs: limit,
			unit: "MB", free: true},
		{name: "memory of a series", ours: steady.most.resident * 1e3 / steady.series, unit: "kB", free: true},
	}, nil
}

func p13Namespace(i int) string { return fmt.Sprintf("bench-managed-%d", i) }

// p13Pod is one whose metrics are played on loopback. Nothing evicts it from its node, which does not live.
func p13Pod(i int, name string, port int) *corev1.Pod {
	spec := kit.SamplePod()
	spec.NodeName, spec.Tolerations = p13Node, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: int32(port)}} //nolint:gosec // it is a port
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p13Namespace(i % p13Namespaces), Name: fmt.Sprintf("app-%s-%04d", name, i),
			Labels:      map[string]string{"app": "bench", "deployment": name},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(port)}},
		Spec: spec,
	}
}

// p13Create makes a thousand pods that run.
func p13Create(ctx context.Context, cluster *kit.Cluster, name string, port int) error {
	return kit.InParallel(ctx, p13Pods, func(ctx context.Context, i int) error {
		pod := p13Pod(i, name, port)
		if err := cluster.Client.Create(ctx, pod); err != nil {
			return err
		}
		pod.Status.Phase = corev1.PodRunning
		pod.Status.PodIP = fmt.Sprintf("127.1.%d.%d", i/250, i%250+1)
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return cluster.Client.Status().Update(ctx, pod)
	})
}

func p13Remove(ctx context.Context, cluster *kit.Cluster, name string) error {
	return kit.InParallel(ctx, p13Pods, func(ctx context.Context, i int) error {
		return client.IgnoreNotFound(cluster.Client.Delete(ctx, p13Pod(i, name, 1), client.GracePeriodSeconds(0)))
	})
}

func p13Delete(ctx context.Context, cluster *kit.Cluster) error {
	return errors.Join(p13Remove(ctx, cluster, "first"), p13Remove(ctx, cluster, "second"))
}

// p13Seen is how the process stood.
type p13Seen struct {
	most   footprint
	series float64
}

// p13Observe waits until so many pods are up, and looks at the process from then on.
func p13Observe(ctx context.Context, started *startedPrometheus, pods float64) (seen p13Seen, err error) {
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		up, err := started.value(ctx, `count(up{namespace=~"bench-managed-.*"} == 1)`)
		return up == pods, err
	})
	if err != nil {
		return seen, fmt.Errorf("wait for %.0f targets: %w", pods, err)
	}
	for began := time.Now(); time.Since(began) < p13Look; {
		now, err := readFootprint(filepath.Join("/proc", strconv.Itoa(started.process.Pid)))
		if err != nil {
			return seen, err
		}
		seen.most.resident, seen.most.private = max(seen.most.resident, now.resident), max(seen.most.private, now.private)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return seen, ctx.Err()
		}
	}
	seen.series, err = started.value(ctx, "prometheus_tsdb_head_series")
	return seen, err
}
