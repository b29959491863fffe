// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package puppets makes workloads whose pods run nowhere, with HorizontalPodAutoscalers that work all the same: a real node has room for
// 110 pods. The API server, the HPA controller, prometheus-adapter and Prometheus are real.
package puppets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// Metric is what the HPA of a puppet reads: what Prometheus itself makes every few seconds for each pod, by a recording rule. It is the
// time of the sample.
const Metric = "puppet_sampled"

// Fleet is StatefulSets of one pod each, with an HPA each. The pods are on a Node without a kubelet, whose part this plays: it renews
// the Node's lease, and says that each pod runs.
type Fleet struct {
	cluster *kit.Cluster
	// number of puppets, of which each namespace has the same.
	number, namespaces int
	made               []client.Object
	stop               context.CancelFunc
	ended              sync.WaitGroup
}

// New returns a fleet that has not begun, of so many puppets in so many namespaces.
func New(cluster *kit.Cluster, number, namespaces int) *Fleet {
	return &Fleet{cluster: cluster, number: number, namespaces: namespaces, stop: func() {}}
}

// Key names a puppet's StatefulSet and HPA. Those with neighboring numbers are in different namespaces.
func (f *Fleet) Key(i int) client.ObjectKey {
	return client.ObjectKey{Namespace: f.namespace(i % f.namespaces), Name: fmt.Sprintf("puppet-%04d", i)}
}

func (f *Fleet) namespace(i int) string { return fmt.Sprintf("puppets-%02d", i) }

// Namespaces are those of the fleet.
func (f *Fleet) Namespaces() []string {
	var names []string
	for i := range f.namespaces {
		names = append(names, f.namespace(i))
	}
	return names
}

// Begin makes everything, and waits until each pod runs.
func (f *Fleet) Begin(ctx context.Context) error {
	f.made = []client.Object{nodeObject()}
	for _, name := range f.Namespaces() {
		f.made = append(f.made, kit.Namespace(name))
	}
	rule := f.recordingRule()
	f.made = append(f.made, rule)
	if err := f.cluster.Apply(ctx, f.made...); err != nil {
		return err
	}
	if err := f.cluster.LoadRules(ctx, client.ObjectKeyFromObject(rule)); err != nil {
		return err
	}
	playing, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	f.ended.Go(func() { f.play(playing) })
	err := kit.InParallel(ctx, f.number, func(ctx context.Context, i int) error {
		return errors.Join(f.cluster.Client.Create(ctx, f.set(i)), f.cluster.Client.Create(ctx, f.Scaler(i, Metric)))
	})
	if err != nil {
		return err
	}
	return kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := f.cluster.Client.List(ctx, pods, onNode("Running"))
		return len(pods.Items) == f.number, err
	})
}

// Working counts the HPAs that scale by a value.
func (f *Fleet) Working(ctx context.Context) (working int, err error) {
	for _, name := range f.Namespaces() {
		scalers := &autoscalingv2.HorizontalPodAutoscalerList{}
		if err := f.cluster.Client.List(ctx, scalers, client.InNamespace(name)); err != nil {
			return 0, err
		}
		for _, scaler := range scalers.Items {
			active := slices.ContainsFunc(scaler.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
				return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue
			})
			now := scaler.Status.CurrentMetrics
			if active && len(now) > 0 && now[0].Pods != nil && now[0].Pods.Current.AverageValue != nil {
				working++
			}
		}
	}
	return working, nil
}

// Remove ends the play and deletes everything. Pods without a kubelet have no grace.
func (f *Fleet) Remove(ctx context.Context) error {
	f.stop()
	f.ended.Wait()
	var errs []error
	for _, name := range f.Namespaces() {
		errs = append(errs,
			client.IgnoreNotFound(f.cluster.Client.DeleteAllOf(ctx, &autoscalingv2.HorizontalPodAutoscaler{}, client.InNamespace(name))),
			client.IgnoreNotFound(f.cluster.Client.DeleteAllOf(ctx, &appsv1.StatefulSet{}, client.InNamespace(name))),
			client.IgnoreNotFound(f.cluster.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(name), client.GracePeriodSeconds(0))))
	}
	return errors.Join(append(errs, f.cluster.Delete(ctx, append(f.made, leaseObject())...))...)
}

// recordingRule has Prometheus make one series for each pod.
func (f *Fleet) recordingRule() *monitoringv1.PrometheusRule {
	group := monitoringv1.RuleGroup{Name: "puppets"}
	for i := range f.number {
		key := f.Key(i)
		group.Rules = append(group.Rules, monitoringv1.Rule{Record: Metric, Expr: intstr.FromString("time()"),
			Labels: map[string]string{"namespace": key.Namespace, "pod": key.Name + "-0"}})
	}
	return &monitoringv1.PrometheusRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(0), Name: "puppets", Labels: map[string]string{"prometheus": "k8s"}},
		Spec:       monitoringv1.PrometheusRuleSpec{Groups: []monitoringv1.RuleGroup{group}},
	}
}

func (f *Fleet) set(i int) *appsv1.StatefulSet {
	key := f.Key(i)
	labels := map[string]string{"app.kubernetes.io/name": key.Name}
	pod := kit.SamplePod()
	pod.NodeName = node
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](1), ServiceName: key.Name, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
	}}
}

// Scaler is a puppet's HPA with the metric of that name. It never scales: what it reads is the time, and its bounds are one.
func (f *Fleet) Scaler(i int, metric string) *autoscalingv2.HorizontalPodAutoscaler {
	key := f.Key(i)
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: key.Name},
			MinReplicas:    ptr.To[int32](1), MaxReplicas: 1,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: metric},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType,
					AverageValue: ptr.To(resource.MustParse("2G"))},
			}}},
		},
	}
}

// Rule serves the metric.
func Rule() v1alpha1.CustomMetricRule {
	return v1alpha1.CustomMetricRule{
		MetricRule: v1alpha1.MetricRule{ID: "puppets", SeriesQuery: Metric + `{namespace!="",pod!=""}`,
			MetricsQuery: "max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}},
	}
}

// heartbeat is less than the 40 s after which a node without one counts as lost.
const heartbeat = 10 * time.Second

// play is the kubelet's part. What fails is done again.
func (f *Fleet) play(ctx context.Context) {
	for last := (time.Time{}); ; {
		if now := time.Now(); now.Sub(last) >= heartbeat && f.beat(ctx) == nil {
			last = now
		}
		pods := &corev1.PodList{}
		if f.cluster.Client.List(ctx, pods, onNode("Pending")) == nil {
			_ = kit.InParallel(ctx, len(pods.Items), func(ctx context.Context, i int) error { return f.run(ctx, &pods.Items[i]) })
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
