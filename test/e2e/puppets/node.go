// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package puppets

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// node is the Node of all puppets.
const node = "puppets"

// onNode selects the pods of the Node in a phase.
func onNode(phase string) client.MatchingFields {
	return client.MatchingFields{"spec.nodeName": node, "status.phase": phase}
}

// nodeObject takes no pod but those that name it.
func nodeObject() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: corev1.NodeSpec{
		Unschedulable: true, Taints: []corev1.Taint{{Key: "metricspipeline.io/bench", Effect: corev1.TaintEffectNoSchedule}}}}
}

func leaseObject() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node}}
}

// run says that a pod runs.
func (f *Fleet) run(ctx context.Context, pod *corev1.Pod) error {
	before, now := pod.DeepCopy(), metav1.Now()
	pod.Status.Phase, pod.Status.StartTime, pod.Status.Conditions = corev1.PodRunning, &now, nil
	for _, condition := range []corev1.PodConditionType{
		corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions,
			corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return f.cluster.Client.Status().Patch(ctx, pod, client.MergeFrom(before))
}

// beat says that the node is alive.
func (f *Fleet) beat(ctx context.Context) error {
	now := metav1.NowMicro()
	lease := leaseObject()
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: ptr.To(node), LeaseDurationSeconds: ptr.To[int32](40), RenewTime: &now}
	err := f.cluster.Client.Create(ctx, lease)
	if apierrors.IsAlreadyExists(err) {
		found := &coordinationv1.Lease{}
		if err := f.cluster.Client.Get(ctx, client.ObjectKeyFromObject(lease), found); err != nil {
			return err
		}
		found.Spec.RenewTime = &now
		err = f.cluster.Client.Update(ctx, found)
	}
	if err != nil {
		return err
	}
	found := &corev1.Node{}
	if err := f.cluster.Client.Get(ctx, client.ObjectKey{Name: node}, found); err != nil {
		return err
	}
	found.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Puppet",
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: found.CreationTimestamp}}
	found.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2000")}
	found.Status.Allocatable = found.Status.Capacity
	return f.cluster.Client.Status().Update(ctx, found)
}
