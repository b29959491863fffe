// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health reads what Kubernetes says of workloads, endpoints and APIServices, and puts it into words.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// State is how a workload stands.
type State int

// States.
const (
	// Current means that every pod runs as specified.
	Current State = iota
	// Progressing means that pods are missing and time may bring them.
	Progressing
	// Failed means that Kubernetes gave up waiting for them.
	Failed
)

// Workload returns the state of a Deployment and, unless it is current, what is missing: kstatus' words, and those of the
// API server that refuses its pods, or of the pod that is worst off. A nil Deployment is progressing.
func Workload(deployment *appsv1.Deployment, pods []corev1.Pod) (State, string) {
	if deployment == nil {
		return Progressing, "The Deployment does not exist yet."
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(deployment)
	if err != nil {
		return Progressing, "The Deployment cannot be read: " + err.Error()
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	result, err := status.Compute(object)
	if err != nil {
		return Progressing, "The Deployment's state is unclear: " + err.Error()
	}
	if result.Status == status.CurrentStatus {
		return Current, ""
	}
	message := strings.TrimSuffix(result.Message, ".") + "."
	if detail := cmp.Or(refused(deployment), worst(pods)); detail != "" {
		message += " " + detail
	}
	if result.Status == status.FailedStatus {
		return Failed, message
	}
	return Progressing, message
}

// RolledOut is true when no pod of an earlier specification is left, whether or not all the new ones are ready.
func RolledOut(deployment *appsv1.Deployment) bool {
	status := deployment.Status
	return status.ObservedGeneration >= deployment.Generation && status.Replicas > 0 && status.UpdatedReplicas == status.Replicas
}

// refused returns why the API server takes no new pod; there is none then that could say what ails it.
func refused(deployment *appsv1.Deployment) string {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return fmt.Sprintf("%s: %s", condition.Reason, condition.Message)
		}
	}
	return ""
}

// worst describes the pod that most needs a person's attention: the newest that cannot start, else the newest that is
// not ready.
func worst(pods []corev1.Pod) string {
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	unready := ""
	for _, pod := range sorted {
		if pod.DeletionTimestamp != nil {
			continue // It is on its way out, whatever ails it.
		}
		if detail := stuck(pod); detail != "" {
			return fmt.Sprintf("Pod %s: %s", pod.Name, detail)
		}
		if unready == "" && !isReady(pod) {
			unready = fmt.Sprintf("Pod %s runs and is not ready.", pod.Name)
		}
	}
	return unready
}

// stuck returns why a pod cannot be scheduled or a container cannot run.
func stuck(pod corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return fmt.Sprintf("%s: %s", condition.Reason, condition.Message)
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		waiting := container.State.Waiting
		if waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
			detail := fmt.Sprintf("container %s: %s: %s", container.Name, waiting.Reason, waiting.Message)
			if last := container.LastTerminationState.Terminated; last != nil {
				detail += fmt.Sprintf(" (exit code %d: %s)", last.ExitCode, last.Reason)
			}
			return detail
		}
	}
	return ""
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
