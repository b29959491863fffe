// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"slices"
)

// sibling is a pair of pipelines that differ in one value: the API server accepts the one with ok and refuses the one with
// bad, for the reason of one bound.
type sibling struct {
	// bound is the keyword of the schema, or the message of the CEL rule.
	bound string
	// set is the field that differs.
	set     string
	ok, bad any
	// field is the one that the refusal names and that has the bound, where that is not the field that differs.
	field string
	// with are other fields of both, as far as they are not those of the base.
	with map[string]any
}

// absent removes a field.
type absent struct{}

// base is a pipeline with a value in every object that has bounds.
const base = `
apiVersion: metricspipeline.io/v1alpha1
kind: MetricsPipeline
metadata: {name: default}
spec:
  prometheus:
    ref: {namespace: monitoring, name: k8s}
    tls:
      ca: {secret: {name: ca, key: ca.crt}}
      clientCert: {name: client}
    auth:
      bearerToken: {name: token, key: token}
  customMetrics:
    rules:
    - id: requests
      seriesQuery: http_requests_total
      seriesFilters: [{is: ^http}]
      name: {matches: ^(.*)_total$, as: $1}
      metricsQuery: sum(<<.Series>>)
      resources: {overrides: {pod: {resource: pod}}}
  externalMetrics:
    rules:
    - id: queue-length
      seriesQuery: queue_length
      seriesFilters: [{is: ^queue}]
      name: {matches: ^(.*)$, as: $1}
      metricsQuery: sum(<<.Series>>)
      resources: {overrides: {ns: {resource: namespace}}}
  networkPolicy: {dnsPorts: [10053]}
  patches:
  - target: {kind: Deployment, name: metrics-server}
    patch: '[]'
`

func siblings() []sibling {
	return slices.Concat(
		rootSiblings(), prometheusSiblings(), managedSiblings(),
		componentSiblings("spec.metricsServer"), metricsServerSiblings(), portSiblings(),
		componentSiblings("spec.prometheusAdapter"), adapterSiblings(),
		ruleSiblings("spec.customMetrics"), ruleSiblings("spec.externalMetrics"),
		scrapeSiblings(), monitoringSiblings(), certificatesSiblings(), patchSiblings(),
		ownershipSiblings("spec.resourceMetrics"), backendSiblings(), ownershipSiblings("spec.customMetrics"), ownershipSiblings("spec.externalMetrics"),
	)
}

func rootSiblings() []sibling {
	return []sibling{
		{
			bound: `a cluster has one metrics stack, so metadata.name must be "default"`,
			set:   "metadata.name", ok: "default", bad: "other", field: "<nil>",
		},
	}
}

// onePlace is the rule of every certificate authority.
const onePlace = "ca is in exactly one place: set either secret or configMap"

func prometheusSiblings() []sibling {
	const (
		url      = "spec.prometheus.url"
		tls      = "spec.prometheus.tls"
		token    = "spec.prometheus.auth.bearerToken"
		absolute = "url must be an absolute http or https URL such as http://prometheus.monitoring.svc:9090"
		plain    = "url must not contain credentials, a query or a fragment; give credentials in auth"
	)
	noRef := map[string]any{"spec.prometheus.ref": absent{}, "spec.prometheus.auth": absent{}}
	good := "https://thanos.monitoring.svc:9090/prefix"
	cases := []sibling{
		// Both may be set: ref is who scrapes, url who answers queries.
		{bound: "enum", set: "spec.prometheus.ref.kind", ok: "PrometheusAgent", bad: "ThanosRuler", with: map[string]any{url: good}},
		{bound: "minLength", set: url, ok: "http://p", bad: "", with: noRef},
		{bound: "maxLength", set: url, ok: "http://p/" + text(2039), bad: "http://p/" + text(2040), with: noRef},
		{bound: absolute, set: url, ok: good, bad: "thanos.monitoring.svc:9090", with: noRef},
		{bound: absolute, set: url, ok: "http://[fd00::1]:9090", bad: "ftp://thanos.monitoring.svc", with: noRef},
		{bound: absolute, set: url, ok: "http://10.0.0.1:9090/", bad: "http://", with: noRef},
		{bound: absolute, set: url, ok: good, bad: "/just/a/path", with: noRef},
		{bound: absolute, set: url, ok: good, bad: "http://:9090", with: noRef},
		{bound: plain, set: url, ok: good, bad: "https://user:password@thanos", with: noRef},
		{bound: plain, set: url, ok: good, bad: "https://thanos?tenant=a", with: noRef},
		{bound: plain, set: url, ok: good, bad: "https://thanos#fragment", with: noRef},
		{bound: onePlace, set: tls + ".ca.configMap", ok: absent{}, bad: map[string]any{"name": "ca", "key": "ca.crt"}, field: tls + ".ca"},
		{bound: onePlace, set: tls + ".ca.secret", ok: map[string]any{"name": "ca", "key": "ca.crt"}, bad: absent{}, field: tls + ".ca"},
	}
	cases = append(cases, authSiblings()...)
	cases = append(cases, adapterURLSiblings()...)
	cases = append(cases, tlsSiblings()...)
	cases = append(cases, headerSiblings()...)
	cases = append(cases, nameSiblings("spec.prometheus.ref.namespace", 63, nil)...)
	cases = append(cases, sibling{bound: "pattern", set: "spec.prometheus.ref.namespace", ok: "a-b", bad: "a.b"})
	cases = append(cases, nameSiblings("spec.prometheus.ref.name", 253, nil)...)
	cases = append(cases, sibling{bound: "pattern", set: "spec.prometheus.ref.name", ok: "a.b", bad: "A"})
	configMap := map[string]any{tls + ".ca": map[string]any{"configMap": map[string]any{"name": "ca", "key": "ca.crt"}}}
	for field, with := range map[string]map[string]any{token: nil, tls + ".ca.secret": nil, tls + ".ca.configMap": configMap} {
		cases = append(cases, nameSiblings(field+".name", 253, with)...)
		cases = append(cases, nameSiblings(field+".key", 253, with)...)
		cases = append(cases, sibling{bound: "pattern", set: field + ".key", ok: "-._aZ9", bad: "a/b", with: with})
	}
	return append(cases, nameSiblings(tls+".clientCert.name", 253, nil)...)
}

// authSiblings covers to whom credentials are sent, and over what.
func authSiblings() []sibling {
	const (
		prometheus = "spec.prometheus"
		receiver   = "auth would be sent to any Prometheus object that is the only one; name the receiver of the credentials in url or ref"
		secret     = "auth over http sends credentials that anyone on the way can read; set url to an https URL, or accept the risk with " +
			"allowHTTP: true"
	)
	ref := map[string]any{"namespace": "monitoring", "name": "k8s"}
	token := map[string]any{"bearerToken": map[string]any{"name": "token", "key": "token"}}
	url := func(value string) map[string]any {
		return map[string]any{prometheus + ".ref": absent{}, prometheus + ".url": value}
	}
	noAuth := map[string]any{prometheus + ".ref": absent{}, prometheus + ".url": "http://thanos:9090", prometheus + ".auth": absent{}}
	return []sibling{
		{bound: receiver, set: prometheus + ".ref", ok: ref, bad: absent{}, field: prometheus},
		{
			bound: receiver, set: prometheus + ".auth", ok: absent{}, bad: token, field: prometheus,
			with: map[string]any{prometheus + ".ref": absent{}},
		},
		{bound: secret, set: prometheus + ".url", ok: "https://thanos:9090", bad: "http://thanos:9090", field: prometheus,
			with: map[string]any{prometheus + ".ref": absent{}}},
		{bound: secret, set: prometheus + ".url", ok: "HTTPS://thanos:9090", bad: "HTTP://thanos:9090", field: prometheus,
			with: map[string]any{prometheus + ".ref": absent{}}},
		{bound: secret, set: prometheus + ".allowHTTP", ok: true, bad: false, field: prometheus, with: url("http://thanos:9090")},
		{bound: secret, set: prometheus + ".allowHTTP", ok: true, bad: absent{}, field: prometheus, with: url("http://thanos:9090")},
		{bound: secret, set: prometheus + ".auth", ok: absent{}, bad: token, field: prometheus, with: noAuth},
	}
}

// backendSiblings covers what serves metrics.k8s.io.
func backendSiblings() []sibling {
	const backend, window = "spec.resourceMetrics.backend", "spec.resourceMetrics.window"
	return append(durationSiblings(window, "00060s"),
		sibling{bound: "enum", set: backend, ok: "MetricsServer", bad: "Kubelet"},
		sibling{bound: "enum", set: backend, ok: "PrometheusAdapter", bad: ""},
		sibling{bound: "window must be at least 10s, and at least two scrapes of the kubelets", set: window, ok: "10s", bad: "9s999ms"},
		sibling{bound: "window must be at most 1h", set: window, ok: "1h", bad: "1h1ms"},
	)
}

// ownershipSiblings covers who serves a metrics API.
func ownershipSiblings(api string) []sibling {
	return []sibling{
		{bound: "enum", set: api + ".policy", ok: "Auto", bad: "Always"},
		{bound: "enum", set: api + ".policy", ok: "TakeOver", bad: "takeover"},
		{bound: "enum", set: api + ".policy", ok: "Observe", bad: ""},
		{bound: "enum", set: api + ".policy", ok: "Disabled", bad: "Never"},
		{bound: "enum", set: api + ".onUnavailable", ok: "Keep", bad: "Delete"},
		{bound: "enum", set: api + ".onUnavailable", ok: "Deregister", bad: ""},
	}
}
