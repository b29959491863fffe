// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/metricspipeline/operator/internal/scrape"
)

func TestContainerPorts(t *testing.T) {
	byNumber := corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}
	byName := corev1.ServicePort{Name: "admin", Port: 81, TargetPort: intstr.FromString("ops")}
	dns := corev1.ServicePort{Name: "dns", Port: 53, TargetPort: intstr.FromString("dns"), Protocol: corev1.ProtocolUDP}
	for name, tc := range map[string]struct {
		port  string
		ports []corev1.ServicePort
		want  []string
	}{
		"a number":                          {"9090", []corev1.ServicePort{byName}, nil},
		"the number that a name leads to":   {"81", []corev1.ServicePort{byName}, []string{"ops"}},
		"a Service's port by number":        {"http", []corev1.ServicePort{byNumber, byName}, nil},
		"a Service's port by name":          {"admin", []corev1.ServicePort{byNumber, byName}, []string{"ops"}},
		"a container's port":                {"metrics", []corev1.ServicePort{byNumber}, []string{"metrics"}},
		"a list of names":                   {"metrics,admin", []corev1.ServicePort{byNumber, byName}, []string{"metrics", "ops"}},
		"a list with a number":              {"metrics,8080", []corev1.ServicePort{byNumber, byName}, nil},
		"none":                              {"", []corev1.ServicePort{byName, dns}, []string{"ops"}},
		"none, and one of them is a number": {"", []corev1.ServicePort{byName, byNumber}, nil},
		"no port":                           {"no/port", []corev1.ServicePort{byName}, nil},
	} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}},
			Spec: corev1.ServiceSpec{Ports: tc.ports}}
		if tc.port != "" {
			service.Annotations["prometheus.io/port"] = tc.port
		}
		if diff := cmp.Diff(tc.want, scrape.ContainerPorts(scrape.AppOf(service), "prometheus.io")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
