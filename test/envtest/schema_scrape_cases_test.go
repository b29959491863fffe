// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

// scrapeSiblings covers the discovery of annotated apps.
func scrapeSiblings() []sibling {
	const (
		scrape   = "spec.scrape"
		targets  = scrape + ".targets"
		prefix   = scrape + ".annotationPrefix"
		interval = scrape + ".interval"
		timeout  = scrape + ".scrapeTimeout"
		atMost   = "scrapeTimeout must be at most interval: lower scrapeTimeout, or raise interval"
	)
	cases := []sibling{
		{bound: "enum", set: targets + "[0]", ok: "Pods", bad: "Nodes"},
		{bound: "maxItems", set: targets, ok: []any{"Services", "Pods"}, bad: []any{"Services", "Pods", "Pods"}},
		{bound: "maxItems", set: targets, ok: []any{}, bad: []any{"Services", "Pods", "Services"}},
		{bound: "set", set: targets, ok: []any{"Pods"}, bad: []any{"Pods", "Pods"}, field: targets + "[1]"},
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
		{bound: "minimum", set: scrape + ".sampleLimit", ok: 0, bad: -1},
		{bound: "enum", set: scrape + ".tls", ok: "Insecure", bad: "Skip"},
		{bound: "enum", set: scrape + ".selectorlessServices", ok: "Allow", bad: "Maybe"},
		{bound: "maxProperties", set: scrape + ".labels", ok: labels(32), bad: labels(33)},
	}
	cases = append(cases, durationSiblings(interval, "00015s")...)
	return append(cases, durationSiblings(timeout, "00015s")...)
}
