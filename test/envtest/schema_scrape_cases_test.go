// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

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
	cases = append(cases, durationSiblings(interval, "00015s")...)
	return append(cases, durationSiblings(timeout, "00015s")...)
}
