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
    auth:
      bearerTokenSecret: {name: token, key: token}
      caSecret: {name: ca, key: ca.crt}
      clientCertSecret: {name: client}
  resourceMetrics: {}
  customMetrics:
    rules:
    - seriesQuery: http_requests_total
      seriesFilters: [{is: ^http}]
      name: {matches: ^(.*)_total$, as: $1}
      metricsQuery: sum(<<.Series>>)
      resources: {overrides: {pod: {resource: pod}}}
  externalMetrics:
    rules:
    - seriesQuery: queue_length
      seriesFilters: [{is: ^queue}]
      name: {matches: ^(.*)$, as: $1}
      metricsQuery: sum(<<.Series>>)
      resources: {overrides: {ns: {resource: namespace}}}
  patches:
  - target: {kind: Deployment, name: metrics-server}
    patch: '[]'
`

func siblings() []sibling {
	return slices.Concat(
		rootSiblings(), prometheusSiblings(),
		componentSiblings("spec.resourceMetrics"), resourceMetricsSiblings(),
		componentSiblings("spec.customMetrics"), customMetricsSiblings(),
		ruleSiblings("spec.customMetrics"), ruleSiblings("spec.externalMetrics"), mappingSiblings(),
		scrapeSiblings(), certificatesSiblings(), patchSiblings(),
		ownershipSiblings("spec.resourceMetrics"), ownershipSiblings("spec.customMetrics"), ownershipSiblings("spec.externalMetrics"),
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

func prometheusSiblings() []sibling {
	const (
		url      = "spec.prometheus.url"
		auth     = "spec.prometheus.auth"
		absolute = "url must be an absolute http or https URL such as http://prometheus.monitoring.svc:9090"
		plain    = "url must not hold credentials, a query or a fragment; give credentials in auth"
	)
	noRef := map[string]any{"spec.prometheus.ref": absent{}}
	good := "https://thanos.monitoring.svc:9090/prefix"
	cases := []sibling{
		{
			bound: "url and ref name two sources; set one of them, or neither to use the only Prometheus object of the cluster",
			set:   url, ok: absent{}, bad: good, field: "spec.prometheus",
		},
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
		{
			bound: "caSecret and caConfigMap both name a certificate authority; set one of them",
			set:   auth + ".caConfigMap", ok: absent{}, bad: map[string]any{"name": "ca", "key": "ca.crt"}, field: auth,
		},
		{
			bound: "prometheus-adapter uses clientCertSecret only together with a certificate authority; " +
				"set caSecret or caConfigMap as well",
			set: auth + ".caSecret", ok: map[string]any{"name": "ca", "key": "ca.crt"}, bad: absent{}, field: auth,
		},
	}
	cases = append(cases, nameSiblings("spec.prometheus.ref.namespace", 63, nil)...)
	cases = append(cases, sibling{bound: "pattern", set: "spec.prometheus.ref.namespace", ok: "a-b", bad: "a.b"})
	cases = append(cases, nameSiblings("spec.prometheus.ref.name", 253, nil)...)
	cases = append(cases, sibling{bound: "pattern", set: "spec.prometheus.ref.name", ok: "a.b", bad: "A"})
	configMap := map[string]any{auth + ".caSecret": absent{}, auth + ".caConfigMap": map[string]any{"name": "ca", "key": "ca.crt"}}
	for field, with := range map[string]map[string]any{"bearerTokenSecret": nil, "caSecret": nil, "caConfigMap": configMap} {
		cases = append(cases, nameSiblings(auth+"."+field+".name", 253, with)...)
		cases = append(cases, nameSiblings(auth+"."+field+".key", 253, with)...)
		cases = append(cases, sibling{bound: "pattern", set: auth + "." + field + ".key", ok: "-._aZ9", bad: "a/b", with: with})
	}
	return append(cases, nameSiblings(auth+".clientCertSecret.name", 253, nil)...)
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

func componentSiblings(component string) []sibling {
	tolerations := func(n int) []any { return repeat(n, map[string]any{"key": "a"}) }
	return []sibling{
		{bound: "minimum", set: component + ".replicas", ok: 1, bad: 0},
		{bound: "maximum", set: component + ".replicas", ok: 10, bad: 11},
		{bound: "maxProperties", set: component + ".nodeSelector", ok: labels(64), bad: labels(65)},
		{bound: "maxItems", set: component + ".tolerations", ok: tolerations(64), bad: tolerations(65)},
		{bound: "minLength", set: component + ".priorityClassName", ok: "a", bad: ""},
		{bound: "maxLength", set: component + ".priorityClassName", ok: text(253), bad: text(254)},
		{bound: "minLength", set: component + ".image", ok: "a", bad: ""},
		{bound: "maxLength", set: component + ".image", ok: text(1024), bad: text(1025)},
		{bound: "pattern", set: component + ".image", ok: "r.example:5000/a/B_c@sha256:0", bad: "a b"},
		{bound: "pattern", set: component + ".image", ok: "a", bad: "-a"},
		{bound: "maxItems", set: component + ".extraArgs", ok: repeat(32, "--v=2"), bad: repeat(33, "--v=2")},
		{bound: "maxLength", set: component + ".extraArgs[0]", ok: "--v=" + text(1020), bad: "--v=" + text(1021)},
		{bound: "pattern", set: component + ".extraArgs[0]", ok: "--v", bad: "-v"},
		{bound: "pattern", set: component + ".extraArgs[0]", ok: "--v=a b", bad: "--v 2"},
	}
}

// durationSiblings covers the form of a duration; base is a valid one of six characters.
func durationSiblings(field, base string) []sibling {
	long := base + "00000ms00000ms00ms"
	return []sibling{
		{bound: "maxLength", set: field, ok: long, bad: base + "00000ms00000ms000ms"},
		{bound: "pattern", set: field, ok: base, bad: "1.5m"},
		{bound: "pattern", set: field, ok: base + "1ms", bad: "60"},
		{bound: "pattern", set: field, ok: base, bad: "-1m"},
		{bound: "pattern", set: field, ok: base, bad: ""},
	}
}

func resourceMetricsSiblings() []sibling {
	const (
		resolution = "spec.resourceMetrics.metricResolution"
		kubelet    = "spec.resourceMetrics.kubelet"
		timeout    = kubelet + ".requestTimeout"
		types      = kubelet + ".preferredAddressTypes"
		nineTenths = "kubelet.requestTimeout must be at most nine tenths of metricResolution, or metrics-server exits at start: " +
			"lower kubelet.requestTimeout, leave it unset, or raise metricResolution"
		ownFlag = "extraArgs must not hold a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, " +
			"--metric-resolution, --kubelet-port, --kubelet-use-node-status-port, --kubelet-preferred-address-types, " +
			"--kubelet-request-timeout, --kubelet-insecure-tls, --deprecated-kubelet-completely-insecure, " +
			"--authorization-always-allow-paths, --kubeconfig): use the field for it"
	)
	cases := []sibling{
		{bound: "metricResolution must be at least 10s, or metrics-server exits at start", set: resolution, ok: "10s", bad: "9s999ms"},
		{bound: "metricResolution must be at most 1h", set: resolution, ok: "1h", bad: "1h1ms"},
		{bound: "enum", set: kubelet + ".tls", ok: "Insecure", bad: "Skip"},
		{bound: "minItems", set: types, ok: []any{"InternalIP"}, bad: []any{}},
		{
			bound: "maxItems", set: types,
			ok: []any{"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"}, bad: repeat(6, "Hostname"),
		},
		{bound: "enum", set: types + "[0]", ok: "Hostname", bad: "Somewhere"},
		{bound: "set", set: types, ok: []any{"Hostname"}, bad: []any{"Hostname", "Hostname"}, field: types + "[1]"},
		{bound: "requestTimeout must be at least 1s", set: timeout, ok: "1s", bad: "999ms"},
		{bound: nineTenths, set: timeout, ok: "13500ms", bad: "13501ms", field: "spec.resourceMetrics"},
		{bound: nineTenths, set: timeout, ok: "9s", bad: "10s", field: "spec.resourceMetrics", with: map[string]any{resolution: "10s"}},
		{bound: nineTenths, set: timeout, ok: "54m", bad: "54m1ms", field: "spec.resourceMetrics", with: map[string]any{resolution: "1h"}},
	}
	for _, flag := range []string{
		"--secure-port=1", "--bind-address=::", "--cert-dir=/", "--tls-cert-file=a", "--tls-private-key-file=a",
		"--tls-min-version=VersionTLS10", "--tls-cipher-suites=a", "--metric-resolution=1s", "--kubelet-port=10255",
		"--kubelet-use-node-status-port", "--kubelet-preferred-address-types=Hostname", "--kubelet-request-timeout=1s",
		"--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure", "--authorization-always-allow-paths=/", "--kubeconfig=/a",
	} {
		cases = append(cases, sibling{bound: ownFlag, set: "spec.resourceMetrics.extraArgs", ok: []any{"--v=2"}, bad: []any{"--v=2", flag}})
	}
	cases = append(cases, durationSiblings(resolution, "00015s")...)
	return append(cases, durationSiblings(timeout, "00010s")...)
}
