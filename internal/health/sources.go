// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// Source is a Secret or ConfigMap that a volume of a pod template refers to, in the namespace of the pods.
type Source struct {
	// Kind is Secret or ConfigMap.
	Kind, Name string
	// Optional sources may be absent.
	Optional bool
}

// VolumeSources returns the Secrets and ConfigMaps that the volumes of a pod template refer to, projected ones included,
// sorted, each once. Those that environment variables refer to are not among them: the kubelet names them itself.
func VolumeSources(template corev1.PodTemplateSpec) []Source {
	var sources []Source
	secret := func(name string, optional *bool) {
		sources = append(sources, Source{"Secret", name, ptr.Deref(optional, false)})
	}
	configMap := func(name string, optional *bool) {
		sources = append(sources, Source{"ConfigMap", name, ptr.Deref(optional, false)})
	}
	for _, volume := range template.Spec.Volumes {
		if s := volume.Secret; s != nil {
			secret(s.SecretName, s.Optional)
		}
		if c := volume.ConfigMap; c != nil {
			configMap(c.Name, c.Optional)
		}
		if volume.Projected == nil {
			continue
		}
		for _, projection := range volume.Projected.Sources {
			if s := projection.Secret; s != nil {
				secret(s.Name, s.Optional)
			}
			if c := projection.ConfigMap; c != nil {
				configMap(c.Name, c.Optional)
			}
		}
	}
	// A source that one volume demands is not optional, so the demanding volume comes first.
	slices.SortFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(rank(a), rank(b)))
	})
	return slices.CompactFunc(sources, func(a, b Source) bool { return a.Kind == b.Kind && a.Name == b.Name })
}

func rank(s Source) int {
	if s.Optional {
		return 1
	}
	return 0
}

// unmounted is the evidence of pods that wait for a missing source. Their own state is ContainerCreating, as of every new pod.
func unmounted(pods []corev1.Pod, missing []Source) evidence {
	index := slices.IndexFunc(missing, func(s Source) bool { return !s.Optional })
	waits := slices.IndexFunc(pods, isCreating)
	if index < 0 || waits < 0 {
		return evidence{}
	}
	source, pod := missing[index], pods[waits]
	return evidence{true, fmt.Sprintf("Pod %s waits for %s %s, which a volume refers to and which does not exist in namespace %s. "+
		"The user of the pipeline must create it, or correct the setting or patch that names it.",
		pod.Name, source.Kind, source.Name, pod.Namespace)}
}

// isCreating is true for a pod that has a node, and of which no container has run yet.
func isCreating(pod corev1.Pod) bool {
	for _, container := range containerStatuses(pod) {
		waiting := container.State.Waiting
		if waiting == nil || !starts(waiting.Reason) {
			return false
		}
	}
	return pod.Spec.NodeName != "" && pod.Status.Phase != corev1.PodRunning
}
