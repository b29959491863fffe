// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
)

// Targets that many cases lead to.
const (
	onHTTP  = "http:8080/metrics app"
	onAdmin = "http:15000/metrics proxy"
)

// corpusServices are the annotated Services. The names say what is special.
var corpusServices = []serviceCase{
	// Ports.
	{annotatedApp: annotatedApp{name: "no-port", annotations: optIn(), want: []string{onHTTP, onAdmin}}},
	{annotatedApp: annotatedApp{name: "one-port-two-names", annotations: optIn(), want: []string{onHTTP}},
		ports: []corev1.ServicePort{servicePort("http", 80, 8080), servicePort("alias", 8888, 8080)}},
	{annotatedApp: annotatedApp{name: "unnamed-port", annotations: optIn(), want: []string{onHTTP}},
		ports: []corev1.ServicePort{servicePort("", 80, 8080)}},
	{annotatedApp: annotatedApp{name: "target-number", annotations: optIn("port", "8080"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "service-number", annotations: optIn("port", "80"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "service-number-named-target", annotations: optIn("port", "8081"), want: []string{onAdmin}}},
	{annotatedApp: annotatedApp{name: "service-port-name", annotations: optIn("port", "admin"), want: []string{onAdmin}}},
	{annotatedApp: annotatedApp{name: "container-port-name", annotations: optIn("port", "metrics"), want: []string{"http:9090/metrics app"}}},
	{annotatedApp: annotatedApp{name: "container-number", annotations: optIn("port", "9090"), want: []string{"http:9090/metrics"}}},
	{annotatedApp: annotatedApp{name: "undeclared-port", annotations: optIn("port", "7777"), want: []string{"http:7777/metrics"}}},
	{annotatedApp: annotatedApp{name: "unknown-port-name", annotations: optIn("port", "nothing")}},
	{annotatedApp: annotatedApp{name: "udp-port", annotations: optIn("port", "gossip")}},
	{annotatedApp: annotatedApp{name: "list", annotations: optIn("port", "80,9090, admin"), want: []string{onHTTP, "http:9090/metrics", onAdmin}}},
	{annotatedApp: annotatedApp{name: "list-one-port", annotations: optIn("port", "80,8080,http"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "list-container-twice", annotations: optIn("port", "metrics,9090,7777"),
		want: []string{"http:9090/metrics", "http:7777/metrics"}}},

	// Kinds of Services and of workloads.
	{annotatedApp: annotatedApp{name: "headless", annotations: optIn("port", "8080"), want: []string{onHTTP}}, edit: headless},
	{annotatedApp: annotatedApp{name: "headless-named", annotations: optIn("port", "http"), want: []string{onHTTP}}, edit: headless},
	{annotatedApp: annotatedApp{name: "stateful", annotations: optIn("port", "8080"), want: []string{onHTTP}}, backend: "db"},
	{annotatedApp: annotatedApp{name: "db", annotations: optIn("port", "http"), want: []string{onHTTP}}, backend: "db", edit: headless},
	// The Pods are annotated too, with another port and with the same.
	{annotatedApp: annotatedApp{name: "both", annotations: optIn("port", "8080"), want: []string{onHTTP}}, backend: "both"},
	{annotatedApp: annotatedApp{name: "both-the-same", annotations: optIn("port", "9090")}, backend: "both",
		ports: []corev1.ServicePort{servicePort("metrics", 9090, 9090)}},

	// Schemes.
	{annotatedApp: annotatedApp{name: "https", annotations: optIn("port", "tls", "scheme", "https"), want: []string{"https:8443/metrics app"}}},
	{annotatedApp: annotatedApp{name: "https-443", annotations: optIn("port", "443", "scheme", "HTTPS"), want: []string{"https:8443/metrics app"}},
		ports: []corev1.ServicePort{servicePort("tls", 443, 8443)}},
	{annotatedApp: annotatedApp{name: "http-stated", annotations: optIn("port", "80", "scheme", "http"), want: []string{onHTTP}}},

	// Paths.
	{annotatedApp: annotatedApp{name: "path-without-slash", annotations: optIn("port", "80", "path", "stats"), want: []string{"http:8080/stats app"}}},
	{annotatedApp: annotatedApp{name: "path-with-slash", annotations: optIn("port", "80", "path", "/a/b"), want: []string{"http:8080/a/b app"}}},
	{annotatedApp: annotatedApp{name: "path-root", annotations: optIn("port", "80", "path", "/"), want: []string{"http:8080/ app"}}},
	{annotatedApp: annotatedApp{name: "path-query", annotations: optIn("port", "80", "path", "/stats?format=text&name[]=up"),
		want: []string{"http:8080/stats?format=text&name[]=up app"}}},
	{annotatedApp: annotatedApp{name: "query-alone", annotations: optIn("port", "80", "path", "?format=text&name[]=up"),
		want: []string{"http:8080/metrics?format=text&name[]=up app"}}},
	{annotatedApp: annotatedApp{name: "query-other", annotations: optIn("path", "/metrics?x=1"),
		want: []string{"http:8080/metrics?x=1 app", "http:15000/metrics?x=1 proxy"}}},

	{annotatedApp: annotatedApp{name: "parameters", annotations: optIn("port", "80", "param_format", "text", "param_x", "a b"),
		want: []string{"http:8080/metrics?format=text&x=a+b app"}}},

	// Less often.
	{annotatedApp: annotatedApp{name: "slow", annotations: optIn("port", "80", "scrape-slow", "true"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "slow-alone", want: []string{onHTTP},
		annotations: map[string]string{"prometheus.io/scrape-slow": "true", "prometheus.io/port": "8080"}}},

	// Yes and no.
	{annotatedApp: annotatedApp{name: "spelled-yes", annotations: optIn("port", "80", "scrape", "Yes"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "spelled-true", annotations: optIn("port", "80", "scrape", "TRUE"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "spelled-1", annotations: optIn("port", "80", "scrape", "1"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "spelled-on", annotations: optIn("port", "80", "scrape", "on"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "says-false", annotations: optIn("port", "80", "scrape", "false"), ignored: true}},
	{annotatedApp: annotatedApp{name: "says-nothing", annotations: optIn("port", "80", "scrape", ""), ignored: true}},
	{annotatedApp: annotatedApp{name: "says-maybe", annotations: optIn("port", "80", "scrape", "maybe"), ignored: true}},
	{annotatedApp: annotatedApp{name: "unknown-annotations", annotations: optIn("port", "80", "color", "red"), want: []string{onHTTP}}},
	{annotatedApp: annotatedApp{name: "another-prefix", annotations: map[string]string{"example.com/scrape": "true", "example.com/port": "80"}, ignored: true}},
	{annotatedApp: annotatedApp{name: "another-prefix-too", annotations: optIn("port", "80", "example.com/port", "9090"), want: []string{onHTTP}}},

	// Refused.
	{annotatedApp: annotatedApp{name: "bad-port-range", annotations: optIn("port", "70000"), refused: []string{"prometheus.io/port", `"70000"`}}},
	{annotatedApp: annotatedApp{name: "bad-port-zero", annotations: optIn("port", "08080"), refused: []string{"prometheus.io/port", `"08080"`}}},
	{annotatedApp: annotatedApp{name: "bad-port-host", annotations: optIn("port", "evil:80"), refused: []string{"prometheus.io/port", `"evil:80"`}}},
	{annotatedApp: annotatedApp{name: "bad-list", annotations: optIn("port", "8080;9090"), refused: []string{"prometheus.io/port", "8080,9090"}}},
	{annotatedApp: annotatedApp{name: "bad-parameter", annotations: optIn("param_x-y", "1"), refused: []string{"prometheus.io/param_x-y"}}},
	{annotatedApp: annotatedApp{name: "bad-path-host", annotations: optIn("path", "//evil"), refused: []string{"prometheus.io/path", `"//evil"`}}},
	{annotatedApp: annotatedApp{name: "bad-path-escaped", annotations: optIn("path", "/%2e%2e"), refused: []string{"prometheus.io/path", `"/%2e%2e"`}}},
	{annotatedApp: annotatedApp{name: "bad-query", annotations: optIn("path", "/m?a=%zz"), refused: []string{"prometheus.io/path", `"/m?a=%zz"`}}},
	{annotatedApp: annotatedApp{name: "bad-scheme", annotations: optIn("port", "80", "scheme", "ftp"), refused: []string{"prometheus.io/scheme", `"ftp"`}}},
	{annotatedApp: annotatedApp{name: "no-ports", annotations: optIn(), refused: []string{"without a port"}}, ports: []corev1.ServicePort{}, edit: headless},
	{annotatedApp: annotatedApp{name: "external-name", annotations: optIn(), refused: []string{"ExternalName"}}, edit: func(service *corev1.Service) {
		service.Spec.Type, service.Spec.ExternalName, service.Spec.Selector = corev1.ServiceTypeExternalName, "prometheus-k8s.monitoring.svc", nil
	}},
	{annotatedApp: annotatedApp{name: selectorless, annotations: optIn(), refused: []string{"without a selector", "selectorlessServices"}},
		edit: func(service *corev1.Service) { service.Spec.Selector = nil }},
	// Not refused, but some of its endpoints have a foreign address.
	{annotatedApp: annotatedApp{name: aimed, annotations: optIn(), want: []string{onHTTP}}, ports: []corev1.ServicePort{servicePort("http", 80, 8080)}},
}

// Services with hand-made EndpointSlices beside or instead of those of their pods.
const (
	selectorless = "selectorless"
	aimed        = "aimed"
)

func headless(service *corev1.Service) { service.Spec.ClusterIP = corev1.ClusterIPNone }
