// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import "strings"

// scrapeSiblings covers the discovery of annotated apps.
func scrapeSiblings() []sibling {
	const (
		scrape     = "spec.scrape"
		targets    = scrape + ".targets"
		prefix     = scrape + ".annotationPrefix"
		interval   = scrape + ".interval"
		timeout    = scrape + ".scrapeTimeout"
		labelKey   = "a key of labels must be a label key such as release or example.com/release: correct the key"
		atMost     = "scrapeTimeout must be at most interval: lower scrapeTimeout, or raise interval"
		labelValue = "a label's value must be empty, or letters, digits, -, _ and . with a letter or digit at both ends: correct the value"
	)
	cases := []sibling{
		{bound: "enum", set: targets + "[0]", ok: "Pods", bad: "Nodes"},
		{bound: "maxItems", set: targets, ok: []any{"Services", "Pods"}, bad: []any{"Services", "Pods", "Pods"}},
		{bound: "maxItems", set: targets, ok: []any{}, bad: []any{"Services", "Pods", "Services"}},
		{bound: "targets has one value twice: write each once", set: targets, ok: []any{"Pods"}, bad: []any{"Pods", "Pods"}},
		{bound: "enum", set: scrape + ".granularity", ok: "Service", bad: "Pod"},
		{bound: "minLength", set: prefix, ok: "a", bad: ""},
		{bound: "maxLength", set: prefix, ok: text(253), bad: text(254)},
		{bound: "pattern", set: prefix, ok: "metrics.example-1.com", bad: "Example.com"},
		{bound: "pattern", set: prefix, ok: "a.b", bad: "a/b"},
		{bound: "pattern", set: prefix, ok: "a.b", bad: "a.b."},
		{bound: "pattern", set: prefix, ok: "a-b", bad: "-b"},
		{bound: "interval must be at least 1s", set: interval, ok: "1s", bad: "999ms"},
		{bound: "scrapeTimeout must be at least 1s", set: timeout, ok: "1s", bad: "999ms"},
		{bound: atMost, set: timeout, ok: "30s", bad: "30s1ms", field: scrape, with: map[string]any{interval: "30s"}},
		{bound: atMost, set: interval, ok: absent{}, bad: "59s", field: scrape, with: map[string]any{timeout: "1m"}},
		{bound: "minimum", set: scrape + ".limits.samples", ok: 0, bad: -1},
		{bound: "minimum", set: scrape + ".limits.targets", ok: 0, bad: -1},
		{bound: "minimum", set: scrape + ".limits.droppedTargets", ok: 0, bad: -1},
		{bound: "pattern", set: scrape + ".limits.bodySize", ok: "0", bad: "32Mi"},
		{bound: "pattern", set: scrape + ".limits.bodySize", ok: "64KB", bad: "1.5GB"},
		{bound: "maxLength", set: scrape + ".limits.bodySize", ok: "999999GB", bad: "9999999GB"},
		{bound: "required", set: scrape + ".hostNetworkPods.namespaceSelector", ok: map[string]any{}, bad: absent{}},
		{bound: "enum", set: scrape + ".tls.verification", ok: "Insecure", bad: "Skip"},
		{bound: "enum", set: scrape + ".selectorlessServices", ok: "Allow", bad: "Maybe"},
		{bound: "maxProperties", set: scrape + ".labels", ok: labels(32), bad: labels(33)},
		{bound: "maxLength", set: scrape + ".labels.team", ok: text(63), bad: text(64)},
	}
	for _, value := range []string{"two words", "-web", "web-", "a/b", "größe"} {
		cases = append(cases, sibling{bound: labelValue, set: scrape + ".labels.team", field: scrape + ".labels[team]",
			ok: "Web_1.0-rc", bad: value})
	}
	for _, key := range []string{"", "two words", "-team", "a/b/c", "Example.com/team", "/team", "example.com/", text(64), text(254) + "/a"} {
		cases = append(cases, sibling{bound: labelKey, set: scrape + ".labels", field: scrape + ".labels",
			ok: map[string]any{"example.com/Team_1.0": "", text(63): "a"}, bad: map[string]any{"good": "", key: ""}})
	}
	cases = append(cases, setupSiblings()...)
	cases = append(cases, durationSiblings(interval, "00015s")...)
	return append(cases, durationSiblings(timeout, "00015s")...)
}

// setupSiblings covers what administrators allow apps.
func setupSiblings() []sibling {
	const (
		scrape   = "spec.scrape"
		labels   = scrape + ".podTargetLabels"
		sidecars = scrape + ".nativeSidecars"
		slow     = scrape + ".slow"
		tls      = scrape + ".tls"
		bearer   = scrape + ".bearerToken"
		key      = "podTargetLabels are keys of labels such as app or app.kubernetes.io/version: correct the key"
		digit    = "the name of a label of series cannot begin with a digit, so that Prometheus would load no configuration: leave this " +
			"label out of podTargetLabels"
		forged = "users of Pods could forge the label of series that has this name, such as namespace, pod, service, job, instance, node, " +
			"container, endpoint, prometheus, prometheus_replica, le or quantile: leave it out of podTargetLabels"
		twice = "two of podTargetLabels become the same label of the series, in which -, . and / are _: leave one of them out"
		ca    = "tls.ca has no effect with tls.verification Insecure, which accepts any certificate: leave ca out, or set verification to Verify"
		place = "ca is in exactly one place: set either secret or configMap"
		pace  = "slow.scrapeTimeout must be at most slow.interval: lower slow.scrapeTimeout, or raise slow.interval"
	)
	object := map[string]any{"name": "ca", "key": "ca.crt"}
	many := make([]any, 17)
	for i := range many {
		many[i] = "l" + text(i)
	}
	cases := []sibling{
		{bound: "maxItems", set: labels, ok: many[:16], bad: many},
		{bound: "maxItems", set: sidecars, ok: many[:16], bad: many},
		{bound: "set", set: labels, ok: []any{"app"}, bad: []any{"app", "app"}, field: labels + "[1]"},
		{bound: "set", set: sidecars, ok: []any{"mesh"}, bad: []any{"mesh", "mesh"}, field: sidecars + "[1]"},
		{bound: twice, set: labels, ok: []any{"a.b/c", "a.b/d"}, bad: []any{"a.b/c", "a-b/c"}},
		{bound: "maxLength", set: labels + "[0]", ok: strings.Repeat(text(49)+".", 5) + "aa/" + text(63), bad: text(318)},
		{bound: digit, set: labels + "[0]", ok: "v1", bad: "1v"},
		{bound: "maxLength", set: sidecars + "[0]", ok: text(63), bad: text(64)},
		{bound: "pattern", set: sidecars + "[0]", ok: "istio-proxy", bad: "Istio"},
		{bound: "required", set: scrape + ".honorLabels.namespaceSelector", ok: map[string]any{}, bad: absent{}},
		{bound: "required", set: bearer + ".namespaceSelector", ok: map[string]any{}, bad: absent{}, with: map[string]any{bearer + ".secret": object}},
		{bound: "required", set: bearer + ".secret", ok: object, bad: absent{}, with: map[string]any{bearer + ".namespaceSelector": map[string]any{}}},
		{bound: "interval must be at least 1s", set: slow + ".interval", ok: "1s", bad: "999ms", with: map[string]any{slow + ".scrapeTimeout": "1s"}},
		{bound: "scrapeTimeout must be at least 1s", set: slow + ".scrapeTimeout", ok: "1s", bad: "999ms"},
		{bound: pace, set: slow + ".scrapeTimeout", ok: "5m", bad: "301s", field: slow},
		{bound: ca, set: tls + ".ca", ok: absent{}, bad: map[string]any{"configMap": object}, field: tls, with: map[string]any{tls + ".verification": "Insecure"}},
		{bound: place, set: tls + ".ca.configMap", ok: absent{}, bad: object, field: tls + ".ca", with: map[string]any{tls + ".ca.secret": object}},
		{bound: "minLength", set: tls + ".serverName", ok: "a", bad: ""},
		{bound: "maxLength", set: tls + ".serverName", ok: text(253), bad: text(254)},
		{bound: "pattern", set: tls + ".serverName", ok: "metrics.example.com", bad: "a_b"},
	}
	for _, name := range []string{"namespace", "pod", "service", "job", "instance", "node", "container", "endpoint", "prometheus",
		"prometheus-replica", "le", "quantile"} {
		cases = append(cases, sibling{bound: forged, set: labels + "[0]", ok: "my-" + name, bad: name})
	}
	for _, name := range []string{"", "two words", "-a", "a/b/c", "/a", "a/", text(64)} {
		cases = append(cases, sibling{bound: key, set: labels + "[0]", ok: "app.kubernetes.io/version", bad: name})
	}
	for field, with := range map[string]map[string]any{
		bearer + ".secret":    {bearer + ".namespaceSelector": map[string]any{}, bearer + ".secret": object},
		tls + ".ca.secret":    {tls + ".ca.secret": object},
		tls + ".ca.configMap": {tls + ".ca.configMap": object},
	} {
		cases = append(cases, nameSiblings(field+".name", 253, with)...)
		cases = append(cases, nameSiblings(field+".key", 253, with)...)
		cases = append(cases, sibling{bound: "pattern", set: field + ".key", ok: "-._aZ9", bad: "a/b", with: with})
	}
	cases = append(cases, durationSiblings(slow+".interval", "00300s")...)
	return append(cases, durationSiblings(slow+".scrapeTimeout", "00015s")...)
}
