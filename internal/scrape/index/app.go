// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/metricspipeline/operator/internal/scrape"
)

// App is what is kept of a Service or Pod: enough to judge it, and little more than its name when its annotations do not request
// scraping. There is one for every Service and Pod of the cluster, so its size counts, and nothing in it is as long as a user likes.
type App struct {
	kind            Kind
	namespace, name string
	resourceVersion string
	// details is nil for an app that is not annotated for scraping.
	details *details
}

// details are kept of annotated apps only, of those that almost are, and of workloads whose template lacks the annotation that they have.
type details struct {
	uid types.UID
	// created is when the app was made, in seconds.
	created int64
	// annotations are those that the grammar reads. A map of so few would be several times as large.
	annotations            []scrape.Annotation
	external, selectorless bool
	// ipv6 is true for a Service with addresses of that family.
	ipv6 bool
	// ports are all ports of a Service, or of one with very many more than are read.
	ports []scrape.Port
	// nearMiss is what the metadata almost requests, if anything; of the Pods of one template it is kept once.
	nearMiss unique.Handle[string]
}

// missed returns what the metadata of an app almost requests; empty for nothing.
func (d *details) missed() string {
	if d.nearMiss == (unique.Handle[string]{}) {
		return ""
	}
	return d.nearMiss.Value()
}

// mostPorts of a Service are kept, more than the grammar accepts.
const mostPorts = 128

// compactor returns the transform of a kind's reflector, which runs before an object is stored.
func compactor(kind Kind, prefix string) cache.TransformFunc {
	return func(object any) (any, error) {
		switch full := object.(type) {
		case *corev1.Service:
			return compactService(full, prefix), nil
		case *metav1.PartialObjectMetadata:
			return compact(kind, full, prefix), nil
		}
		return object, nil // Already compact.
	}
}

func compactService(service *corev1.Service, prefix string) *App {
	a := compact(Service, service, prefix)
	if a.details != nil && a.details.annotations != nil {
		a.details.external = service.Spec.Type == corev1.ServiceTypeExternalName
		a.details.selectorless = len(service.Spec.Selector) == 0
		a.details.ipv6 = slices.Contains(service.Spec.IPFamilies, corev1.IPv6Protocol)
		for _, port := range service.Spec.Ports[:min(len(service.Spec.Ports), mostPorts)] {
			kept := scrape.PortOf(port)
			kept.Name, kept.TargetName = strings.Clone(kept.Name), strings.Clone(kept.TargetName)
			a.details.ports = append(a.details.ports, kept)
		}
	}
	return a
}

// compact copies strings, so that the garbage collector can free the object.
func compact(kind Kind, object metav1.Object, prefix string) *App {
	a := &App{kind: kind, namespace: strings.Clone(object.GetNamespace()), name: strings.Clone(object.GetName()),
		resourceVersion: strings.Clone(object.GetResourceVersion())}
	var kept []scrape.Annotation
	var nearMiss string
	if kind.workload() {
		if !scrape.BesideTemplate(prefix, object) {
			return a
		}
	} else {
		kept, nearMiss = scrape.Kept(prefix, object.GetAnnotations()), scrape.NearMiss(prefix, kind.Object(), object)
		if kept == nil && nearMiss == "" {
			return a
		}
	}
	a.details = &details{uid: types.UID(strings.Clone(string(object.GetUID()))), created: object.GetCreationTimestamp().Unix(),
		annotations: kept}
	if nearMiss != "" {
		a.details.nearMiss = unique.Make(nearMiss)
	}
	return a
}

// annotations returns those that the grammar reads, under a prefix.
func (a *App) annotations(prefix string) map[string]string {
	if a == nil || a.details == nil {
		return nil
	}
	return scrape.Under(prefix, a.details.annotations)
}

func (a *App) service(prefix string) scrape.App {
	return scrape.App{Namespace: a.namespace, Name: a.name, Annotations: a.annotations(prefix),
		External: a.details.external, Selectorless: a.details.selectorless, Ports: a.details.ports}
}

// HostNetwork is true for a Pod in the network of its node.
func (a *App) HostNetwork() bool { return a.kind == HostPod }

// Reference names the app in an event.
func (a *App) Reference() *corev1.ObjectReference {
	version, kind := a.kind.GroupVersionKind().ToAPIVersionAndKind()
	return &corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: a.namespace, Name: a.name, UID: a.details.uid}
}

// Key is unique among the apps of a kind.
func (a *App) Key() string { return a.namespace + "/" + a.name }

// GetObjectMeta is for the stores of reflectors, which read key and resourceVersion.
func (a *App) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: a.namespace, Name: a.name, ResourceVersion: a.resourceVersion}
}
