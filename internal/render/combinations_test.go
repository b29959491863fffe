// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// choice is one way to set one knob.
type choice struct {
	name string
	set  func(*input)
}

// shared are the knobs of every component that pods depend on; each inner list is one knob.
func shared(options func(*input) *v1alpha1.ComponentOptions) [][]choice {
	return [][]choice{
		{
			{"one pod", func(in *input) { options(in).Replicas = ptr.To[int32](1) }},
			{"highly available", func(in *input) { options(in).Replicas = ptr.To[int32](2) }},
		},
		{
			{"no monitor", func(*input) {}},
			{"monitor", func(in *input) {
				in.Facts.ServiceMonitors, in.Facts.MonitorLabels = true, map[string]string{"release": "stack"}
			}},
		},
		{
			{"plain", func(*input) {}},
			{"all options", func(in *input) { allOptions(options(in)) }},
		},
	}
}

// allOptions sets every option that a component has, but for the number of its pods.
func allOptions(options *v1alpha1.ComponentOptions) {
	*options = v1alpha1.ComponentOptions{Replicas: options.Replicas, Port: ptr.To[int32](8443), PodOptions: v1alpha1.PodOptions{
		Resources:         &corev1.ResourceRequirements{},
		NodeSelector:      map[string]string{"pool": "infra"},
		Tolerations:       []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Affinity:          &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}},
		PriorityClassName: ptr.To("important"),
		Image:             "localhost:5000/other:v1",
		ImagePullSecrets:  []v1alpha1.NameReference{{Name: "mirror"}},
		PodLabels:         map[string]v1alpha1.LabelValue{"team": "metrics"},
		PodAnnotations:    map[string]v1alpha1.AnnotationValue{"team": "metrics"},
	}}
}

// kubelets are the knobs of metrics-server alone.
var kubelets = [][]choice{
	{
		{"kubelets by default", func(*input) {}},
		{"verified kubelets", func(in *input) { in.Spec.MetricsServer.Kubelet.TLS.Verification = v1alpha1.TLSVerify }},
		{"insecure kubelets", func(in *input) { in.Spec.MetricsServer.Kubelet.TLS.Verification = v1alpha1.TLSInsecure }},
	},
	{
		{"any address", func(*input) {}},
		{"addresses", func(in *input) { in.Spec.MetricsServer.Kubelet.PreferredAddressTypes = []string{"Hostname"} }},
	},
}

// sources are the knobs of prometheus-adapter alone. The two kinds of authority exclude each other.
var sources = [][]choice{
	{
		{"URL", func(in *input) { in.Spec.Prometheus.URL = "https://prometheus.example.com:9443" }},
		{"object", func(*input) {}},
	},
	{
		{"no token", func(*input) {}},
		{"token", func(in *input) {
			in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "prometheus", Key: "token"}}
		}},
		{"user and header", func(in *input) {
			if in.Spec.Prometheus.Auth == nil {
				in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{}
			}
			in.Spec.Prometheus.Auth.BasicAuth, in.Spec.Prometheus.Auth.Headers = &v1alpha1.BasicAuth{}, make([]v1alpha1.PrometheusHeader, 1)
			in.Facts.Prometheus.Access.Username = []byte("user")
			in.Facts.Prometheus.Access.Headers = []prometheus.Header{{Name: "X-Scope-OrgID", Value: []byte("team")}}
		}},
	},
	{
		{"no CA", func(*input) {}},
		{"CA in a Secret", func(in *input) {
			tls(in).CA = &v1alpha1.CertificateAuthority{Secret: &v1alpha1.KeyReference{Name: "prometheus", Key: "ca.crt"}}
		}},
		{"CA in a ConfigMap", func(in *input) {
			tls(in).CA = &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{Name: "prometheus", Key: "ca.crt"}}
		}},
	},
	{
		{"verified by its host", func(*input) {}},
		{"any certificate of another name", func(in *input) {
			tls(in).Verification, tls(in).ServerName = v1alpha1.TLSInsecure, "prometheus.internal"
			in.Facts.Prometheus.Access.Insecure, in.Facts.Prometheus.Access.ServerName = true, "prometheus.internal"
		}},
	},
	{
		{"no client certificate", func(*input) {}},
		{"client certificate", func(in *input) { tls(in).ClientCert = &v1alpha1.NameReference{Name: "prometheus"} }},
	},
}

func tls(in *input) *v1alpha1.ClientTLS {
	if in.Spec.Prometheus.TLS == nil {
		in.Spec.Prometheus.TLS = &v1alpha1.ClientTLS{}
	}
	return in.Spec.Prometheus.TLS
}

// combinations returns each way to choose one of each knob.
func combinations(knobs [][]choice) [][]choice {
	all := [][]choice{nil}
	for _, knob := range knobs {
		var longer [][]choice
		for _, chosen := range all {
			for _, c := range knob {
				longer = append(longer, append(slices.Clone(chosen), c))
			}
		}
		all = longer
	}
	return all
}

// TestEveryCombinationIsRestricted: whatever is chosen, the pods of each component may run under the Pod Security level
// restricted. The components do not know of each other, so each has its own combinations.
func TestEveryCombinationIsRestricted(t *testing.T) {
	evaluate := restricted(t)
	for name, knobs := range map[string][][]choice{
		metricsserver.Name: append(shared(func(in *input) *v1alpha1.ComponentOptions {
			return &in.Spec.MetricsServer.ComponentOptions
		}), kubelets...),
		prometheusadapter.Name: append(shared(func(in *input) *v1alpha1.ComponentOptions {
			return &in.Spec.PrometheusAdapter.ComponentOptions
		}), sources...),
	} {
		for _, chosen := range combinations(knobs) {
			in := read(t, "defaults")
			if name == prometheusadapter.Name {
				in.Facts.Prometheus.URL = "http://prometheus-operated.monitoring.svc:9090"
				in.Spec.CustomMetrics, in.Spec.ExternalMetrics = operandtest.Spec().CustomMetrics, operandtest.Spec().ExternalMetrics
			}
			var names []string
			for _, c := range chosen {
				c.set(&in)
				names = append(names, c.name)
			}
			components := in.components()
			found := slices.IndexFunc(components, func(c operand.Component) bool { return c.Name == name })
			if found < 0 {
				t.Fatalf("%s is not deployed with %s", name, strings.Join(names, ", "))
			}
			var renderer Renderer
			objects, err := renderer.Build(components[found])
			if err != nil {
				t.Fatalf("%s with %s: %v", name, strings.Join(names, ", "), err)
			}
			evaluate(fmt.Sprintf("%s with %s", name, strings.Join(names, ", ")), objects)
		}
	}
}

// TestCombinationsKnowEveryKnob fails when a field is added that no combination sets.
func TestCombinationsKnowEveryKnob(t *testing.T) {
	var options v1alpha1.ComponentOptions
	options.Replicas = ptr.To[int32](1)
	allOptions(&options)
	options.HostNetwork = true // It leaves the level, see exempt.
	in := input{}
	for _, knob := range sources {
		for _, c := range knob {
			c.set(&in)
		}
	}
	for _, set := range []any{options, options.PodOptions, *in.Spec.Prometheus.Auth, *in.Spec.Prometheus.TLS} {
		value := reflect.ValueOf(set)
		for i := range value.NumField() {
			if value.Field(i).IsZero() {
				t.Errorf("%s.%s is in no combination", value.Type().Name(), value.Type().Field(i).Name)
			}
		}
	}
}
