// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Folders of kustomize components that every asset has.
const (
	variantHighAvailability = "high-availability"
	variantMonitor          = "monitor"
)

// operation is one JSON 6902 operation.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Paths in a Deployment that has one container.
const (
	podPath       = "/spec/template/spec"
	containerPath = podPath + "/containers/0"
)

// deployment collects operations on the component's Deployment.
type deployment struct{ operations []operation }

func (d *deployment) set(path string, value any) {
	d.operations = append(d.operations, operation{Op: "add", Path: path, Value: value})
}

func (d *deployment) arg(format string, values ...any) {
	d.set(containerPath+"/args/-", fmt.Sprintf(format, values...))
}

// mount adds a volume and mounts it read-only.
func (d *deployment) mount(volume corev1.Volume, path string) {
	d.set(podPath+"/volumes/-", volume)
	d.set(containerPath+"/volumeMounts/-", corev1.VolumeMount{Name: volume.Name, MountPath: path, ReadOnly: true})
}

// annotate sets the pods' annotations: a change of any of them replaces the pods.
func (d *deployment) annotate(annotations map[string]string) {
	d.set("/spec/template/metadata/annotations", annotations)
}

// options sets the knobs that every component has. extraArgs must be set after the component's own arguments.
func (d *deployment) options(o v1alpha1.ComponentOptions) {
	d.set("/spec/replicas", replicas(o))
	if o.Resources != nil {
		d.set(containerPath+"/resources", o.Resources)
	}
	if len(o.NodeSelector) > 0 {
		selector := maps.Clone(o.NodeSelector)
		selector[corev1.LabelOSStable] = "linux"
		d.set(podPath+"/nodeSelector", selector)
	}
	if len(o.Tolerations) > 0 {
		d.set(podPath+"/tolerations", o.Tolerations)
	}
	if o.Affinity != nil {
		d.set(podPath+"/affinity", o.Affinity)
	}
	switch name := o.PriorityClassName; {
	case name == nil: // The schema's default was bypassed: the asset's stays.
	case *name == "":
		d.operations = append(d.operations, operation{Op: "remove", Path: podPath + "/priorityClassName"})
	default:
		d.set(podPath+"/priorityClassName", *name)
	}
}

// replicas returns the wanted number of pods, also where the schema's default was bypassed.
func replicas(o v1alpha1.ComponentOptions) int32 { return ptr.Deref(o.Replicas, 2) }

// image returns the image of a component: the spec's, or the operator's default.
func image(o v1alpha1.ComponentOptions, caps Capabilities, name string) string {
	if o.Image != "" {
		return o.Image
	}
	return caps.Images[name]
}

// variants returns the kustomize components that the options and the cluster ask for.
func variants(o v1alpha1.ComponentOptions, caps Capabilities) []string {
	var folders []string
	if replicas(o) > 1 {
		folders = append(folders, variantHighAvailability)
	}
	if caps.ServiceMonitors {
		folders = append(folders, variantMonitor)
	}
	return folders
}

// monitorPatches stamp the labels that the chosen Prometheus selects monitors by.
func monitorPatches(name string, caps Capabilities) []Patch {
	if !caps.ServiceMonitors || len(caps.MonitorLabels) == 0 {
		return nil
	}
	return []Patch{patchOf("ServiceMonitor", name, operation{Op: "add", Path: "/metadata/labels", Value: caps.MonitorLabels})}
}

// egressPatches open the NetworkPolicy to ports that the asset does not list.
func egressPatches(name string, listed []int32, wanted ...int32) []Patch {
	var operations []operation
	for _, port := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		if !slices.Contains(listed, port) {
			operations = append(operations, operation{Op: "add", Path: "/spec/egress/0/ports/-",
				Value: map[string]any{"protocol": corev1.ProtocolTCP, "port": port}})
		}
	}
	if len(operations) == 0 {
		return nil
	}
	return []Patch{patchOf("NetworkPolicy", name, operations...)}
}

// patchOf returns a JSON 6902 patch. The operations hold only values that can be written as JSON.
func patchOf(kind, name string, operations ...operation) Patch {
	content, err := json.Marshal(operations)
	if err != nil {
		panic(fmt.Sprintf("patch for %s %s: %v", kind, name, err))
	}
	return Patch{Kind: kind, Name: name, Content: string(content)}
}
