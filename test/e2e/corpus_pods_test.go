// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// podCase is an annotated Pod of the corpus, or several of a workload.
type podCase struct {
	annotatedApp

	// replicas of the workload; 0 for a Pod alone.
	replicas int32
	// stateful is true for a StatefulSet instead of a Deployment.
	stateful bool
	// edit changes the pod, which has a container app with the ports http, 8080, and metrics, 9090.
	edit func(*corev1.PodTemplateSpec)
}

// corpusPods are the annotated Pods.
var corpusPods = []podCase{
	{annotatedApp: annotatedApp{name: "pod-number", annotations: optIn("port", "8080"), want: []string{"http:8080/metrics"}}},
	{annotatedApp: annotatedApp{name: "pod-name", annotations: optIn("port", "metrics", "path", "stats"), want: []string{"http:9090/stats app"}}},
	{annotatedApp: annotatedApp{name: "pod-every-port", annotations: optIn("scrape", "yes"),
		want: []string{"http:8080/metrics app", "http:9090/metrics app"}}, edit: withoutJob},
	{annotatedApp: annotatedApp{name: "pod-undeclared", annotations: optIn("port", "7777"), want: []string{"http:7777/metrics"}}},
	{annotatedApp: annotatedApp{name: "pod-bare", annotations: optIn("port", "8080"), want: []string{"http:8080/metrics"}}, edit: bare},
	{annotatedApp: annotatedApp{name: "pod-bare-no-port", annotations: optIn()}, edit: bare},
	{annotatedApp: annotatedApp{name: "pod-two-containers", annotations: optIn("port", "admin"), want: []string{"http:15000/metrics proxy"}}, edit: withProxy},
	{annotatedApp: annotatedApp{name: "pod-default-container", want: []string{"http:7777/metrics app"},
		annotations: optIn("port", "7777", "kubectl.kubernetes.io/default-container", "app")}, edit: withProxy},
	{annotatedApp: annotatedApp{name: "pod-init", annotations: optIn(), want: []string{"http:8080/metrics app", "http:9090/metrics app"}}, edit: withInit},
	{annotatedApp: annotatedApp{name: "pod-https", annotations: optIn("port", "8443", "scheme", "https"), want: []string{"https:8443/metrics"}}},
	{annotatedApp: annotatedApp{name: "pod-says-false", annotations: optIn("port", "8080", "scrape", "False"), ignored: true}},
	{annotatedApp: annotatedApp{name: "pod-bad-port", annotations: optIn("port", "65536"), refused: []string{"prometheus.io/port", `"65536"`}}},
	{annotatedApp: annotatedApp{name: "pod-query", annotations: optIn("port", "8080", "path", "/metrics?x=1"),
		want: []string{"http:8080/metrics?x=1"}}},
	{annotatedApp: annotatedApp{name: "pod-parameters", annotations: optIn("port", "8080", "path", "/stats?x=1", "param_x", "2"),
		want: []string{"http:8080/stats?x=1&x=2"}}},
	{annotatedApp: annotatedApp{name: "pod-list", annotations: optIn("port", "8080,9090,metrics"),
		want: []string{"http:8080/metrics", "http:9090/metrics"}}},
	{annotatedApp: annotatedApp{name: "pod-list-query", annotations: optIn("port", "8080,9090", "path", "/metrics?x=1"),
		refused: []string{"prometheus.io/port", "a list of ports"}}},
	{annotatedApp: annotatedApp{name: "pod-slow", annotations: optIn("port", "http", "scrape-slow", "true"), want: []string{"http:8080/metrics app"}}},
	{annotatedApp: annotatedApp{name: "pod-sidecar", annotations: optIn("port", "admin"), want: []string{"http:15000/metrics mesh"}}, edit: withSidecar},
	{annotatedApp: annotatedApp{name: "pod-sidecar-every-port", annotations: optIn(),
		want: []string{"http:8080/metrics app", "http:9090/metrics app", "http:15000/metrics mesh"}}, edit: withSidecar},
	{annotatedApp: annotatedApp{name: "pod-sidecar-number", annotations: optIn("port", "15000"), want: []string{"http:15000/metrics"}}, edit: withSidecar},
	{annotatedApp: annotatedApp{name: "pods-of-deployment", annotations: optIn("port", "http"), want: []string{"http:8080/metrics app"}}, replicas: 2},
	{annotatedApp: annotatedApp{name: "pods-of-statefulset", annotations: optIn("port", "http"), want: []string{"http:8080/metrics app"}},
		replicas: 1, stateful: true},
	// Behind the annotated Service of the same name.
	{annotatedApp: annotatedApp{name: "both", annotations: optIn("port", "metrics"), want: []string{"http:9090/metrics app"}}, replicas: 1},
	// Not annotated: behind the Services of the corpus.
	{annotatedApp: annotatedApp{name: "web", ignored: true}, replicas: 2, edit: func(template *corev1.PodTemplateSpec) {
		withProxy(template)
		withInit(template)
	}},
	{annotatedApp: annotatedApp{name: "db", ignored: true}, replicas: 2, stateful: true},
}

// withoutJob takes the label away that names the job.
func withoutJob(template *corev1.PodTemplateSpec) { delete(template.Labels, jobLabel) }

// bare declares no port, so that a probe cannot name one.
func bare(template *corev1.PodTemplateSpec) {
	template.Spec.Containers[0].Ports, template.Spec.Containers[0].ReadinessProbe = nil, nil
}

// withProxy adds a second container, which has a port admin, and to the first a port that does not speak TCP.
func withProxy(template *corev1.PodTemplateSpec) {
	proxy := template.Spec.Containers[0].DeepCopy()
	proxy.Name, proxy.Args, proxy.ReadinessProbe = "proxy", []string{"-port=15000"}, nil
	proxy.Ports = []corev1.ContainerPort{{Name: "admin", ContainerPort: 15000}}
	app := &template.Spec.Containers[0]
	app.Ports = append(app.Ports, corev1.ContainerPort{Name: "gossip", ContainerPort: 9091, Protocol: corev1.ProtocolUDP})
	template.Spec.Containers = append(template.Spec.Containers, *proxy)
}

// withInit adds a container that ends before the others start, and has a port nevertheless.
func withInit(template *corev1.PodTemplateSpec) {
	setup := template.Spec.Containers[0].DeepCopy()
	setup.Name, setup.Args, setup.ReadinessProbe = "setup", []string{"-help"}, nil
	setup.Ports = []corev1.ContainerPort{{Name: "init", ContainerPort: 7000}}
	template.Spec.InitContainers = []corev1.Container{*setup}
}

// withSidecar adds a native sidecar with a port.
func withSidecar(template *corev1.PodTemplateSpec) {
	mesh := template.Spec.Containers[0].DeepCopy()
	mesh.Name, mesh.Args, mesh.ReadinessProbe = "mesh", []string{"-port=15000"}, nil
	mesh.Ports = []corev1.ContainerPort{{Name: "admin", ContainerPort: 15000}}
	mesh.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	template.Spec.InitContainers = append(template.Spec.InitContainers, *mesh)
}

// object is the case's Pod or workload.
func (c podCase) object(namespace string) client.Object {
	selector := map[string]string{caseLabel: c.name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations,
		Labels: map[string]string{caseLabel: c.name, jobLabel: c.name}}, Spec: kit.SamplePod()}
	app := &template.Spec.Containers[0]
	app.Args = []string{"-port=8080", "-also=9090,7777", "-tls-port=8443"}
	app.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}, {Name: "tls", ContainerPort: 8443}}
	if c.name != "web" {
		app.Ports = app.Ports[:2]
	}
	// Many of them share a small node.
	app.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1m")
	app.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("8Mi")
	if c.edit != nil {
		c.edit(&template)
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: c.name}
	switch {
	case c.replicas == 0:
		template.Namespace, template.Name = namespace, c.name
		return &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	case c.stateful:
		return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To(c.replicas), ServiceName: c.name,
			PodManagementPolicy: appsv1.ParallelPodManagement, Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template}}
	}
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: ptr.To(c.replicas),
		Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template}}
}

// pods is the number of the case's Pods.
func (c podCase) pods() int { return max(1, int(c.replicas)) }
