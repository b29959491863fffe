// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
)

// TestNetworkOfTheNode: a pod there has a port of its own, finds names of the cluster, and makes room before its successor starts.
func TestNetworkOfTheNode(t *testing.T) {
	type options = v1alpha1.ComponentOptions
	for name, tc := range map[string]struct {
		options options
		// ports are those of both components, in their order; 0 for that of the asset.
		ports [2]float64
	}{
		"not there":                         {options{}, [2]float64{}},
		"not there, by a value":             {options{HostNetwork: false, Port: ptr.To[int32](10250)}, [2]float64{}},
		"another port in the pod's network": {options{Port: ptr.To[int32](8443)}, [2]float64{8443, 8443}},
		"by default":                        {options{HostNetwork: true}, [2]float64{4443, 4444}},
		"on a port of the user's":           {options{HostNetwork: true, Port: ptr.To[int32](14443)}, [2]float64{14443, 14443}},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(optionsOf(tc.options), operandtest.Facts())
			for i, component := range both {
				c := operandtest.Find(t, p, component)
				for path, want := range map[string]any{
					"/spec/template/spec/hostNetwork": true, "/spec/template/spec/dnsPolicy": string(corev1.DNSClusterFirstWithHostNet),
					"/spec/strategy/rollingUpdate": map[string]any{"maxSurge": float64(0), "maxUnavailable": float64(1)},
				} {
					if !tc.options.HostNetwork {
						want = nil
					}
					if diff := cmp.Diff(want, operandtest.ValueAt(t, c, path)); diff != "" {
						t.Errorf("%s, %s (-want +got):\n%s", component, path, diff)
					}
				}
				var want any
				if tc.ports[i] != 0 {
					want = tc.ports[i]
				}
				if diff := cmp.Diff(want, operandtest.ValueAt(t, c, "/spec/template/spec/containers/0/ports/0/containerPort")); diff != "" {
					t.Errorf("port of %s (-want +got):\n%s", component, diff)
				}
			}
		})
	}
}

// TestWhoThePodsAre: labels and annotations are added to those of the operand.
func TestWhoThePodsAre(t *testing.T) {
	p := plan(optionsOf(v1alpha1.ComponentOptions{PodOptions: v1alpha1.PodOptions{
		ImagePullSecrets: []v1alpha1.NameReference{{Name: "mirror"}},
		PodLabels:        map[string]v1alpha1.LabelValue{"sidecar.istio.io/inject": "false", "a": "b"},
		PodAnnotations:   map[string]v1alpha1.AnnotationValue{"linkerd.io/inject": "disabled"},
	}}), operandtest.Facts())
	for _, component := range both {
		c := operandtest.Find(t, p, component)
		got := map[string]any{}
		for _, path := range []string{"labels/sidecar.istio.io~1inject", "labels/a"} {
			got[path] = operandtest.ValueAt(t, c, "/spec/template/metadata/"+path)
		}
		annotations, _ := operandtest.ValueAt(t, c, "/spec/template/metadata/annotations").(map[string]any)
		got["annotation"], got["digest"] = annotations["linkerd.io/inject"], annotations[operand.ConfigDigestAnnotation] != nil
		got["secrets"] = operandtest.ValueAt(t, c, "/spec/template/spec/imagePullSecrets")
		want := map[string]any{"labels/sidecar.istio.io~1inject": "false", "labels/a": "b", "annotation": "disabled",
			"digest": component == prometheusadapter.Name, "secrets": []any{map[string]any{"name": "mirror"}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", component, diff)
		}
	}
}
