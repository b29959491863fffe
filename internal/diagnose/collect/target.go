// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/text"
)

// readTarget reads the scale of the object of scaleTargetRef.
func (c *collection) readTarget(ctx context.Context) {
	ref, into := c.hpa.Spec.ScaleTargetRef, &c.evidence.Target
	what := fmt.Sprintf("read the scale of %s %s", ref.Kind, ref.Name)
	version, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return // No kind has that version, so none is served.
	}
	kind := schema.GroupKind{Group: version.Group, Kind: ref.Kind}
	mapping, err := c.Mapper.RESTMapping(kind, version.Version)
	if notServed(err) {
		mapping, err = c.Mapper.RESTMapping(kind) // The HPA controller takes any version of the kind.
	}
	if notServed(err) {
		return
	}
	if err != nil {
		c.unseen(diagnose.LinkTarget, what, err)
		return
	}
	into.KindServed = true
	scale, err := c.Scales.Scales(c.hpa.Namespace).Get(ctx, mapping.Resource.GroupResource(), ref.Name, metav1.GetOptions{})
	switch {
	case err != nil && c.withoutScale(mapping.Resource, err):
		into.Found = true // The path is not served, whatever the name.
	case apierrors.IsNotFound(err):
		into.Scalable = true
	case err != nil:
		c.unseen(diagnose.LinkTarget, what, err)
	default:
		into.Found, into.Scalable = true, true
		into.Replicas, into.Selector = scale.Spec.Replicas, scale.Status.Selector
	}
}

// readPods reads the pods that the target's selector selects.
func (c *collection) readPods(ctx context.Context) {
	if c.evidence.Unseen[diagnose.LinkTarget] != "" {
		c.evidence.Unseen[diagnose.LinkPods] = c.evidence.Unseen[diagnose.LinkTarget]
		return
	}
	if c.evidence.Target.Selector == "" {
		return
	}
	selected, err := labels.Parse(c.evidence.Target.Selector)
	if err != nil {
		c.unseen(diagnose.LinkPods, fmt.Sprintf("read the selector %q of the target", c.evidence.Target.Selector), err)
		return
	}
	var list corev1.PodList
	err = c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.MatchingLabelsSelector{Selector: selected},
		client.Limit(mostListed))
	if err != nil {
		c.unseen(diagnose.LinkPods, "list the pods of the target", err)
		return
	}
	c.targetApps.pods, c.evidence.PodsTotal = c.keepPods(list.Items), len(list.Items)
	for _, pod := range list.Items {
		if health.PodReady(&pod) && pod.DeletionTimestamp == nil {
			c.evidence.PodsReady++
		}
	}
	for _, pod := range list.Items[:min(len(list.Items), diagnose.MostPods)] {
		c.evidence.Pods = append(c.evidence.Pods, podOf(pod, c.prefix()))
	}
	c.evidence.Target.SelectorElsewhere = c.elsewhere(list.Items)
}

// byTrouble puts those first of which there is something to say, and those that are going last.
func byTrouble(one, other corev1.Pod) int {
	return cmp.Or(cmp.Compare(trouble(one), trouble(other)), strings.Compare(one.Name, other.Name))
}

func trouble(pod corev1.Pod) int {
	switch {
	case pod.DeletionTimestamp != nil, pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return 3
	case !health.PodReady(&pod):
		return 0
	case pod.Spec.Resources == nil && withoutRequest(pod):
		return 1
	}
	return 2
}

// withoutRequest is true where a container has no request for cpu or for memory.
func withoutRequest(pod corev1.Pod) bool {
	for _, requests := range requestsOf(pod) {
		_, cpu := requests[corev1.ResourceCPU]
		_, memory := requests[corev1.ResourceMemory]
		if !cpu || !memory {
			return true
		}
	}
	return false
}

// requestsOf returns the requests by container, those of native sidecars included: the HPA controller counts them too.
func requestsOf(pod corev1.Pod) map[string]corev1.ResourceList {
	requests := map[string]corev1.ResourceList{}
	for _, container := range pod.Spec.Containers {
		requests[container.Name] = container.Resources.Requests
	}
	for _, container := range pod.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			requests[container.Name] = container.Resources.Requests
		}
	}
	return requests
}

// longestWaiting bounds what a pod waits for, in bytes.
const longestWaiting = 200

func podOf(pod corev1.Pod, prefix string) diagnose.Pod {
	seen := diagnose.Pod{Name: pod.Name, Phase: pod.Status.Phase, Ready: health.PodReady(&pod),
		Waiting: text.Shorten(waiting(pod), longestWaiting),
		Created: pod.CreationTimestamp.Time, Deleted: pod.DeletionTimestamp != nil, Owner: ownerOf(pod), Requests: requestsOf(pod),
		Annotations: map[string]string{}, Labels: fewLabels(pod.Labels)}
	if pod.Spec.Resources != nil {
		seen.ByPod = pod.Spec.Resources.Requests
	}
	for key, value := range pod.Annotations {
		if strings.HasPrefix(key, prefix) {
			seen.Annotations[key] = text.Shorten(value, longestWaiting)
		}
	}
	return seen
}

// waiting is what a container or the scheduler waits for; empty for nothing.
func waiting(pod corev1.Pod) string {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.State.Waiting != nil && status.State.Waiting.Reason != "" && status.State.Waiting.Reason != "PodInitializing" {
			return fmt.Sprintf("container %s: %s", status.Name, status.State.Waiting.Reason)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return "scheduler: " + cmp.Or(condition.Message, condition.Reason)
		}
	}
	return ""
}

// templateHashes are the labels by which the ReplicaSets of workloads tell their pods apart. The name of such a ReplicaSet is the
// workload's, a hyphen, and the hash, so that it need not be read.
var templateHashes = map[string]string{"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}

// ownerOf names the workload that a pod belongs to; empty for none.
func ownerOf(pod corev1.Pod) string {
	owner := metav1.GetControllerOf(&pod)
	if owner == nil {
		return ""
	}
	if owner.Kind == "ReplicaSet" {
		for kind, label := range templateHashes {
			if name, made := strings.CutSuffix(owner.Name, "-"+pod.Labels[label]); made && pod.Labels[label] != "" {
				return kind + " " + name
			}
		}
	}
	return owner.Kind + " " + owner.Name
}

// elsewhere returns the other workloads whose pods the selector selects. A target of a kind that is not known here may own workloads.
func (c *collection) elsewhere(pods []corev1.Pod) []string {
	target := c.hpa.Spec.ScaleTargetRef
	if !slices.Contains([]string{"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout"}, target.Kind) {
		return nil
	}
	var others []string
	for _, pod := range pods {
		owner := ownerOf(pod)
		if owner != "" && owner != target.Kind+" "+target.Name && !slices.Contains(others, owner) {
			others = append(others, owner)
		}
	}
	slices.Sort(others)
	return others[:min(len(others), diagnose.MostPods)]
}
