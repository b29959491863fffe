// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

// monitoringSiblings covers the monitoring of the stack itself.
func monitoringSiblings() []sibling {
	const (
		monitoring = "spec.monitoring"
		labelKey   = "a key of labels must be a label key such as release or example.com/release: correct the key"
		labelValue = "a label's value must be empty, or letters, digits, -, _ and . with a letter or digit at both ends: correct the value"
	)
	return []sibling{
		{bound: "enum", set: monitoring + ".monitors", ok: "Disabled", bad: "Enabled"},
		{bound: "enum", set: monitoring + ".alerts", ok: "Disabled", bad: "Enabled"},
		{bound: "enum", set: monitoring + ".dashboard", ok: "Enabled", bad: "On"},
		{bound: "maxProperties", set: monitoring + ".labels", ok: labels(32), bad: labels(33)},
		{bound: "maxLength", set: monitoring + ".labels.team", ok: text(63), bad: text(64)},
		{bound: labelValue, set: monitoring + ".labels.team", field: monitoring + ".labels[team]", ok: "Web_1.0-rc", bad: "two words"},
		{bound: labelKey, set: monitoring + ".labels", field: monitoring + ".labels",
			ok: map[string]any{"example.com/Team_1.0": ""}, bad: map[string]any{"good": "", "a/b/c": ""}},
	}
}
