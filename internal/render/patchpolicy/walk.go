// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// path leads to a field: keys of maps, and items of lists as [name] or [index].
type path []string

// String is as in kubectl explain; a key that has dots of its own is in brackets.
func (p path) String() string {
	var b strings.Builder
	for i, element := range p {
		switch {
		case strings.HasPrefix(element, "["):
			b.WriteString(element)
		case strings.ContainsAny(element, "./"):
			fmt.Fprintf(&b, "[%q]", element)
		case i > 0:
			b.WriteString("." + element)
		default:
			b.WriteString(element)
		}
	}
	return b.String()
}

// change is a field that differs.
type change struct {
	path          path
	before, after any
	in            names
}

// rule allows the changes of a field and of all that is below it.
type rule struct {
	pattern []string
	// judge returns why a change is refused and what to do instead, and nothing where it is allowed. nil allows each.
	judge func(change) string
}

// allow is a rule of a pattern: keys separated by dots, where * is any key or any item of a list.
func allow(pattern string, judge func(change) string) rule {
	return rule{pattern: strings.Split(pattern, "."), judge: judge}
}

// covers is true of a rule that is about a path, and leads of one that is about something below it.
func (r rule) covers(p path) bool { return len(r.pattern) == len(p) && r.agrees(p) }
func (r rule) leads(p path) bool  { return len(r.pattern) > len(p) && r.agrees(p) }

func (r rule) agrees(p path) bool {
	for i, element := range p {
		if r.pattern[i] != "*" && r.pattern[i] != element {
			return false
		}
	}
	return true
}

// walk compares an object to what it was, and collects what no rule allows.
type walk struct {
	rules      []rule
	in         names
	violations []string
}

// compare goes down only where a rule leads, so what nobody thought of is refused.
func (w *walk) compare(at path, before, after any) {
	if reflect.DeepEqual(before, after) {
		return
	}
	for _, r := range w.rules {
		if r.covers(at) {
			if r.judge != nil {
				if remedy := r.judge(change{at, before, after, w.in}); remedy != "" {
					w.violations = append(w.violations, violation(at, after, remedy))
				}
			}
			return
		}
	}
	// An object itself is never shown whole, also where no rule is about its kind.
	if len(at) == 0 || slices.ContainsFunc(w.rules, func(r rule) bool { return r.leads(at) }) {
		if was, is, ok := children(before, after); ok {
			keys := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
			slices.Sort(keys)
			for _, key := range slices.Compact(keys) {
				w.compare(append(slices.Clone(at), key), was[key], is[key])
			}
			return
		}
	}
	w.violations = append(w.violations, violation(at, after, remedyFor(w.rules, at)))
}

// children returns what is in two maps, or in two lists by the names of their items; one of them may be absent. It is false where
// they are not of one kind.
func children(before, after any) (was, is map[string]any, ok bool) {
	oldMap, wasMap := before.(map[string]any)
	newMap, isMap := after.(map[string]any)
	if (wasMap || before == nil) && (isMap || after == nil) {
		return oldMap, newMap, true
	}
	oldList, wasList := before.([]any)
	newList, isList := after.([]any)
	if (wasList || before == nil) && (isList || after == nil) {
		named := unique(oldList) && unique(newList)
		return items(oldList, named), items(newList, named), true
	}
	return nil, nil, false
}

// unique is true of a list whose items all have names, each its own. Items that share one are compared by their places: none of
// them may hide behind another.
func unique(list []any) bool {
	seen := map[string]bool{}
	for _, item := range list {
		fields, _ := item.(map[string]any)
		name, _ := fields["name"].(string)
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

func items(list []any, named bool) map[string]any {
	all := map[string]any{}
	for i, item := range list {
		key := fmt.Sprintf("[%d]", i)
		if named {
			key = fmt.Sprintf("[%s]", item.(map[string]any)["name"]) //nolint:forcetypeassert // unique has seen it.
		}
		all[key] = item
	}
	return all
}
