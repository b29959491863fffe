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

func TestSources(t *testing.T) {
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
		"a Secret":             {[]corev1.VolumeSource{secret("tls", nil)}, []Source{{Kind: "Secret", Name: "tls"}}},
		"one that is optional": {[]corev1.VolumeSource{secret("tls", ptr.To(true))}, []Source{{Kind: "Secret", Name: "tls", Optional: true}}},
		"one that is optional in one place and demanded in another": {
			[]corev1.VolumeSource{secret("tls", ptr.To(true)), secret("tls", ptr.To(false))}, []Source{{Kind: "Secret", Name: "tls"}}},
		"sorted by kind and name": {
			[]corev1.VolumeSource{secret("b", nil), secret("a", nil),
				{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("b"), Optional: ptr.To(true)}}},
			[]Source{{Kind: "ConfigMap", Name: "b", Optional: true}, {Kind: "Secret", Name: "a"}, {Kind: "Secret", Name: "b"}}},
		"projected ones": {
			[]corev1.VolumeSource{{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: named("tls")}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("ca"), Optional: ptr.To(true)}}}}}},
			[]Source{{Kind: "ConfigMap", Name: "ca", Optional: true}, {Kind: "Secret", Name: "tls"}}},
		"the keys that volumes name, but for optional ones": {
			[]corev1.VolumeSource{
				{Secret: &corev1.SecretVolumeSource{SecretName: "tls", Items: keys("ca.crt")}},
				{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: named("tls"), Items: keys("tls.crt", "tls.key")}}}}},
				{Secret: &corev1.SecretVolumeSource{SecretName: "tls", Optional: ptr.To(true), Items: keys("more")}}},
			[]Source{{Kind: "Secret", Name: "tls", Keys: []string{"ca.crt", "tls.crt", "tls.key"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var template corev1.PodTemplateSpec
			for _, source := range tc.volumes {
				template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{VolumeSource: source})
			}
			if diff := cmp.Diff(tc.want, Sources(template)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPullSecrets are sources of their own: one may be mounted as well.
func TestPullSecrets(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "tls"}, {Name: "mirror"}},
		Volumes:          []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "tls"}}}}}}
	want := []Source{{Kind: "Secret", Name: "mirror", Pull: true}, {Kind: "Secret", Name: "tls"}, {Kind: "Secret", Name: "tls", Pull: true}}
	if diff := cmp.Diff(want, Sources(template)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func keys(names ...string) []corev1.KeyToPath {
	var items []corev1.KeyToPath
	for _, name := range names {
		items = append(items, corev1.KeyToPath{Key: name, Path: name})
	}
	return items
}

// TestMissingSource is evidence only for pods that wait for it.
func TestMissingSource(t *testing.T) {
	secret, pull := []Source{{Kind: "Secret", Name: "token"}}, []Source{{Kind: "Secret", Name: "mirror", Pull: true}}
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
			[]Source{{Kind: "ConfigMap", Name: "extra", Optional: true}, {Kind: "Secret", Name: "token"}}, Stuck, "Secret token"},
		"an optional one": {deployment(short), pod("b", 0, creating), []Source{{Kind: "Secret", Name: "token", Optional: true}}, Progressing, "Pod b is starting."},
		"nothing":         {deployment(short), pod("b", 0, creating), nil, Progressing, "Pod b is starting."},
		"a key": {deployment(short), pod("b", 0, creating, inMetrics), []Source{{Kind: "ConfigMap", Name: "ca", Keys: []string{"ca.crt"}}}, Stuck,
			`Pod b waits for key "ca.crt" of ConfigMap ca, which a volume refers to and which that ConfigMap of namespace metrics does not have. ` +
				user + " add it"},
		"a Secret to pull with": {deployment(short), pod("b", 0, waiting("ErrImagePull", "unauthorized"), inMetrics), pull, Stuck,
			"Pod b: image example.com/main:v1 cannot be pulled, and Secret mirror, which imagePullSecrets names, does not exist in namespace metrics. " + user},
		"a Secret to pull with, backing off":  {deployment(short), pod("b", 0, waiting("ImagePullBackOff", "unauthorized")), pull, Stuck, "Secret mirror"},
		"a Secret that is not needed to pull": {deployment(short), pod("b", 0, creating), pull, Progressing, "Pod b is starting."},
		"a pod that runs":                     {deployment(short), pod("b", 0, unready), secret, Progressing, "Pod b runs and is not ready."},
		"a pod that has run before":           {deployment(short), pod("b", 0, crashed(1, "Error", 1)), secret, Progressing, "(exit code 1: Error)"},
		"a pod without a node":                {deployment(short), pod("b", 0, scheduled("SchedulingGated", "gates")), secret, Progressing, "gates"},
		"a workload that is current":          {deployment(), pod("b", 0), secret, Current, ""},
		"an image that is also wrong":         {deployment(short), pod("b", 0, waiting("InvalidImageName", "")), secret, Stuck, "no name of an image"},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := Workload(tc.deployment, []corev1.Pod{tc.pod}, tc.missing)
			if verdict.State != tc.state || !strings.Contains(verdict.Message, tc.says) {
				t.Errorf("state %d, want %d; %q, want %q", verdict.State, tc.state, verdict.Message, tc.says)
			}
		})
	}
}
