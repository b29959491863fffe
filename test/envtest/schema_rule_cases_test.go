// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ruleSiblings covers what rules for custom and external metrics share.
func ruleSiblings(api string) []sibling {
	rules, rule := api+".rules", api+".rules[0]"
	filter := rule + ".seriesFilters[0]"
	const oneOf = "a filter has exactly one of is and isNot"
	filters := func(n int) []any { return repeat(n, map[string]any{"is": "a"}) }
	minimal := map[string]any{
		"seriesQuery": "a", "metricsQuery": "a",
		"resources": map[string]any{"overrides": map[string]any{"ns": map[string]any{"resource": "namespace"}}},
	}
	override := map[string]string{"spec.customMetrics": "pod", "spec.externalMetrics": "ns"}[api]
	mapping := rule + ".resources.overrides"
	cases := []sibling{
		{bound: "enum", set: api + ".derive", ok: "Enabled", bad: ""},
		{bound: "enum", set: api + ".derive", ok: "Disabled", bad: "Off"},
		{bound: "maxItems", set: rules, ok: rulesLike(256, minimal), bad: rulesLike(257, minimal)},
		{bound: "map", set: rules, ok: rulesLike(2, minimal), bad: repeat(2, rulesLike(1, minimal)[0]), field: rules + "[1]"},
		{bound: "pattern", set: rule + ".id", ok: "0-requests-9", bad: "Requests"},
		{bound: "pattern", set: rule + ".id", ok: "a", bad: "a.b"},
		{bound: "pattern", set: rule + ".id", ok: "a", bad: "-a"},
		{bound: "pattern", set: rule + ".id", ok: "a", bad: "a-"},
		{bound: "maxItems", set: rule + ".seriesFilters", ok: filters(16), bad: filters(17)},
		{bound: oneOf, set: filter, ok: map[string]any{"isNot": "a"}, bad: map[string]any{}},
		{bound: oneOf, set: filter, ok: map[string]any{"is": "a"}, bad: map[string]any{"is": "a", "isNot": "b"}},
		{bound: "minLength", set: filter + ".is", ok: "a", bad: ""},
		{bound: "maxLength", set: filter + ".is", ok: text(1024), bad: text(1025)},
		{bound: "minLength", set: filter + ".isNot", ok: "a", bad: "", with: map[string]any{filter: map[string]any{}}},
		{bound: "maxLength", set: filter + ".isNot", ok: text(1024), bad: text(1025), with: map[string]any{filter: map[string]any{}}},
		{bound: "maxLength", set: rule + ".name.matches", ok: text(1024), bad: text(1025)},
		{bound: "maxLength", set: rule + ".name.as", ok: text(1024), bad: text(1025)},
		{bound: "maxProperties", set: mapping, ok: overrides(32), bad: overrides(33)},
		{bound: "maxLength", set: mapping + "." + override + ".group", ok: text(253), bad: text(254)},
		{bound: "minLength", set: rule + ".resources.template", ok: "a", bad: ""},
		{bound: "maxLength", set: rule + ".resources.template", ok: text(1024), bad: text(1025)},
	}
	extra := map[string]any{mapping + ".extra": map[string]any{"group": "apps"}}
	cases = append(cases, nameSiblings(mapping+".extra.resource", 63, extra)...)
	cases = append(cases, nameSiblings(rule+".id", 63, nil)...)
	cases = append(cases, nameSiblings(rule+".seriesQuery", 2048, nil)...)
	return append(cases, nameSiblings(rule+".metricsQuery", 4096, nil)...)
}

func patchSiblings() []sibling {
	const patch = "spec.patches[0]"
	one := map[string]any{"target": map[string]any{"kind": "Service"}, "patch": "{}"}
	ports := []any{int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7), int64(8)}
	cases := []sibling{
		{bound: "maxItems", set: "spec.networkPolicy.dnsPorts", ok: ports, bad: append(slices.Clone(ports), int64(9))},
		{bound: "set", set: "spec.networkPolicy.dnsPorts", ok: ports[:2], bad: []any{int64(1), int64(1)}, field: "spec.networkPolicy.dnsPorts[1]"},
		{bound: "minimum", set: "spec.networkPolicy.dnsPorts[0]", ok: 1, bad: 0},
		{bound: "maximum", set: "spec.networkPolicy.dnsPorts[0]", ok: 65535, bad: 65536},
		{bound: "maxItems", set: "spec.patches", ok: repeat(64, one), bad: repeat(65, one)},
		{bound: "required", set: patch + ".target", ok: map[string]any{"kind": "Service"}, bad: absent{}},
		{bound: "maxLength", set: patch + ".target.group", ok: text(253), bad: text(254)},
		{bound: "maxLength", set: patch + ".target.name", ok: text(253), bad: text(254)},
	}
	cases = append(cases, nameSiblings(patch+".patch", 65536, nil)...)
	return append(cases, nameSiblings(patch+".target.kind", 63, nil)...)
}

// nameSiblings covers a required text of 1 to longest characters.
func nameSiblings(field string, longest int, with map[string]any) []sibling {
	return []sibling{
		{bound: "required", set: field, ok: "a", bad: absent{}, with: with},
		{bound: "minLength", set: field, ok: "a", bad: "", with: with},
		{bound: "maxLength", set: field, ok: text(longest), bad: text(longest + 1), with: with},
	}
}

func text(length int) string { return strings.Repeat("a", length) }

func repeat(n int, value any) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = value
	}
	return list
}

// rulesLike are n rules that differ in their ids.
func rulesLike(n int, rule map[string]any) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = maps.Clone(rule)
		list[i].(map[string]any)["id"] = fmt.Sprintf("rule-%d", i)
	}
	return list
}

func labels(n int) map[string]any {
	all := map[string]any{}
	for i := range n {
		all[fmt.Sprintf("label%d", i)] = "value"
	}
	return all
}

// overrides are n ways to an object, one of them to a namespace.
func overrides(n int) map[string]any {
	all := map[string]any{"namespace": map[string]any{"resource": "namespace"}}
	for i := range n - 1 {
		all[fmt.Sprintf("label%d", i)] = map[string]any{"resource": "pod"}
	}
	return all
}
