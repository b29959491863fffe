// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"fmt"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// names are what values are judged by.
type names struct {
	// secrets are those that pods refer to without patches: the operand's own, and what fields of the spec name.
	secrets []string
	// guarded are flags that no patch may give to a container.
	guarded []string
}

// references returns the Secrets that pods refer to.
func references(objects []*unstructured.Unstructured) (names, error) {
	found := names{}
	for _, object := range objects {
		if !makesPods(object) {
			continue
		}
		pods, err := podsOf(object)
		if err != nil {
			return names{}, err
		}
		for _, volume := range pods.Spec.Volumes {
			found.volume(volume)
		}
		for _, container := range slices.Concat(pods.Spec.InitContainers, pods.Spec.Containers) {
			found.container(container)
		}
	}
	return found, nil
}

func (n *names) volume(volume corev1.Volume) {
	if volume.Secret != nil {
		n.secrets = append(n.secrets, volume.Secret.SecretName)
	}
	if volume.Projected == nil {
		return
	}
	for _, source := range volume.Projected.Sources {
		if source.Secret != nil {
			n.secrets = append(n.secrets, source.Secret.Name)
		}
	}
}

func (n *names) container(container corev1.Container) {
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil {
			n.secrets = append(n.secrets, from.SecretRef.Name)
		}
	}
	for _, variable := range container.Env {
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil {
			n.secrets = append(n.secrets, from.SecretKeyRef.Name)
		}
	}
}

func podsOf(object *unstructured.Unstructured) (corev1.PodTemplateSpec, error) {
	deployment := &appsv1.Deployment{}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment)
	return deployment.Spec.Template, err
}

// evaluator has the checks of the API server's own admission.
var evaluator = sync.OnceValues(func() (policy.Evaluator, error) { return policy.NewEvaluator(policy.DefaultChecks(), nil) })

// podSecurity returns what of the Pod Security level restricted the pods of an object violate that they did not violate without the
// patch. What a field of the spec wants, such as the host's network, they did.
func podSecurity(before, after *unstructured.Unstructured) ([]string, error) {
	was, err := forbidden(before)
	if err != nil {
		return nil, err
	}
	is, err := forbidden(after)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(is, func(reason string) bool { return slices.Contains(was, reason) }), nil
}

// forbidden returns why pods may not run under the level restricted.
func forbidden(object *unstructured.Unstructured) ([]string, error) {
	checks, err := evaluator()
	if err != nil {
		return nil, err
	}
	pods, err := podsOf(object)
	if err != nil {
		return nil, fmt.Errorf("it is no %s: %w", object.GetKind(), err)
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	var reasons []string
	for _, result := range checks.EvaluatePod(level, &pods.ObjectMeta, &pods.Spec) {
		if !result.Allowed {
			reasons = append(reasons, fmt.Sprintf("%s (%s)", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return reasons, nil
}
