// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind of apps.
type Kind string

// Kinds of apps.
const (
	Service Kind = "Service"
	Pod     Kind = "Pod"
	// HostPod is a Pod in the network of its node. Metadata does not say so, but the API server selects Pods by it.
	HostPod Kind = "HostPod"
	// Deployment, StatefulSet and DaemonSet are workloads: they are no apps, and kept only where they have the annotation that belongs
	// to their template.
	Deployment  Kind = "Deployment"
	StatefulSet Kind = "StatefulSet"
	DaemonSet   Kind = "DaemonSet"
)

// Workloads are the kinds of workloads.
func Workloads() []Kind { return []Kind{Deployment, StatefulSet, DaemonSet} }

func (k Kind) workload() bool { return slices.Contains(Workloads(), k) }

// GroupVersionKind is that of the objects.
func (k Kind) GroupVersionKind() schema.GroupVersionKind {
	if k.workload() {
		return appsv1.SchemeGroupVersion.WithKind(k.Object())
	}
	return corev1.SchemeGroupVersion.WithKind(k.Object())
}

// Object is the kind that the API server knows.
func (k Kind) Object() string {
	if k == HostPod {
		return string(Pod)
	}
	return string(k)
}
