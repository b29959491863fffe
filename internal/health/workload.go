// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health judges workloads and endpoints by what Kubernetes reports of them.
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
	// Progressing means that pods are missing and may still start.
	Progressing
	// Failed means that the Deployment's progressDeadlineSeconds have passed. Kubernetes keeps trying.
	Failed
	// Stuck means that there is evidence that pods cannot be created, start or run until a person acts: what the API server,
	// the scheduler and the kubelet report, and never how long it has lasted.
	Stuck
)

// Verdict is the state of a workload and, unless it is current, why: kstatus' message, then the evidence, then who must do
// what. It does not change while the kubelet or a controller tries the same again.
type Verdict struct {
	State   State
	Message string
}

// evidence is what explains that a workload is not current.
type evidence struct {
	stuck bool
	text  string
}

// Workload returns the verdict on a Deployment by its status and its pods. missing are the sources of its pods that do not
// exist and that the operator does not create itself: the status of a pod that waits for one does not name it. A nil Deployment
// is progressing.
func Workload(deployment *appsv1.Deployment, pods []corev1.Pod, missing []Source) Verdict {
	if deployment == nil {
		return Verdict{Progressing, "The Deployment does not exist yet."}
	}
	result, err := compute(deployment)
	if err != nil {
		return Verdict{Progressing, "The Deployment's state is unclear: " + err.Error()}
	}
	if result.Status == status.CurrentStatus {
		return Verdict{}
	}
	verdict := Verdict{Progressing, strings.TrimSuffix(result.Message, ".") + "."}
	if deployment.Status.ObservedGeneration < deployment.Generation {
		return verdict // Its conditions and pods are of the earlier specification, which may just have been corrected.
	}
	current, earlier := byTemplate(deployment, pods)
	found := weightiest(refusal(deployment), unmounted(current, missing), unpulled(current, missing), crowded(current, earlier),
		worst(current))
	if found.text != "" {
		verdict.Message += " " + found.text
	}
	if serving := readyPods(earlier); found.stuck && serving > 0 {
		verdict.Message += fmt.Sprintf(" Pods of the earlier specification still serve: %d.", serving)
	}
	switch {
	case result.Status == status.FailedStatus:
		verdict.State = Failed
	case found.stuck:
		verdict.State = Stuck
	}
	return verdict
}

// RolledOut is true when no pod of an earlier specification is left, whether or not all the new ones are ready.
func RolledOut(deployment *appsv1.Deployment) bool {
	status := deployment.Status
	return status.ObservedGeneration >= deployment.Generation && status.Replicas > 0 && status.UpdatedReplicas == status.Replicas
}

// compute returns the status by kstatus.
func compute(deployment *appsv1.Deployment) (*status.Result, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(deployment)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return status.Compute(object)
}

// byTemplate returns the pods of the Deployment's present template and those of earlier ones, both newest first. Pods that end
// or have ended are in neither: they are being replaced. The present template's pods have the pod-template-hash of the newest
// pod; an earlier pod that cannot start is no evidence about the present template.
func byTemplate(deployment *appsv1.Deployment, pods []corev1.Pod) (current, earlier []corev1.Pod) {
	alive := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	})
	slices.SortFunc(alive, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	if deployment.Status.UpdatedReplicas == 0 {
		return nil, alive
	}
	for _, pod := range alive {
		if pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == alive[0].Labels[appsv1.DefaultDeploymentUniqueLabelKey] {
			current = append(current, pod)
		} else {
			earlier = append(earlier, pod)
		}
	}
	return current, earlier
}

// weightiest returns the first evidence for stuck, else the first evidence.
func weightiest(all ...evidence) evidence {
	var first evidence
	for _, found := range all {
		if found.stuck {
			return found
		}
		if first.text == "" {
			first = found
		}
	}
	return first
}

func readyPods(pods []corev1.Pod) int {
	count := 0
	for _, pod := range pods {
		if PodReady(&pod) {
			count++
		}
	}
	return count
}

// PodReady is true of a pod that is ready.
func PodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
