// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
)

// Folders of kustomize components that assets have.
const (
	HighAvailability = "high-availability"
	Monitor          = "monitor"
)

// AggregatedServerFlags are flags of every program that serves a metrics API: who may call, by which authority callers are
// known, and what needs no right.
func AggregatedServerFlags() []string {
	return []string{
		"--authentication-kubeconfig", "--authentication-skip-lookup", "--authentication-tolerate-lookup-failure",
		"--authorization-always-allow-paths", "--authorization-kubeconfig", "--client-ca-file", "--requestheader-",
	}
}

// Operation is one JSON 6902 operation. Its value must be writable as JSON.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Paths in a Deployment that has one container.
const (
	podPath       = "/spec/template/spec"
	containerPath = podPath + "/containers/0"
)

// Deployment collects changes to a Deployment that has one container.
type Deployment struct{ operations []Operation }

// Patch returns the changes as a patch of the Deployment of a name.
func (d *Deployment) Patch(name string) Patch { return PatchOf("Deployment", name, d.operations...) }

func (d *Deployment) set(path string, value any) {
	d.operations = append(d.operations, Operation{Op: "add", Path: path, Value: value})
}

// Arg appends an argument to the container's.
func (d *Deployment) Arg(format string, values ...any) {
	d.set(containerPath+"/args/-", fmt.Sprintf(format, values...))
}

// Mount adds a volume and mounts it read-only.
func (d *Deployment) Mount(volume corev1.Volume, path string) {
	d.set(podPath+"/volumes/-", volume)
	d.set(containerPath+"/volumeMounts/-", corev1.VolumeMount{Name: volume.Name, MountPath: path, ReadOnly: true})
}

// Environment sets the container's variables. The values must not be secret: pods show them.
func (d *Deployment) Environment(variables []corev1.EnvVar) {
	if len(variables) > 0 {
		d.set(containerPath+"/env", variables)
	}
}

// Annotate sets the pods' annotations: a change of any of them replaces the pods.
func (d *Deployment) Annotate(annotations map[string]string) {
	d.set("/spec/template/metadata/annotations", annotations)
}

// Options sets the fields that every operand has. Arguments of the user's must be set after the operand's own.
func (d *Deployment) Options(o v1alpha1.ComponentOptions, facts cluster.Facts) {
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
	switch class := o.PriorityClassName; {
	case class == nil && facts.SystemPriority:
		// The asset's, which is system-cluster-critical.
	case ptr.Deref(class, "") == "":
		d.operations = append(d.operations, Operation{Op: "remove", Path: podPath + "/priorityClassName"})
	default:
		d.set(podPath+"/priorityClassName", *class)
	}
}

// replicas returns the desired number of pods, also where the schema's default was bypassed.
func replicas(o v1alpha1.ComponentOptions) int32 { return ptr.Deref(o.Replicas, 2) }

// Variants returns the kustomize components that the options, the spec and the cluster call for.
func Variants(o v1alpha1.ComponentOptions, in Input) []string {
	var folders []string
	if replicas(o) > 1 {
		folders = append(folders, HighAvailability)
	}
	if Monitored(in) {
		folders = append(folders, Monitor)
	}
	return folders
}

// EgressPatches open the NetworkPolicy of a name to ports that the asset does not list.
func EgressPatches(name string, listed []int32, wanted ...int32) []Patch {
	var operations []Operation
	for _, port := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		if !slices.Contains(listed, port) {
			operations = append(operations, Operation{Op: "add", Path: "/spec/egress/0/ports/-",
				Value: map[string]any{"protocol": corev1.ProtocolTCP, "port": port}})
		}
	}
	if len(operations) == 0 {
		return nil
	}
	return []Patch{PatchOf("NetworkPolicy", name, operations...)}
}

// dnsPorts are let out by every asset, over TCP and UDP.
var dnsPorts = []int32{53, 5353, 8053}

// DNSPatches open the NetworkPolicy of a name to further ports of the cluster's DNS.
func DNSPatches(name string, wanted []int32) []Patch {
	var operations []Operation
	for _, port := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		if slices.Contains(dnsPorts, port) {
			continue
		}
		for _, protocol := range []corev1.Protocol{corev1.ProtocolUDP, corev1.ProtocolTCP} {
			operations = append(operations, Operation{Op: "add", Path: "/spec/egress/0/ports/-",
				Value: map[string]any{"protocol": protocol, "port": port}})
		}
	}
	if len(operations) == 0 {
		return nil
	}
	return []Patch{PatchOf("NetworkPolicy", name, operations...)}
}

// PatchOf returns a JSON 6902 patch.
func PatchOf(kind, name string, operations ...Operation) Patch {
	content, err := json.Marshal(operations)
	if err != nil {
		panic(fmt.Sprintf("patch for %s %s: %v", kind, name, err))
	}
	return Patch{Kind: kind, Name: name, Content: string(content)}
}

// Digest is short, and changes with the content.
func Digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:8])
}
