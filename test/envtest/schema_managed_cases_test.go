// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"maps"
	"slices"
)

// managedSiblings are about the Prometheus that the operator runs. The base names another.
func managedSiblings() []sibling {
	const (
		prometheus = "spec.prometheus"
		managed    = prometheus + ".managed"
		size       = managed + ".storage.size"
		class      = managed + ".storage.storageClassName"
		other      = "managed runs a Prometheus for this pipeline, and url and ref name another one: remove managed, or remove url and ref"
		chosen     = "with managed the operator chooses the address, the certificate and the token: remove auth, tls, adapterURL, allowHTTP and " +
			"dialect, or remove managed"
		sized   = "storage.storageClassName is for a volume, whose size is not set: set storage.size, or remove storage.storageClassName"
		single  = "replicas must be 1 with storage.size, because one volume is not for two pods: set replicas to 1, or remove storage.size"
		ownFlag = "extraArgs must not contain a flag that the operator sets, or that opens what Prometheus serves to others (--agent, --config.*, " +
			"--enable-feature, --storage.*, --web.*): use the field for it, or run a Prometheus of your own and name it in ref or url"
	)
	cases := []sibling{
		{bound: other, set: prometheus + ".url", ok: absent{}, bad: "http://p:9090", field: prometheus},
		{bound: other, set: prometheus + ".ref", ok: absent{}, bad: map[string]any{"namespace": "a", "name": "a"}, field: prometheus},
		{bound: chosen, set: prometheus + ".tls", ok: absent{}, bad: map[string]any{"serverName": "a"}, field: prometheus},
		{bound: chosen, set: prometheus + ".adapterURL", ok: absent{}, bad: "http://localhost:8005", field: prometheus},
		{bound: chosen, set: prometheus + ".allowHTTP", ok: false, bad: true, field: prometheus},
		{bound: chosen, set: prometheus + ".dialect", ok: "PromQL", bad: "MetricsQL", field: prometheus},
		{bound: "minimum", set: managed + ".replicas", ok: 1, bad: 0},
		{bound: "maximum", set: managed + ".replicas", ok: 2, bad: 3},
		{bound: "retention must be at least 1h, because rules query ranges of it: raise it", set: managed + ".retention", ok: "1h", bad: "59m"},
		{bound: "retention must be at most 2160h (90 days): lower it, and write to a long-term store from a Prometheus of your own, which ref or " +
			"url then names", set: managed + ".retention", ok: "2160h", bad: "2160h1ms"},
		{bound: "scrapeInterval must be at least 5s, because each scrape costs every app a request: raise it", set: managed + ".scrapeInterval",
			ok: "5s", bad: "4s999ms"},
		{bound: "scrapeInterval must be at most 2m, because a sample older than 5m is not queried any more: lower it",
			set: managed + ".scrapeInterval", ok: "2m", bad: "2m1ms"},
		{bound: "maxLength", set: size, ok: "999999Ti", bad: "1000000Ti"},
		{bound: "pattern", set: size, ok: "1Gi", bad: "1G"},
		{bound: "minLength", set: class, ok: "a", bad: "", with: map[string]any{size: "1Gi"}},
		{bound: "maxLength", set: class, ok: text(253), bad: text(254), with: map[string]any{size: "1Gi"}},
		{bound: "pattern", set: class, ok: "fast.example", bad: "Fast", with: map[string]any{size: "1Gi"}},
		{bound: sized, set: class, ok: absent{}, bad: "fast", field: managed},
		{bound: single, set: managed + ".replicas", ok: 1, bad: 2, field: managed, with: map[string]any{size: "1Gi"}},
	}
	for _, flag := range []string{"--agent", "--no-agent", "--config.file=/a", "--enable-feature=a", "--storage.tsdb.path=/", "--web.enable-admin-api"} {
		cases = append(cases, sibling{bound: ownFlag, set: managed + ".extraArgs", ok: []any{"--log.level=debug"}, bad: []any{flag}})
	}
	cases = append(cases, remoteWriteSiblings(managed+".remoteWrite")...)
	cases = slices.Concat(cases, podSiblings(managed), durationSiblings(managed+".retention", "00010h"),
		durationSiblings(managed+".scrapeInterval", "00060s"))
	for i, c := range cases {
		with := map[string]any{prometheus: map[string]any{"managed": map[string]any{}}}
		maps.Copy(with, c.with)
		cases[i].with = with
	}
	return cases
}

// remoteWriteSiblings are about the stores that samples are copied to.
func remoteWriteSiblings(list string) []sibling {
	const (
		absolute = "url must be an absolute http or https URL such as https://mimir.example.com/api/v1/push"
		bare     = "url must not contain credentials, a query or a fragment; give credentials in bearerToken or basicAuth"
		both     = "bearerToken and basicAuth are both sent in the header Authorization; set one of them"
		readable = "credentials over http can be read by anyone on the way; set url to an https URL, or remove bearerToken and basicAuth"
	)
	store, url := list+"[0]", list+"[0].url"
	key := map[string]any{"name": "store", "key": "a"}
	basic := map[string]any{"username": key, "password": key}
	of := func(more map[string]any) map[string]any {
		with := map[string]any{"url": "https://store"}
		maps.Copy(with, more)
		return map[string]any{list: []any{with}}
	}
	cases := []sibling{
		{bound: "maxItems", set: list, ok: repeat(4, map[string]any{"url": "http://store"}), bad: repeat(5, map[string]any{"url": "http://store"})},
		{bound: "required", set: url, ok: "http://store", bad: absent{}, with: of(nil)},
		{bound: "minLength", set: url, ok: "http://p", bad: "", with: of(nil)},
		{bound: "maxLength", set: url, ok: "http://p/" + text(2039), bad: "http://p/" + text(2040), with: of(nil)},
		{bound: absolute, set: url, ok: "http://store", bad: "store:9090", with: of(nil)},
		{bound: bare, set: url, ok: "http://store/push", bad: "http://store?tenant=a", with: of(nil)},
		{bound: both, set: store + ".basicAuth", ok: absent{}, bad: basic, field: store, with: of(map[string]any{"bearerToken": key})},
		{bound: readable, set: url, ok: "https://store", bad: "http://store", field: store, with: of(map[string]any{"bearerToken": key})},
		{bound: onePlace, set: store + ".ca.secret", ok: key, bad: absent{}, field: store + ".ca",
			with: of(map[string]any{"ca": map[string]any{}})},
	}
	for _, at := range []string{".bearerToken", ".basicAuth.username", ".basicAuth.password", ".ca.secret", ".ca.configMap"} {
		more := map[string]any{"bearerToken": key}
		switch at {
		case ".basicAuth.username", ".basicAuth.password":
			more = map[string]any{"basicAuth": map[string]any{"username": key, "password": key}}
		case ".ca.secret":
			more = map[string]any{"ca": map[string]any{"secret": key}}
		case ".ca.configMap":
			more = map[string]any{"ca": map[string]any{"configMap": key}}
		}
		name, inside := store+at+".name", store+at+".key"
		cases = append(cases,
			sibling{bound: "required", set: name, ok: "a", bad: absent{}, with: of(more)},
			sibling{bound: "minLength", set: name, ok: "a", bad: "", with: of(more)},
			sibling{bound: "maxLength", set: name, ok: text(253), bad: text(254), with: of(more)},
			sibling{bound: "required", set: inside, ok: "a", bad: absent{}, with: of(more)},
			sibling{bound: "minLength", set: inside, ok: "a", bad: "", with: of(more)},
			sibling{bound: "maxLength", set: inside, ok: text(253), bad: text(254), with: of(more)},
			sibling{bound: "pattern", set: inside, ok: "a-b_c.d", bad: "a b", with: of(more)})
	}
	for _, part := range []string{".username", ".password"} {
		cases = append(cases, sibling{bound: "required", set: store + ".basicAuth" + part, ok: key, bad: absent{},
			with: of(map[string]any{"basicAuth": basic})})
	}
	return cases
}
