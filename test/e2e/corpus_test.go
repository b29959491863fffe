// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// corpusNamespace has an app for each thing that annotations can say.
	corpusNamespace = "metricspipeline-corpus"
	// optedOutNamespace has the label that leaves a namespace out.
	optedOutNamespace = "metricspipeline-corpus-off"
	// noTokenNamespace has apps that get a bearer token, which is not there.
	noTokenNamespace = "metricspipeline-corpus-no-token"

	// caseLabel is on the pods of the corpus: the name of their case or workload.
	caseLabel = "metricspipeline-corpus"
	jobLabel  = "app.kubernetes.io/name"
	// caseSeriesLabel is what caseLabel is on series.
	caseSeriesLabel = "metricspipeline_corpus"

	// grouped is the name of a namespace's monitors.
	grouped = "metricspipeline-annotated"
)

// tokenNamespaces are those whose apps with the scheme https get a bearer token.
var tokenNamespaces = []string{corpusNamespace, noTokenNamespace}

// annotatedApp is what the corpus says of a Service or Pod: how it is annotated, and what has to come of it.
type annotatedApp struct {
	name        string
	annotations map[string]string
	// want are the targets of each pod, as "SCHEME:PORT/PATH CONTAINER"; the container may be left out.
	want []string
	// refused are parts of the reason for which it is refused.
	refused []string
	// ignored is true for an app that does not want to be scraped.
	ignored bool
}

// accepted is true for an app that counts as scraped.
func (a annotatedApp) accepted() bool { return len(a.refused) == 0 && !a.ignored }

// optIn returns the annotations that request scraping; values are pairs of a name and a value.
func optIn(values ...string) map[string]string {
	set := map[string]string{"prometheus.io/scrape": "true"}
	for i := 0; i < len(values); i += 2 {
		name := values[i]
		if !strings.Contains(name, "/") {
			name = "prometheus.io/" + name
		}
		set[name] = values[i+1]
	}
	return set
}

// targetsOf are the lines, as of [line], that an app's pods have to give.
func (a annotatedApp) targetsOf(pods []corev1.Pod, service string) []string {
	var lines []string
	for i := range pods {
		for _, want := range a.want {
			address, container, _ := strings.Cut(want, " ")
			scheme, rest, _ := strings.Cut(address, ":")
			port, path, _ := strings.Cut(rest, "/")
			job := service
			if service == "" {
				job = pods[i].Labels[jobLabel]
			}
			if job == "" {
				job = grouped
			}
			lines = append(lines, line(fmt.Sprintf("%s://%s:%s/%s", scheme, pods[i].Status.PodIP, port, path), map[string]string{
				"job": pods[i].Namespace + "/" + job, "namespace": pods[i].Namespace, "pod": pods[i].Name, "service": service, "container": container,
				"endpoint": port, caseSeriesLabel: pods[i].Labels[caseLabel],
			})+" up")
		}
	}
	return lines
}

// line is a target in one line: its URL and the labels that rules and dashboards rely on.
func line(address string, labels map[string]string) string {
	// Prometheus escapes parameters in its own way.
	if parsed, err := url.Parse(address); err == nil && parsed.RawQuery != "" {
		parsed.RawQuery = parsed.Query().Encode()
		address = parsed.String()
	}
	for _, name := range []string{"job", "namespace", "pod", "service", "container", "endpoint", caseSeriesLabel} {
		if labels[name] != "" {
			address += " " + name + "=" + labels[name]
		}
	}
	return address
}

// linesOf are the targets of some namespaces, each as often as Prometheus has it. What is not up says why.
func linesOf(targets []kit.Target, namespaces ...string) []string {
	var lines []string
	for _, target := range targets {
		pool := strings.Split(target.Pool, "/")
		if slices.Contains(namespaces, target.Labels["namespace"]) || len(pool) > 1 && slices.Contains(namespaces, pool[1]) {
			text := line(target.URL, target.Labels) + " " + target.Health
			own := grouped
			if slices.Contains(tokenNamespaces, target.Labels["namespace"]) && strings.HasPrefix(target.URL, "https:") {
				own += ".https"
			}
			if len(pool) < 3 || pool[2] != own {
				text += " of the pool " + target.Pool
			}
			if target.Error != "" {
				text += ": " + target.Error
			}
			lines = append(lines, text)
		}
	}
	slices.Sort(lines)
	return lines
}

// serviceCase is a Service of the corpus.
type serviceCase struct {
	annotatedApp

	// ports are http, 80 to 8080, and admin, 8081 to the port of that name, unless stated.
	ports []corev1.ServicePort
	// backend is the workload that it selects; that of web unless stated.
	backend string
	// edit changes it in ways that are not worth a field.
	edit func(*corev1.Service)
}

func (c serviceCase) workload() string {
	if c.backend == "" {
		return "web"
	}
	return c.backend
}

func (c serviceCase) object(namespace string) *corev1.Service {
	ports := c.ports
	if ports == nil {
		ports = []corev1.ServicePort{servicePort("http", 80, 8080), {Name: "admin", Port: 8081, TargetPort: intstr.FromString("admin")}}
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.name, Annotations: c.annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{caseLabel: c.workload()}, Ports: ports},
	}
	if c.edit != nil {
		c.edit(service)
	}
	return service
}

func servicePort(name string, number int32, target int) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromInt(target)}
}
