// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/internal/scrape"
)

// App is what is kept of a Service or Pod: enough to judge it under any prefix, and little more than its name when it has no
// annotation of the grammar. There is one for every Service and Pod of the cluster, so its size counts.
type App struct {
	kind            Kind
	namespace, name string
	resourceVersion string
	// details is nil for an app without annotations.
	details *details
}

// details are kept of annotated apps only.
type details struct {
	uid                    types.UID
	annotations            []annotation
	external, selectorless bool
	ports                  []scrape.Port
}

type annotation struct{ key, value string }

// readable are the endings of the annotations that the grammar reads under any prefix.
var readable = []string{"/scrape", "/port", "/path", "/scheme"}

// compactService and compactPod are transforms of reflectors: they run before an object is stored.
func compactService(object any) (any, error) {
	service, ok := object.(*corev1.Service)
	if !ok {
		return object, nil // Already compact.
	}
	a := compact(Service, service)
	if a.details != nil {
		a.details.external = service.Spec.Type == corev1.ServiceTypeExternalName
		a.details.selectorless = len(service.Spec.Selector) == 0
		for _, port := range service.Spec.Ports {
			a.details.ports = append(a.details.ports, scrape.Port{Name: strings.Clone(port.Name), Number: port.Port,
				Target: port.TargetPort.IntVal, TargetName: strings.Clone(port.TargetPort.StrVal)})
		}
	}
	return a, nil
}

func compactPod(object any) (any, error) {
	pod, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return compact(Pod, pod), nil
}

// compact copies strings, so that the garbage collector can free the object.
func compact(kind Kind, object metav1.Object) *App {
	a := &App{kind: kind, namespace: strings.Clone(object.GetNamespace()), name: strings.Clone(object.GetName()),
		resourceVersion: strings.Clone(object.GetResourceVersion())}
	var kept []annotation
	for key, value := range object.GetAnnotations() {
		for _, end := range readable {
			if strings.HasSuffix(key, end) {
				kept = append(kept, annotation{strings.Clone(key), strings.Clone(value)})
			}
		}
	}
	if len(kept) > 0 {
		a.details = &details{uid: object.GetUID(), annotations: kept}
	}
	return a
}

// annotations returns those below a prefix.
func (a *App) annotations(prefix string) map[string]string {
	if a.details == nil {
		return nil
	}
	found := map[string]string{}
	for _, kept := range a.details.annotations {
		if strings.HasPrefix(kept.key, prefix+"/") {
			found[kept.key] = kept.value
		}
	}
	return found
}

func (a *App) service(prefix string) scrape.App {
	return scrape.App{Namespace: a.namespace, Name: a.name, Annotations: a.annotations(prefix),
		External: a.details.external, Selectorless: a.details.selectorless, Ports: a.details.ports}
}

// Reference names the app in an event.
func (a *App) Reference() *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: string(a.kind), Namespace: a.namespace, Name: a.name, UID: a.details.uid}
}

// key is unique among the apps of a kind.
func (a *App) key() string { return a.namespace + "/" + a.name }

// GetObjectMeta is for the stores of reflectors, which read key and resourceVersion.
func (a *App) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: a.namespace, Name: a.name, ResourceVersion: a.resourceVersion}
}
