// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// types are those of the kinds that can be patched.
var types = map[schema.GroupKind]reflect.Type{
	deployments:              reflect.TypeFor[appsv1.Deployment](),
	{Kind: "Service"}:        reflect.TypeFor[corev1.Service](),
	{Kind: "ServiceAccount"}: reflect.TypeFor[corev1.ServiceAccount](),
	{Kind: "ConfigMap"}:      reflect.TypeFor[corev1.ConfigMap](),
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:      reflect.TypeFor[networkingv1.NetworkPolicy](),
	{Group: "policy", Kind: "PodDisruptionBudget"}:           reflect.TypeFor[policyv1.PodDisruptionBudget](),
	{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}: reflect.TypeFor[monitoringv1.ServiceMonitor](),
	{Group: "monitoring.coreos.com", Kind: "PrometheusRule"}: reflect.TypeFor[monitoringv1.PrometheusRule](),
}

// member returns the type of a field by its name in JSON; nil for none.
func member(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name == "*" && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		return t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name && name != "" {
			return field.Type
		}
		if tag == "" && field.Anonymous {
			if inner := member(field.Type, name); inner != nil {
				return inner
			}
		}
	}
	return nil
}

// TestRulesAreAboutFields: a rule with a typing mistake would allow nothing, and nobody would see it.
func TestRulesAreAboutFields(t *testing.T) {
	for kind, rules := range byKind {
		for _, r := range rules {
			at := types[kind]
			for i, element := range r.pattern {
				if at = member(at, element); at == nil {
					t.Errorf("a %s has no %s", kind, strings.Join(r.pattern[:i+1], "."))
					break
				}
			}
		}
	}
}

// namesOf returns the fields of a type as in JSON.
func namesOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" && t.Field(i).Anonymous {
			names = append(names, namesOf(t.Field(i).Type)...)
		} else if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// TestRefusedFields are those of pods that no patch may change. A field that a new version of Kubernetes brings fails the test until
// it is decided on; it is refused until then.
func TestRefusedFields(t *testing.T) {
	pods := "spec.template.spec"
	for at, tc := range map[string]struct {
		of   reflect.Type
		want []string
	}{
		pods: {reflect.TypeFor[corev1.PodSpec](), []string{
			"activeDeadlineSeconds", "ephemeralContainers", "evictionResponders", "hostIPC", "hostNetwork", "hostPID", "hostUsers", "hostname", "hostnameOverride",
			"nodeName", "os", "overhead", "priority", "readinessGates", "resourceClaims", "restartPolicy", "schedulingGates",
			"schedulingGroup", "serviceAccount", "serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "subdomain",
		}},
		pods + ".containers.*":                 {reflect.TypeFor[corev1.Container](), []string{"volumeDevices"}},
		pods + ".initContainers.*":             {reflect.TypeFor[corev1.Container](), []string{"volumeDevices"}},
		pods + ".containers.*.ports.*":         {reflect.TypeFor[corev1.ContainerPort](), []string{"hostIP", "hostPort"}},
		pods + ".containers.*.env.*.valueFrom": {reflect.TypeFor[corev1.EnvVarSource](), nil},
		pods + ".containers.*.envFrom.*":       {reflect.TypeFor[corev1.EnvFromSource](), nil},
		pods + ".volumes.*": {reflect.TypeFor[corev1.Volume](), []string{
			"awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "ephemeral", "fc", "flexVolume", "flocker",
			"gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "image", "iscsi", "nfs", "persistentVolumeClaim",
			"photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
		}},
		pods + ".volumes.*.projected.sources.*": {reflect.TypeFor[corev1.VolumeProjection](), []string{"podCertificate"}},
		"spec":                                  {reflect.TypeFor[appsv1.DeploymentSpec](), []string{"paused", "selector"}},
	} {
		var got []string
		for _, name := range namesOf(tc.of) {
			field := path(append(strings.Split(at, "."), name))
			if !slices.ContainsFunc(byKind[deployments], func(r rule) bool { return r.covers(field) || r.leads(field) }) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("refused fields of %s (-want +got):\n%s", at, diff)
		}
	}
}
