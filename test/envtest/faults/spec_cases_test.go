// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
)

func specCases() []specCase {
	return slices.Concat(
		prometheusCases(), managedCases(), componentCases("metricsServer"), metricsServerCases(), componentCases("prometheusAdapter"), adapterCases(),
		apiCases("resourceMetrics"), resourceCases(), apiCases("customMetrics"), apiCases("externalMetrics"),
		ruleCases("customMetrics"), ruleCases("externalMetrics"), deriveCases(), scrapeCases(), certificateCases(), monitoringCases(),
		patchCases(),
	)
}

// field is a case about the field that is set.
func field(name, value, other string) specCase {
	return specCase{fields: []string{name}, set: name, value: value, other: other}
}

// under is the case with another rest of the spec.
func (c specCase) under(with string) specCase {
	c.with = with
	return c
}

// keyReferences are the fields that name a key of a Secret or ConfigMap.
var keyReferences = []string{"prometheus.auth.bearerToken", "prometheus.tls.ca.secret", "prometheus.tls.ca.configMap"}

func prometheusCases() []specCase {
	// Monitors and the adapter would be kept as they are while no Prometheus can be chosen, which is what they should be.
	const unchosen = "scrape: {targets: []}\n"
	cases := []specCase{
		field("prometheus.url", "$PROMETHEUS", "$PROMETHEUS/prefix").under(unchosen),
		{fields: []string{"prometheus.ref.namespace", "prometheus.ref.name"}, set: "prometheus.ref",
			value: "{namespace: bank, name: one}", other: "{namespace: shop, name: one}", with: unchosen},
		// The store answers queries in any case, so the rest of the spec works.
		{fields: []string{"prometheus.ref.kind"}, set: "prometheus.ref",
			value: "{kind: Prometheus, namespace: bank, name: one}", other: "{kind: PrometheusAgent, namespace: bank, name: absent}",
			with: "prometheus: {url: $PROMETHEUS}\n" + unchosen},
	}
	// Nothing of it shows with a source that needs no credentials.
	cases = append(cases, field("prometheus.allowHTTP", "true", "false").under("prometheus: {url: $PROMETHEUS}\n"))
	for _, key := range keyReferences {
		cases = append(cases, specCase{fields: []string{key + ".name", key + ".key"}, set: key,
			value: "{name: source, key: a}", other: "{name: other-source, key: missing}", with: largeSpec})
	}
	basic := "{username: {name: source, key: a}, password: {name: %[1]s, key: %[2]s}}"
	headers := "[{name: X-Scope-OrgID, secret: {name: %[1]s, key: %[2]s}}]"
	cases = append(cases,
		field("prometheus.adapterURL", "http://localhost:8005", "$PROMETHEUS/prefix").under(largeSpec),
		field("prometheus.queryMethod", "POST", "GET").under(largeSpec), field("prometheus.dialect", "MetricsQL", "PromQL").under(largeSpec),
		field("prometheus.tls.verification", "Insecure", "Verify").under(largeSpec), field("prometheus.tls.serverName", "a", "b").under(largeSpec),
		specCase{fields: []string{"prometheus.auth.basicAuth.username.name", "prometheus.auth.basicAuth.username.key",
			"prometheus.auth.basicAuth.password.name", "prometheus.auth.basicAuth.password.key"}, set: "prometheus.auth.basicAuth",
			value: fmt.Sprintf(basic, "source", "b"), other: fmt.Sprintf(basic, "other-source", "missing"), with: largeSpec},
		specCase{fields: []string{"prometheus.auth.headers[].name", "prometheus.auth.headers[].secret.name",
			"prometheus.auth.headers[].secret.key"}, set: "prometheus.auth.headers",
			value: fmt.Sprintf(headers, "source", "b"), other: fmt.Sprintf(headers, "other-source", "missing"), with: largeSpec})
	return append(cases, specCase{fields: []string{"prometheus.tls.clientCert.name"}, set: "prometheus.tls.clientCert",
		value: "{name: source}", other: "{name: other-source}",
		with: "prometheus: {url: $PROMETHEUS, tls: {ca: {secret: {name: source, key: ca.crt}}}}\n"})
}

// managedCases are about the Prometheus that the operator runs.
func managedCases() []specCase {
	const of, store = "prometheus.managed", "prometheus.managed.remoteWrite"
	cases := append(podCases(of),
		field(of+".replicas", "1", "2"), field(of+".retention", "4h", "6h"), field(of+".scrapeInterval", "10s", "1m"),
		field(of+".extraArgs", "[--log.level=debug]", "[--log.format=json]"), field(of+".storage.size", "1Gi", "2Gi"),
		specCase{fields: []string{of + ".storage.storageClassName"}, set: of + ".storage", value: "{size: 1Gi, storageClassName: a}",
			other: "{size: 1Gi, storageClassName: b}"},
		specCase{fields: []string{store + "[].url", store + "[].bearerToken.name", store + "[].bearerToken.key"}, set: store,
			value: "[{url: 'https://a', bearerToken: {name: source, key: a}}]", other: "[{url: 'https://b', bearerToken: {name: source, key: b}}]"},
		specCase{fields: []string{store + "[].basicAuth.username.name", store + "[].basicAuth.username.key", store + "[].basicAuth.password.name",
			store + "[].basicAuth.password.key"}, set: store,
			value: "[{url: 'https://a', basicAuth: {username: {name: source, key: a}, password: {name: source, key: b}}}]",
			other: "[{url: 'https://a', basicAuth: {username: {name: source, key: b}, password: {name: other-source, key: missing}}}]"})
	for _, kind := range []string{"secret", "configMap"} {
		cases = append(cases, specCase{fields: []string{store + "[].ca." + kind + ".name", store + "[].ca." + kind + ".key"}, set: store,
			value: "[{url: 'https://a', ca: {" + kind + ": {name: source, key: a}}}]",
			other: "[{url: 'https://a', ca: {" + kind + ": {name: other-source, key: missing}}}]"})
	}
	for i := range cases {
		cases[i].with = "prometheus: {managed: {}}\n"
	}
	return cases
}

// componentCases are about the knobs of every component.
func componentCases(of string) []specCase {
	cases := append(podCases(of), field(of+".replicas", "1", "3"), field(of+".hostNetwork", "true", "false"), field(of+".port", "8443", "9443"),
		field(of+".extraArgs", "[--v=2]", "[--v=3, --vmodule=a=1]"))
	if of == "prometheusAdapter" {
		for i := range cases {
			cases[i].with = largeSpec
		}
	}
	return cases
}

// podCases are about the knobs of the pods of every component.
func podCases(of string) []specCase {
	return []specCase{
		field(of+".resources", "{requests: {cpu: 10m}}", "{limits: {memory: 1Gi}}"),
		field(of+".nodeSelector", "{pool: a}", "{pool: b, zone: c}"),
		field(of+".tolerations", "[{key: a, operator: Exists}]", "[{key: b, operator: Exists}]"),
		field(of+".affinity", "{nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}",
			"{nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 2, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}"),
		field(of+".priorityClassName", "high", "low"),
		field(of+".image", "example.com/a:1", "example.com/b:2"),
		{fields: []string{of + ".imagePullSecrets[].name"}, set: of + ".imagePullSecrets", value: "[{name: a}]", other: "[{name: b}, {name: c}]"},
		field(of+".podLabels", "{team: a}", "{team: b, example.com/tier: c}"),
		field(of+".podAnnotations", "{team: a}", "{team: b, example.com/tier: c}"),
	}
}

func metricsServerCases() []specCase {
	const authority = "metricsServer.kubelet.tls.ca"
	of := func(kind string) specCase {
		return specCase{fields: []string{authority + "." + kind + ".name", authority + "." + kind + ".key"}, set: authority + "." + kind,
			value: "{name: source, key: " + map[string]string{"secret": "ca.crt", "configMap": "a"}[kind] + "}", other: "{name: other-source, key: missing}"}
	}
	return []specCase{
		of("secret"), of("configMap"),
		field("metricsServer.kubelet.port", "10251", "10252"),
		field("metricsServer.metricResolution", "30s", "1m"),
		field("metricsServer.kubelet.tls.verification", "Insecure", "Verify"),
		field("metricsServer.kubelet.preferredAddressTypes", "[Hostname]", "[InternalDNS, InternalIP]"),
		field("metricsServer.kubelet.requestTimeout", "5s", "6s"),
	}
}

// resourceCases are about what serves metrics.k8s.io.
func resourceCases() []specCase {
	return []specCase{
		field("resourceMetrics.backend", "PrometheusAdapter", "MetricsServer").under(largeSpec),
		field("resourceMetrics.window", "3m", "10m").under(largeSpec + "resourceMetrics: {backend: PrometheusAdapter}\n"),
	}
}

func adapterCases() []specCase {
	return []specCase{
		field("prometheusAdapter.relistInterval", "30s", "2m").under(largeSpec),
		field("prometheusAdapter.maxAge", "5m", "10m").under(largeSpec),
	}
}

// apiCases are about the knobs of every metrics API.
func apiCases(of string) []specCase {
	return []specCase{
		field(of+".policy", "Disabled", "Observe").under(largeSpec),
		field(of+".onUnavailable", "Deregister", "Keep").under(largeSpec),
	}
}

// deriveCases are about rules that follow from HPAs.
func deriveCases() []specCase {
	return []specCase{
		field("customMetrics.derive", "Disabled", "Enabled").under(largeSpec),
		field("externalMetrics.derive", "Disabled", "Enabled").under(largeSpec),
	}
}

// ruleCases are about the rules of an API: with the rule that a field is in, all of it is set.
func ruleCases(of string) []specCase {
	rules := of + ".rules"
	fields := []string{
		"id", "seriesQuery", "seriesFilters[].is", "seriesFilters[].isNot", "name.matches", "name.as", "metricsQuery",
		"resources.template", "resources.overrides{}.group", "resources.overrides{}.resource",
	}
	if of == "externalMetrics" {
		fields = append(fields, "resources.namespaced")
	}
	for i := range fields {
		fields[i] = rules + "[]." + fields[i]
	}
	namespaced := ""
	if of == "externalMetrics" {
		namespaced = ", namespaced: true"
	}
	return []specCase{{
		fields: fields, set: rules,
		value: `
- id: a
  seriesQuery: a_total{namespace!=""}
  seriesFilters: [{is: ^a}, {isNot: b$}]
  name: {matches: ^(.*)_total$, as: $1}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  resources: {overrides: {namespace: {resource: namespace}, deployment: {group: apps, resource: deployment}}` + namespaced + `}`,
		other: `
- id: b
  seriesQuery: b_total{namespace!=""}
  seriesFilters: [{is: ^b}, {isNot: a$}]
  name: {matches: ^(.*)_tot(al)$, as: $2}
  metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  resources: {template: kube_<<.Resource>>}
- id: broken
  seriesQuery: broken{
  metricsQuery: sum(
  resources: {template: <<.Nothing>>}`,
	}}
}

func scrapeCases() []specCase {
	return []specCase{
		field("scrape.targets", "[]", "[Pods]"),
		field("scrape.namespaceSelector", "{matchLabels: {kubernetes.io/metadata.name: shop}}", "{matchLabels: {kubernetes.io/metadata.name: bank}}"),
		field("scrape.granularity", "Service", "Namespace"),
		field("scrape.annotationPrefix", "example.com", "prometheus.example.com"),
		field("scrape.interval", "30s", "1m"),
		field("scrape.scrapeTimeout", "5s", "6s"),
		field("scrape.limits.samples", "0", "100"),
		field("scrape.limits.bodySize", `"0"`, "1MB"),
		field("scrape.limits.targets", "0", "100"),
		field("scrape.limits.droppedTargets", "0", "10"),
		field("scrape.hostNetworkPods.namespaceSelector", "{}", "{matchLabels: {kubernetes.io/metadata.name: shop}}"),
		field("scrape.honorLabels.namespaceSelector", "{}", "{matchLabels: {kubernetes.io/metadata.name: shop}}"),
		{fields: []string{"scrape.bearerToken.namespaceSelector", "scrape.bearerToken.secret.name", "scrape.bearerToken.secret.key"},
			set: "scrape.bearerToken", value: "{namespaceSelector: {}, secret: {name: a, key: token}}",
			other: "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, secret: {name: b, key: token}}"},
		field("scrape.podTargetLabels", "[app]", "[app, version]"),
		field("scrape.nativeSidecars", "[mesh]", "[mesh, proxy]"),
		{fields: []string{"scrape.slow.interval", "scrape.slow.scrapeTimeout"}, set: "scrape.slow", value: "{interval: 10m, scrapeTimeout: 5s}",
			other: "{interval: 1h}"},
		field("scrape.tls.verification", "Insecure", "Verify"),
		{fields: []string{"scrape.tls.ca.configMap.name", "scrape.tls.ca.configMap.key", "scrape.tls.ca.secret.name", "scrape.tls.ca.secret.key"},
			set: "scrape.tls.ca", value: "{configMap: {name: a, key: ca.crt}}", other: "{secret: {name: b, key: ca.crt}}"},
		field("scrape.tls.serverName", "a.example.com", "b.example.com"),
		field("scrape.selectorlessServices", "Allow", "Refuse"),
		field("scrape.labels", "{team: a}", "{team: b, tier: c}"),
	}
}

func certificateCases() []specCase {
	return []specCase{
		field("certificates.provider", "BuiltIn", "CertManager"),
		{fields: []string{"certificates.issuerRef.group", "certificates.issuerRef.kind", "certificates.issuerRef.name"}, set: "certificates.issuerRef",
			value: "{group: cert-manager.io, kind: ClusterIssuer, name: a}", other: "{group: example.com, kind: Issuer, name: b}"},
		field("certificates.duration", "24h", "48h"),
		field("certificates.renewBefore", "1h", "2h"),
	}
}

func monitoringCases() []specCase {
	return []specCase{
		field("monitoring.monitors", "Disabled", "Auto"),
		field("monitoring.alerts", "Disabled", "Auto"),
		field("monitoring.dashboard", "Disabled", "Enabled"),
		field("monitoring.labels", "{team: a}", "{team: b, tier: c}"),
	}
}

func patchCases() []specCase {
	return []specCase{field("networkPolicy.dnsPorts", "[10053]", "[10053, 1053]"), {
		fields: []string{"patches[].target.group", "patches[].target.kind", "patches[].target.name", "patches[].patch"}, set: "patches",
		value: `[{target: {group: apps, kind: Deployment, name: metrics-server}, patch: '[{"op": "replace", "path": "/spec/replicas", "value": 3}]'}]`,
		other: `[{target: {kind: Service}, patch: '{"metadata": {"annotations": {"a": "b"}}}'}, {target: {kind: Secret, name: nothing}, patch: '[]'}]`,
	}}
}
