// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// bytesWithoutVolume is how much disk samples take where no volume is claimed: three quarters of what the asset allows.
const bytesWithoutVolume = 3 << 30

// deployment returns the folders of the assets that make the Deployment, and the changes to it.
func deployment(in operand.Input) ([]string, []operand.Patch) {
	spec := in.Spec.Prometheus.Managed
	d := &operand.Deployment{}
	d.Options(v1alpha1.ComponentOptions{Replicas: ptr.To(replicas(spec)), PodOptions: spec.PodOptions}, in.Facts, 0)
	d.Arg("--storage.tsdb.retention.time=%s", retention(spec))
	d.Arg("--storage.tsdb.retention.size=%dMB", retentionBytes(spec)>>20)
	for _, extra := range spec.ExtraArgs {
		d.Arg("%s", extra)
	}
	var variants []string
	if replicas(spec) > 1 {
		variants = append(variants, operand.HighAvailability)
	}
	patches := []operand.Patch{operand.PatchOf("Deployment", Name,
		operand.Operation{Op: "replace", Path: "/spec/minReadySeconds", Value: untilRates(spec)})}
	if claimed(spec) {
		variants = append(variants, volume)
		patches = append(patches, claim(spec))
	}
	if ca := in.Spec.MetricsServer.Kubelet.TLS.CA; ca != nil {
		patches = append(patches, mount("kubelet-ca", *ca, kubeletCA, authorityFile))
	}
	for _, key := range remoteKeys(spec) {
		patches = append(patches, mount(key.volume(), key.from, key.path(), key.name))
	}
	if in.Facts.PlatformUsers {
		patches = append(patches, operand.PatchOf("Deployment", Name, withoutUsers("/spec/template/spec")...))
	}
	return variants, append(patches, d.Patch(Name))
}

// untilRates is how many seconds a pod without samples takes until it has rates: of two scrapes.
func untilRates(spec *v1alpha1.ManagedPrometheusSpec) int {
	return int((discovery + 2*spec.ScrapeInterval.Or(defaultInterval)) / time.Second)
}

// withoutUsers leaves the users of a pod to the platform.
func withoutUsers(spec string) []operand.Operation {
	var operations []operand.Operation
	for _, field := range []string{"runAsUser", "runAsGroup", "fsGroup"} {
		operations = append(operations, operand.Operation{Op: "remove", Path: spec + "/securityContext/" + field})
	}
	return operations
}

// claim is the change to the PersistentVolumeClaim.
func claim(spec *v1alpha1.ManagedPrometheusSpec) operand.Patch {
	operations := []operand.Operation{{Op: "replace", Path: "/spec/resources/requests/storage", Value: spec.Storage.Size}}
	if class := spec.Storage.StorageClassName; class != nil {
		operations = append(operations, operand.Operation{Op: "add", Path: "/spec/storageClassName", Value: *class})
	}
	return operand.PatchOf("PersistentVolumeClaim", Name, operations...)
}

// mount mounts a key that the spec names, of which the configuration is checked too, and no other key of its object.
func mount(name string, from v1alpha1.CertificateAuthority, path, file string) operand.Patch {
	volume := corev1.Volume{Name: name}
	if of := from.Secret; of != nil {
		volume.Secret = &corev1.SecretVolumeSource{SecretName: of.Name, Items: []corev1.KeyToPath{{Key: of.Key, Path: file}}}
	} else if of := from.ConfigMap; of != nil {
		volume.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: of.Name},
			Items: []corev1.KeyToPath{{Key: of.Key, Path: file}}}
	}
	mount := corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: true}
	const pod = "/spec/template/spec/"
	return operand.PatchOf("Deployment", Name,
		operand.Operation{Op: "add", Path: pod + "volumes/-", Value: volume},
		operand.Operation{Op: "add", Path: pod + "initContainers/0/volumeMounts/-", Value: mount},
		operand.Operation{Op: "add", Path: pod + "containers/0/volumeMounts/-", Value: mount})
}

// ingress opens the NetworkPolicy where those who query are in the network of their node, which no selector can name.
func ingress(in operand.Input) []operand.Patch {
	if !in.Spec.PrometheusAdapter.HostNetwork {
		return nil
	}
	return []operand.Patch{operand.PatchOf("NetworkPolicy", Name, operand.Operation{Op: "remove", Path: "/spec/ingress/0/from"})}
}

func replicas(spec *v1alpha1.ManagedPrometheusSpec) int32 { return ptr.Deref(spec.Replicas, 1) }

func claimed(spec *v1alpha1.ManagedPrometheusSpec) bool {
	return spec.Storage != nil && spec.Storage.Size != ""
}

func retention(spec *v1alpha1.ManagedPrometheusSpec) string {
	return model.Duration(spec.Retention.Or(defaultRetention)).String()
}

// retentionBytes leaves a fifth of the volume to what Prometheus does not count.
func retentionBytes(spec *v1alpha1.ManagedPrometheusSpec) int64 {
	if !claimed(spec) {
		return bytesWithoutVolume
	}
	size, err := resource.ParseQuantity(string(spec.Storage.Size))
	if err != nil {
		return bytesWithoutVolume
	}
	return size.Value() / 5 * 4
}

// mountedAuthority is where prometheus-operator mounts the authority of the kubelets that the spec names.
func mountedAuthority(in operand.Input) string {
	switch ca := in.Spec.MetricsServer.Kubelet.TLS.CA; {
	case ca == nil:
		return ""
	case ca.Secret != nil:
		return fmt.Sprintf("/etc/prometheus/secrets/%s/%s", ca.Secret.Name, ca.Secret.Key)
	default:
		return fmt.Sprintf("/etc/prometheus/configmaps/%s/%s", ca.ConfigMap.Name, ca.ConfigMap.Key)
	}
}

// prometheusObject returns the changes to the Prometheus object.
func prometheusObject(in operand.Input, image string) operand.Patch {
	spec := in.Spec.Prometheus.Managed
	var operations []operand.Operation
	set := func(field string, value any) {
		operations = append(operations, operand.Operation{Op: "add", Path: "/spec/" + field, Value: value})
	}
	set("replicas", replicas(spec))
	set("image", image)
	set("version", version)
	set("retention", retention(spec))
	set("retentionSize", fmt.Sprintf("%dMB", retentionBytes(spec)>>20))
	set("scrapeInterval", model.Duration(spec.ScrapeInterval.Or(defaultInterval)).String())
	set("scrapeTimeout", timeout(in))
	if claimed(spec) {
		claim := map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": spec.Storage.Size}}}
		if class := spec.Storage.StorageClassName; class != nil {
			claim["storageClassName"] = *class
		}
		set("storage", map[string]any{"volumeClaimTemplate": map[string]any{"spec": claim}})
	} else {
		set("storage", map[string]any{"emptyDir": map[string]any{"sizeLimit": "4Gi"}})
	}
	if replicas(spec) > 1 {
		set("minReadySeconds", untilRates(spec)) // Until then the other one is not replaced.
	}
	if len(spec.RemoteWrite) > 0 {
		set("remoteWrite", remoteWritesOfObject(spec))
	}
	if in.Facts.PlatformUsers {
		operations = append(operations, withoutUsers("/spec")...)
	}
	if in.Spec.Scrape.HonorLabels == nil {
		enforceNamespace(set, in.Facts.Namespace)
	}
	podOptions(spec.PodOptions, in, set)
	if len(spec.ExtraArgs) > 0 {
		set("additionalArgs", arguments(spec.ExtraArgs))
	}
	return operand.PatchOf("Prometheus", prometheus.ManagedObject, operations...)
}

// podOptions sets the fields of pods that the Prometheus object has.
func podOptions(o v1alpha1.PodOptions, in operand.Input, set func(string, any)) {
	if o.Resources != nil {
		set("resources", o.Resources)
	}
	selector := map[string]string{}
	maps.Copy(selector, o.NodeSelector)
	selector[corev1.LabelOSStable] = "linux"
	set("nodeSelector", selector)
	if len(o.Tolerations) > 0 {
		set("tolerations", o.Tolerations)
	}
	if o.Affinity != nil {
		set("affinity", o.Affinity)
	}
	switch class := o.PriorityClassName; {
	case class == nil && in.Facts.SystemPriority:
		set("priorityClassName", cluster.SystemPriorityClass)
	case ptr.Deref(class, "") != "":
		set("priorityClassName", *class)
	}
	if len(o.ImagePullSecrets) > 0 {
		set("imagePullSecrets", o.ImagePullSecrets)
	}
	for _, key := range slices.Sorted(maps.Keys(o.PodLabels)) {
		set("podMetadata/labels/"+operand.Pointer(key), o.PodLabels[key])
	}
	if len(o.PodAnnotations) > 0 {
		set("podMetadata/annotations", o.PodAnnotations)
	}
	switch ca := in.Spec.MetricsServer.Kubelet.TLS.CA; {
	case ca == nil:
	case ca.Secret != nil:
		set("secrets", []string{ca.Secret.Name})
	case ca.ConfigMap != nil:
		set("configMaps", []string{ca.ConfigMap.Name})
	}
}

// enforceNamespace has each series of a monitor carry the namespace of it, whatever the app or the monitor says: somebody may have labeled
// a monitor like the operator's, until that is deleted. What the operator has in its own namespace is about the whole cluster.
func enforceNamespace(set func(string, any), own string) {
	set("overrideHonorLabels", true)
	set("enforcedNamespaceLabel", "namespace")
	var excluded []map[string]string
	for _, resource := range []string{"servicemonitors", "prometheusrules"} {
		excluded = append(excluded, map[string]string{"group": "monitoring.coreos.com", "resource": resource, "namespace": own})
	}
	set("excludedFromEnforcement", excluded)
}

// arguments are flags as prometheus-operator takes them.
func arguments(flags []string) []map[string]string {
	var all []map[string]string
	for _, flag := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		argument := map[string]string{"name": name}
		if value != "" {
			argument["value"] = value
		}
		all = append(all, argument)
	}
	return all
}
