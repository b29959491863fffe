// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestVolumeSources(t *testing.T) {
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	secret := func(name string, optional *bool) corev1.VolumeSource {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Optional: optional}}
	}
	for name, tc := range map[string]struct {
		volumes []corev1.VolumeSource
		want    []Source
	}{
		"none":                 {},
		"neither kind":         {volumes: []corev1.VolumeSource{{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		"a Secret":             {[]corev1.VolumeSource{secret("tls", nil)}, []Source{{"Secret", "tls", false}}},
		"one that is optional": {[]corev1.VolumeSource{secret("tls", ptr.To(true))}, []Source{{"Secret", "tls", true}}},
		"one that is optional in one place and demanded in another": {
			[]corev1.VolumeSource{secret("tls", ptr.To(true)), secret("tls", ptr.To(false))}, []Source{{"Secret", "tls", false}}},
		"sorted by kind and name": {
			[]corev1.VolumeSource{secret("b", nil), secret("a", nil),
				{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("b"), Optional: ptr.To(true)}}},
			[]Source{{"ConfigMap", "b", true}, {"Secret", "a", false}, {"Secret", "b", false}}},
		"projected ones": {
			[]corev1.VolumeSource{{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: named("tls")}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("ca"), Optional: ptr.To(true)}}}}}},
			[]Source{{"ConfigMap", "ca", true}, {"Secret", "tls", false}}},
	} {
		t.Run(name, func(t *testing.T) {
			var template corev1.PodTemplateSpec
			for _, source := range tc.volumes {
				template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{VolumeSource: source})
			}
			if diff := cmp.Diff(tc.want, VolumeSources(template)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMissingSource is evidence only for pods that wait for it.
func TestMissingSource(t *testing.T) {
	secret := []Source{{Kind: "Secret", Name: "token"}}
	inMetrics := func(p *corev1.Pod) { p.Namespace = "metrics" }
	for name, tc := range map[string]struct {
		deployment *appsv1.Deployment
		pod        corev1.Pod
		missing    []Source
		state      State
		says       string
	}{
		"a pod that is created": {deployment(short), pod("b", 0, creating, inMetrics), secret, Stuck,
			"Pod b waits for Secret token, which a volume refers to and which does not exist in namespace metrics. " + user + " create it"},
		"a pod whose init containers wait": {deployment(short), pod("b", 0, creating, asInit), secret, Stuck, "Secret token"},
		"a pod that has no container yet": {deployment(short), pod("b", 0, creating, func(p *corev1.Pod) { p.Status.ContainerStatuses = nil }),
			secret, Stuck, "Secret token"},
		"the one that is not optional": {deployment(short), pod("b", 0, creating),
			[]Source{{"ConfigMap", "extra", true}, {"Secret", "token", false}}, Stuck, "Secret token"},
		"an optional one":             {deployment(short), pod("b", 0, creating), []Source{{"Secret", "token", true}}, Progressing, "Pod b is starting."},
		"nothing":                     {deployment(short), pod("b", 0, creating), nil, Progressing, "Pod b is starting."},
		"a pod that runs":             {deployment(short), pod("b", 0, unready), secret, Progressing, "Pod b runs and is not ready."},
		"a pod that has run before":   {deployment(short), pod("b", 0, crashed(1, "Error", 1)), secret, Progressing, "(exit code 1: Error)"},
		"a pod without a node":        {deployment(short), pod("b", 0, scheduled("SchedulingGated", "gates")), secret, Progressing, "gates"},
		"a workload that is current":  {deployment(), pod("b", 0), secret, Current, ""},
		"an image that is also wrong": {deployment(short), pod("b", 0, waiting("InvalidImageName", "")), secret, Stuck, "no name of an image"},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := Workload(tc.deployment, []corev1.Pod{tc.pod}, tc.missing)
			if verdict.State != tc.state || !strings.Contains(verdict.Message, tc.says) {
				t.Errorf("state %d, want %d; %q, want %q", verdict.State, tc.state, verdict.Message, tc.says)
			}
		})
	}
}
