// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/operand"
)

// TestWhatPodsWaitFor are Secrets, ConfigMaps and keys of theirs that do not exist, whoever refers to them, but for what the operator
// makes itself.
func TestWhatPodsWaitFor(t *testing.T) {
	in := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	w := newWorld(t, nil,
		&corev1.Secret{ObjectMeta: in("tls"), Data: map[string][]byte{"tls.crt": nil}},
		&corev1.ConfigMap{ObjectMeta: in("ca"), Data: map[string]string{"ca.crt": ""}, BinaryData: map[string][]byte{"ca.der": nil}},
		&corev1.ConfigMap{ObjectMeta: in("fan"), Data: map[string]string{"config.yaml": ""}})
	secret := func(name string, optional bool, keys ...string) corev1.VolumeSource {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Optional: ptr.To(optional), Items: items(keys)}}
	}
	configMap := func(name string, keys ...string) corev1.VolumeSource {
		return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items(keys)}}
	}
	for name, tc := range map[string]struct {
		volume corev1.VolumeSource
		pull   string
		want   []health.Source
	}{
		"all there":                       {volume: secret("tls", false, "tls.crt")},
		"all there of a ConfigMap":        {volume: configMap("ca", "ca.crt", "ca.der")},
		"a Secret":                        {volume: secret("absent", false, "a"), want: []health.Source{{Kind: "Secret", Name: "absent"}}},
		"a ConfigMap":                     {volume: configMap("absent"), want: []health.Source{{Kind: "ConfigMap", Name: "absent"}}},
		"an optional one":                 {volume: secret("absent", true)},
		"a key of a Secret":               {volume: secret("tls", false, "tls.crt", "tls.key"), want: []health.Source{{Kind: "Secret", Name: "tls", Keys: []string{"tls.key"}}}},
		"a key of a ConfigMap":            {volume: configMap("ca", "ca.pem"), want: []health.Source{{Kind: "ConfigMap", Name: "ca", Keys: []string{"ca.pem"}}}},
		"a key of an optional one":        {volume: secret("tls", true, "tls.key")},
		"the component's ConfigMap":       {volume: configMap("lamp")},
		"a key of the component's own":    {volume: configMap("fan", "envoy.yaml"), want: []health.Source{{Kind: "ConfigMap", Name: "fan", Keys: []string{"envoy.yaml"}}}},
		"its certificate":                 {volume: secret("fan-tls", false, "tls.crt")},
		"a Secret to pull with":           {pull: "mirror", want: []health.Source{{Kind: "Secret", Name: "mirror", Pull: true}}},
		"a Secret to pull with, is there": {pull: "tls"},
		"one that cannot be read":         {volume: secret("hidden", false, "a")},
	} {
		t.Run(name, func(t *testing.T) {
			w.unreadable = map[string]error{"Secret hidden": errors.New("refused")}
			component, template := operand.Component{Name: "fan", Serving: "fan-tls"}, corev1.PodTemplateSpec{}
			if name == "the component's ConfigMap" {
				component.Name = "lamp"
			}
			if tc.pull != "" {
				template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: tc.pull}}
			} else {
				template.Spec.Volumes = []corev1.Volume{{Name: "a", VolumeSource: tc.volume}}
			}
			got := w.missing(t.Context(), component, &appsv1.Deployment{ObjectMeta: in("fan"), Spec: appsv1.DeploymentSpec{Template: template}})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

func items(keys []string) []corev1.KeyToPath {
	var all []corev1.KeyToPath
	for _, key := range keys {
		all = append(all, corev1.KeyToPath{Key: key, Path: key})
	}
	return all
}
