// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"fmt"
	"maps"
)

// adapterURLSiblings covers where the adapter queries, by which method, and in which language.
func adapterURLSiblings() []sibling {
	const (
		prometheus = "spec.prometheus"
		url        = prometheus + ".adapterURL"
		absolute   = "adapterURL must be an absolute http or https URL such as http://localhost:8005"
		plain      = "adapterURL must not contain credentials, a query or a fragment; give credentials in auth"
		secret     = "auth over http sends credentials that anyone on the way can read; set adapterURL to an https URL or to one on localhost, " +
			"or accept the risk with allowHTTP: true"
	)
	good := "https://thanos.monitoring.svc:9090/prefix"
	noAuth := map[string]any{prometheus + ".auth": absent{}}
	cases := []sibling{
		{bound: "minLength", set: url, ok: "http://p", bad: "", with: noAuth},
		{bound: "maxLength", set: url, ok: "http://p/" + text(2039), bad: "http://p/" + text(2040), with: noAuth},
		{bound: absolute, set: url, ok: good, bad: "localhost:8005"},
		{bound: absolute, set: url, ok: good, bad: "ftp://localhost"},
		{bound: absolute, set: url, ok: good, bad: "http://:8005"},
		{bound: plain, set: url, ok: good, bad: "https://user:password@thanos"},
		{bound: plain, set: url, ok: good, bad: "https://thanos?tenant=a"},
		{bound: plain, set: url, ok: good, bad: "https://thanos#fragment"},
		{bound: secret, set: prometheus + ".allowHTTP", ok: true, bad: absent{}, field: prometheus, with: map[string]any{url: "http://thanos:9090"}},
		{bound: secret, set: prometheus + ".auth", ok: absent{}, bad: map[string]any{}, field: prometheus,
			with: map[string]any{url: "http://thanos:9090"}},
		{bound: "enum", set: prometheus + ".queryMethod", ok: "GET", bad: "get"},
		{bound: "enum", set: prometheus + ".queryMethod", ok: "POST", bad: "PUT"},
		{bound: "enum", set: prometheus + ".dialect", ok: "PromQL", bad: ""},
		{bound: "enum", set: prometheus + ".dialect", ok: "MetricsQL", bad: "MetricQL"},
	}
	for _, own := range []string{"http://localhost:8005/workspaces/ws-1", "http://127.0.0.1:8005", "http://[::1]:8005", "HTTPS://thanos"} {
		cases = append(cases, sibling{bound: secret, set: url, ok: own, bad: "http://localhost.example.com", field: prometheus})
	}
	return cases
}

// tlsSiblings covers how the certificate of Prometheus is verified. A client certificate needs nothing beside it.
func tlsSiblings() []sibling {
	const (
		tls      = "spec.prometheus.tls"
		insecure = "verification Insecure accepts any certificate, so ca verifies nothing; remove ca, or set verification to Verify"
	)
	ca := map[string]any{"secret": map[string]any{"name": "ca", "key": "ca.crt"}}
	return []sibling{
		{bound: insecure, set: tls + ".verification", ok: "Verify", bad: "Insecure", field: tls},
		{bound: insecure, set: tls + ".ca", ok: absent{}, bad: ca, field: tls, with: map[string]any{tls + ".verification": "Insecure"}},
		{bound: "enum", set: tls + ".verification", ok: "Verify", bad: "verify"},
		{bound: "enum", set: tls + ".verification", ok: "Insecure", bad: "Skip", with: map[string]any{tls + ".ca": absent{}}},
		{bound: "minLength", set: tls + ".serverName", ok: "a", bad: ""},
		{bound: "maxLength", set: tls + ".serverName", ok: text(253), bad: text(254)},
		{bound: "pattern", set: tls + ".serverName", ok: "Prometheus-k8s.monitoring.svc", bad: "prometheus:9090"},
		{bound: "pattern", set: tls + ".serverName", ok: "10.0.0.1", bad: "-a"},
	}
}

// headerSiblings covers what is presented beside a token.
func headerSiblings() []sibling {
	const (
		auth     = "spec.prometheus.auth"
		headers  = auth + ".headers"
		header   = headers + "[0]"
		one      = "bearerToken and basicAuth are both sent in the header Authorization; set one of them"
		beside   = "headers has Authorization, which bearerToken and basicAuth are sent in; set one of them"
		twice    = "headers has one name twice: upper and lower case are the same in a header"
		reserved = "name is that of a header which the connection needs; remove it, or name another"
	)
	key := map[string]any{"name": "mimir", "key": "a"}
	basic := map[string]any{"username": maps.Clone(key), "password": maps.Clone(key)}
	named := func(names ...string) []any {
		var list []any
		for _, name := range names {
			list = append(list, map[string]any{"name": name, "secret": maps.Clone(key)})
		}
		return list
	}
	many := func(n int) []any {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("X-Header-%d", i))
		}
		return named(names...)
	}
	withBasic := map[string]any{auth + ".bearerToken": absent{}, auth + ".basicAuth": basic}
	withHeader := map[string]any{headers: named("X-Scope-OrgID")}
	cases := []sibling{
		{bound: one, set: auth + ".basicAuth", ok: absent{}, bad: basic, field: auth},
		{bound: one, set: auth + ".bearerToken", ok: absent{}, bad: key, field: auth, with: withBasic},
		{bound: beside, set: headers, ok: named("X-Scope-OrgID"), bad: named("authorization"), field: auth},
		{bound: beside, set: headers, ok: named("X-Scope-OrgID"), bad: named("X-Scope-OrgID", "Authorization"), field: auth, with: withBasic},
		{bound: beside, set: auth + ".bearerToken", ok: absent{}, bad: key, field: auth, with: map[string]any{headers: named("Authorization")}},
		{bound: "minItems", set: headers, ok: many(1), bad: []any{}},
		{bound: "maxItems", set: headers, ok: many(16), bad: many(17)},
		{bound: "map", set: headers, ok: named("X-A", "X-B"), bad: named("X-A", "X-A"), field: headers + "[1]"},
		{bound: twice, set: headers, ok: named("X-A", "X-B"), bad: named("X-A", "x-a")},
		{bound: "pattern", set: header + ".name", ok: "X-Scope-OrgID", bad: "X Scope", with: withHeader},
		{bound: "pattern", set: header + ".name", ok: "a", bad: "X_Scope", with: withHeader},
		{bound: "required", set: header + ".secret", ok: key, bad: absent{}, with: withHeader},
		{bound: "required", set: auth + ".basicAuth.username", ok: key, bad: absent{}, with: withBasic},
		{bound: "required", set: auth + ".basicAuth.password", ok: key, bad: absent{}, with: withBasic},
	}
	for _, name := range []string{"Host", "content-type", "Accept-Encoding", "Transfer-Encoding"} {
		cases = append(cases, sibling{bound: reserved, set: header + ".name", ok: "Authorization", bad: name,
			with: map[string]any{auth + ".bearerToken": absent{}, headers: named("X-A")}})
	}
	cases = append(cases, nameSiblings(header+".name", 64, withHeader)...)
	for field, with := range map[string]map[string]any{header + ".secret": withHeader, auth + ".basicAuth.username": withBasic,
		auth + ".basicAuth.password": withBasic} {
		cases = append(cases, nameSiblings(field+".name", 253, with)...)
		cases = append(cases, nameSiblings(field+".key", 253, with)...)
		cases = append(cases, sibling{bound: "pattern", set: field + ".key", ok: "-._aZ9", bad: "a/b", with: with})
	}
	return cases
}
