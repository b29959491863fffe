// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// MarkDeploymentAvailable says that all pods of a Deployment run, as the Deployment controller would.
func (c *Cluster) MarkDeploymentAvailable(ctx context.Context, namespace, name string) error {
	return c.updateDeploymentStatus(ctx, namespace, name, func(deployment *appsv1.Deployment) {
		replicas := ptr.Deref(deployment.Spec.Replicas, 1)
		deployment.Status = appsv1.DeploymentStatus{
			ObservedGeneration: deployment.Generation,
			Replicas:           replicas,
			UpdatedReplicas:    replicas,
			ReadyReplicas:      replicas,
			AvailableReplicas:  replicas,
			Conditions: []appsv1.DeploymentCondition{
				condition(appsv1.DeploymentAvailable, "MinimumReplicasAvailable"),
				condition(appsv1.DeploymentProgressing, "NewReplicaSetAvailable"),
			},
		}
	})
}

// MarkRolloutStuck says that the first pod of a Deployment's new specification does not become ready, while those of the one
// before, if there were any, still run.
func (c *Cluster) MarkRolloutStuck(ctx context.Context, namespace, name string) error {
	return c.updateDeploymentStatus(ctx, namespace, name, func(deployment *appsv1.Deployment) {
		status := &deployment.Status
		status.ObservedGeneration = deployment.Generation
		status.Replicas, status.UpdatedReplicas, status.UnavailableReplicas = status.AvailableReplicas+1, 1, 1
	})
}

// CreatePod tries to make a pod of a Deployment, as the controller of its ReplicaSet does, without keeping it.
func (c *Cluster) CreatePod(ctx context.Context, deployment *appsv1.Deployment) error {
	pod := &corev1.Pod{ObjectMeta: *deployment.Spec.Template.ObjectMeta.DeepCopy(), Spec: deployment.Spec.Template.Spec}
	pod.Namespace, pod.GenerateName = deployment.Namespace, deployment.Name+"-"
	return c.Client.Create(ctx, pod, client.DryRunAll)
}

// MarkPodsRefused says that the API server refuses the pods of a Deployment's present specification, in its words.
func (c *Cluster) MarkPodsRefused(ctx context.Context, namespace, name, message string) error {
	return c.updateDeploymentStatus(ctx, namespace, name, func(deployment *appsv1.Deployment) {
		refused := condition(appsv1.DeploymentReplicaFailure, "FailedCreate")
		refused.Message = message
		deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation,
			Conditions: []appsv1.DeploymentCondition{refused}}
	})
}

func (c *Cluster) updateDeploymentStatus(ctx context.Context, namespace, name string, change func(*appsv1.Deployment)) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		deployment := &appsv1.Deployment{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, deployment); err != nil {
			return fmt.Errorf("reading Deployment %s for its status: %w", name, err)
		}
		change(deployment)
		return c.Client.Status().Update(ctx, deployment)
	})
}

func condition(kind appsv1.DeploymentConditionType, reason string) appsv1.DeploymentCondition {
	return appsv1.DeploymentCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason,
		LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}
}
