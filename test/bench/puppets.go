// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	puppetNamespace = "bench-puppets"
	puppetNode      = "bench-puppets"
	puppetMetric    = "bench_sampled"
	// heartbeat is less than the 40 s after which a node without one counts as lost.
	heartbeat = 10 * time.Second
)

// puppets are StatefulSets of one pod each, which runs nowhere, with an HPA each: a real node holds 110 pods. The pods are on a Node
// without a kubelet, whose part this plays: it renews the Node's lease, and says that each pod runs. Their metric is what Prometheus
// itself makes every few seconds by a recording rule for each pod: the time.
type puppets struct {
	cluster *kit.Cluster
	number  int
	// metric is what the HPA of a puppet reads.
	metric func(i int) string
	made   []client.Object
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

func newPuppets(cluster *kit.Cluster, number int) *puppets {
	return &puppets{cluster: cluster, number: number, metric: func(int) string { return puppetMetric }, stop: func() {}}
}

func puppet(i int) string { return fmt.Sprintf("puppet-%04d", i) }

// begin makes everything, and waits until each pod runs.
func (p *puppets) begin(ctx context.Context) error {
	p.made = []client.Object{puppetNodeObject(), kit.Namespace(puppetNamespace), p.rule()}
	if err := p.cluster.Apply(ctx, p.made...); err != nil {
		return err
	}
	playing, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.ended.Go(func() { p.play(playing) })
	err := inParallel(ctx, p.number, func(ctx context.Context, i int) error {
		return errors.Join(p.cluster.Client.Create(ctx, puppetSet(i)), p.cluster.Client.Create(ctx, puppetScaler(i, p.metric(i))))
	})
	if err != nil {
		return err
	}
	return kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := p.cluster.Client.List(ctx, pods, client.InNamespace(puppetNamespace))
		running := 0
		for i := range pods.Items {
			if kit.PodReady(&pods.Items[i]) {
				running++
			}
		}
		return running == p.number, err
	})
}

// remove ends the play and deletes everything. Pods without a kubelet have no grace.
func (p *puppets) remove(ctx context.Context) error {
	p.stop()
	p.ended.Wait()
	sets := p.cluster.Client.DeleteAllOf(ctx, &appsv1.StatefulSet{}, client.InNamespace(puppetNamespace))
	pods := p.cluster.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(puppetNamespace), client.GracePeriodSeconds(0))
	return errors.Join(client.IgnoreNotFound(sets), client.IgnoreNotFound(pods), p.cluster.Delete(ctx, p.made...))
}

// takeDown removes them, and then what every row takes down, also where the row was canceled.
func (p *puppets) takeDown(ctx context.Context, limit time.Duration) error {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return errors.Join(p.remove(removing), takeDown(ctx, limit, p.cluster))
}

// play is the kubelet's part. What fails is done again.
func (p *puppets) play(ctx context.Context) {
	for last := (time.Time{}); ; {
		if now := time.Now(); now.Sub(last) >= heartbeat && p.beat(ctx) == nil {
			last = now
		}
		pods := &corev1.PodList{}
		if p.cluster.Client.List(ctx, pods, client.InNamespace(puppetNamespace)) == nil {
			for i := range pods.Items {
				if pod := &pods.Items[i]; pod.Spec.NodeName == puppetNode && pod.Status.Phase == corev1.PodPending {
					_ = p.run(ctx, pod)
				}
			}
		}
		if sleep(ctx, time.Second) != nil {
			return
		}
	}
}

// run says that a pod runs.
func (p *puppets) run(ctx context.Context, pod *corev1.Pod) error {
	before, now := pod.DeepCopy(), metav1.Now()
	pod.Status.Phase, pod.Status.StartTime, pod.Status.Conditions = corev1.PodRunning, &now, nil
	for _, condition := range []corev1.PodConditionType{
		corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions,
			corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return p.cluster.Client.Status().Patch(ctx, pod, client.MergeFrom(before))
}

// beat says that the node is alive.
func (p *puppets) beat(ctx context.Context) error {
	now := metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: puppetNode},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(puppetNode), LeaseDurationSeconds: ptr.To[int32](40), RenewTime: &now}}
	err := p.cluster.Client.Create(ctx, lease)
	if apierrors.IsAlreadyExists(err) {
		found := &coordinationv1.Lease{}
		if err := p.cluster.Client.Get(ctx, client.ObjectKeyFromObject(lease), found); err != nil {
			return err
		}
		found.Spec.RenewTime = &now
		err = p.cluster.Client.Update(ctx, found)
	}
	if err != nil {
		return err
	}
	node := &corev1.Node{}
	if err := p.cluster.Client.Get(ctx, client.ObjectKey{Name: puppetNode}, node); err != nil {
		return err
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Puppet",
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: node.CreationTimestamp}}
	node.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2000")}
	node.Status.Allocatable = node.Status.Capacity
	return p.cluster.Client.Status().Update(ctx, node)
}

// puppetNodeObject takes no pod but those that name it.
func puppetNodeObject() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: puppetNode}, Spec: corev1.NodeSpec{
		Unschedulable: true, Taints: []corev1.Taint{{Key: "metricspipeline.io/bench", Effect: corev1.TaintEffectNoSchedule}}}}
}

// rule has Prometheus make one series for each pod.
func (p *puppets) rule() *monitoringv1.PrometheusRule {
	group := monitoringv1.RuleGroup{Name: "puppets"}
	for i := range p.number {
		group.Rules = append(group.Rules, monitoringv1.Rule{Record: puppetMetric, Expr: intstr.FromString("time()"),
			Labels: map[string]string{"namespace": puppetNamespace, "pod": puppet(i) + "-0"}})
	}
	return &monitoringv1.PrometheusRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: puppetNamespace, Name: "puppets", Labels: map[string]string{"prometheus": "k8s"}},
		Spec:       monitoringv1.PrometheusRuleSpec{Groups: []monitoringv1.RuleGroup{group}},
	}
}

func puppetSet(i int) *appsv1.StatefulSet {
	labels := map[string]string{"app.kubernetes.io/name": puppet(i)}
	pod := kit.SamplePod()
	pod.NodeName = puppetNode
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: puppetNamespace, Name: puppet(i)}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](1), ServiceName: puppet(i), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
	}}
}

// puppetScaler never scales: what it reads is the time, and its bounds are one.
func puppetScaler(i int, metric string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: puppetNamespace, Name: puppet(i)},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: puppet(i)},
			MinReplicas:    ptr.To[int32](1), MaxReplicas: 1,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: metric},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType,
					AverageValue: ptr.To(resource.MustParse("2G"))},
			}}},
		},
	}
}

// pipeline serves the metric, with arguments for the adapter, and nothing else.
func (p *puppets) pipeline(args []string) *v1alpha1.MetricsPipeline {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	pipeline.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
	pipeline.Spec.PrometheusAdapter.ExtraArgs = args
	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{
		MetricRule: v1alpha1.MetricRule{ID: "sampled", SeriesQuery: puppetMetric + `{namespace!="",pod!=""}`,
			MetricsQuery: "max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}},
	}}
	return pipeline
}
