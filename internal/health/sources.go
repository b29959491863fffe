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

// Source is a Secret or ConfigMap that a pod template refers to, in the namespace of the pods.
type Source struct {
	// Kind is Secret or ConfigMap.
	Kind, Name string
	// Optional sources may be absent.
	Optional bool
	// Keys are those that volumes name. Of a source that is missing, they are the keys that it does not have; none where there is no
	// such object.
	Keys []string
	// Pull is true of a Secret with which images are pulled. Pods start without it where the registry demands none.
	Pull bool
}

// Sources returns the Secrets and ConfigMaps that a pod template refers to by its volumes, projected ones included, and by
// imagePullSecrets: sorted, each once. Those that environment variables refer to are not among them: the kubelet names them itself.
func Sources(template corev1.PodTemplateSpec) []Source {
	var sources []Source
	add := func(kind, name string, optional *bool, items []corev1.KeyToPath) {
		source := Source{Kind: kind, Name: name, Optional: ptr.Deref(optional, false)}
		for _, item := range items {
			source.Keys = append(source.Keys, item.Key)
		}
		sources = append(sources, source)
	}
	for _, volume := range template.Spec.Volumes {
		if s := volume.Secret; s != nil {
			add("Secret", s.SecretName, s.Optional, s.Items)
		}
		if c := volume.ConfigMap; c != nil {
			add("ConfigMap", c.Name, c.Optional, c.Items)
		}
		if volume.Projected == nil {
			continue
		}
		for _, projection := range volume.Projected.Sources {
			if s := projection.Secret; s != nil {
				add("Secret", s.Name, s.Optional, s.Items)
			}
			if c := projection.ConfigMap; c != nil {
				add("ConfigMap", c.Name, c.Optional, c.Items)
			}
		}
	}
	for _, secret := range template.Spec.ImagePullSecrets {
		sources = append(sources, Source{Kind: "Secret", Name: secret.Name, Pull: true})
	}
	return merged(sources)
}

// merged sorts sources and joins what is said of one.
func merged(sources []Source) []Source {
	// A source that one volume demands is not optional, so the demanding volume comes first.
	slices.SortStableFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(rank(a), rank(b)))
	})
	var all []Source
	for _, source := range sources {
		last := len(all) - 1
		switch {
		case last < 0 || all[last].Kind != source.Kind || all[last].Name != source.Name || all[last].Pull != source.Pull:
			all = append(all, source)
		case !source.Optional:
			all[last].Keys = append(all[last].Keys, source.Keys...)
		}
	}
	return all
}

func rank(s Source) int {
	switch {
	case s.Pull:
		return 2
	case s.Optional:
		return 1
	default:
		return 0
	}
}

// unmounted is the evidence of pods that wait for a missing source. Their own state is ContainerCreating, as of every new pod.
func unmounted(pods []corev1.Pod, missing []Source) evidence {
	index := slices.IndexFunc(missing, func(s Source) bool { return !s.Optional && !s.Pull })
	waits := slices.IndexFunc(pods, isCreating)
	if index < 0 || waits < 0 {
		return evidence{}
	}
	source, pod := missing[index], pods[waits]
	if len(source.Keys) > 0 {
		return evidence{true, fmt.Sprintf("Pod %s waits for key %q of %s %s, which a volume refers to and which that %[3]s of namespace "+
			"%[5]s does not have. The user of the pipeline must add it, or correct the setting or patch that names it.",
			pod.Name, source.Keys[0], source.Kind, source.Name, pod.Namespace)}
	}
	return evidence{true, fmt.Sprintf("Pod %s waits for %s %s, which a volume refers to and which does not exist in namespace %s. "+
		"The user of the pipeline must create it, or correct the setting or patch that names it.",
		pod.Name, source.Kind, source.Name, pod.Namespace)}
}

// unpulled is the evidence of pods whose images cannot be pulled while a Secret to pull them with is missing: what the registry answers
// does not name it.
func unpulled(pods []corev1.Pod, missing []Source) evidence {
	index := slices.IndexFunc(missing, func(s Source) bool { return s.Pull })
	if index < 0 {
		return evidence{}
	}
	for _, pod := range pods {
		for _, container := range containerStatuses(pod) {
			waiting := container.State.Waiting
			if waiting == nil || !slices.Contains(pullReasons, waiting.Reason) {
				continue
			}
			return evidence{true, fmt.Sprintf("Pod %s: image %s cannot be pulled, and Secret %s, which imagePullSecrets names, does not "+
				"exist in namespace %s. The user of the pipeline must create it, or correct the component's imagePullSecrets.",
				pod.Name, imageOf(pod, container), missing[index].Name, pod.Namespace)}
		}
	}
	return evidence{}
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
