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
	"strings"

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
	templatePath  = "/spec/template/metadata"
	podPath       = "/spec/template/spec"
	containerPath = podPath + "/containers/0"
)

// Deployment collects changes to a Deployment that has one container.
type Deployment struct {
	operations  []Operation
	annotations map[string]string
}

// Patch returns the changes as a patch of the Deployment of a name.
func (d *Deployment) Patch(name string) Patch {
	operations := d.operations
	if len(d.annotations) > 0 {
		operations = append(slices.Clone(operations), Operation{Op: "add", Path: templatePath + "/annotations", Value: d.annotations})
	}
	return PatchOf("Deployment", name, operations...)
}

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

// Annotate adds to the pods' annotations: a change of any of them replaces the pods.
func (d *Deployment) Annotate(annotations map[string]string) {
	if d.annotations == nil {
		d.annotations = map[string]string{}
	}
	maps.Copy(d.annotations, annotations)
}

// Options sets the fields that every operand has; hostPort is where it listens in the network of a node by default. Arguments of the
// user's must be set after the operand's own.
func (d *Deployment) Options(o v1alpha1.ComponentOptions, facts cluster.Facts, hostPort int32) {
	d.set("/spec/replicas", replicas(o))
	d.network(o, hostPort)
	d.identity(o)
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
		d.remove(podPath + "/priorityClassName")
	default:
		d.set(podPath+"/priorityClassName", *class)
	}
}

// network chooses where the container listens. The Service leads to its port by name.
func (d *Deployment) network(o v1alpha1.ComponentOptions, hostPort int32) {
	port := ptr.Deref(o.Port, v1alpha1.KubeletPort)
	if o.HostNetwork {
		port = ptr.Deref(o.Port, hostPort)
		d.set(podPath+"/hostNetwork", true)
		// Without it a pod in the network of its node resolves no name of the cluster.
		d.set(podPath+"/dnsPolicy", corev1.DNSClusterFirstWithHostNet)
		// A node has the port once: a new pod finds none that is free until an old one has ended.
		d.set("/spec/strategy/rollingUpdate", map[string]int{"maxSurge": 0, "maxUnavailable": 1})
	}
	if port == v1alpha1.KubeletPort {
		return // The asset's.
	}
	argument := func(port int32) string { return fmt.Sprintf("--secure-port=%d", port) }
	d.operations = append(d.operations,
		Operation{Op: "test", Path: containerPath + "/args/0", Value: argument(v1alpha1.KubeletPort)},
		Operation{Op: "replace", Path: containerPath + "/args/0", Value: argument(port)},
		Operation{Op: "replace", Path: containerPath + "/ports/0/containerPort", Value: port})
}

// identity says what the pods are known by, and whom they pull their images as.
func (d *Deployment) identity(o v1alpha1.ComponentOptions) {
	for _, key := range slices.Sorted(maps.Keys(o.PodLabels)) {
		d.set(templatePath+"/labels/"+Pointer(key), o.PodLabels[key])
	}
	for key, value := range o.PodAnnotations {
		d.Annotate(map[string]string{key: string(value)})
	}
	if len(o.ImagePullSecrets) > 0 {
		d.set(podPath+"/imagePullSecrets", o.ImagePullSecrets)
	}
}

func (d *Deployment) remove(path string) {
	d.operations = append(d.operations, Operation{Op: "remove", Path: path})
}

// Pointer writes a key as a part of the path of an operation.
func Pointer(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

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

// ConfigDigestAnnotation is on the pods of a component that reads its ConfigMap once, at start: another content replaces the pods.
const ConfigDigestAnnotation = "metricspipeline.io/config-digest"

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
