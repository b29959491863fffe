// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

var errNoOtherValue = errors.New("there is no other value to try")

// edit gives a field of an object the first other value that send takes, and returns what it said to the last one, or that the object has
// changed.
func edit(object *unstructured.Unstructured, path fieldpath.Path, send func(*unstructured.Unstructured) error) error {
	before, found := valueAt(object.Object, path)
	candidates := others(before)
	if !found {
		if _, inside := valueAt(object.Object, path[:len(path)-1]); !inside {
			return errNoOtherValue
		}
		candidates = []any{true, "other", int64(7)} // What is false or empty may have been left out.
	}
	err := errNoOtherValue
	for _, other := range candidates {
		edited := object.DeepCopy()
		setAt(edited.Object, path, other)
		// No other value helps where the object has changed meanwhile.
		if err = send(edited); err == nil || apierrors.IsConflict(err) {
			return err
		}
	}
	return err
}

// opposites are values of enumerations, each of which becomes the other.
var opposites = [][]string{
	{"TCP", "UDP"}, {"HTTPS", "HTTP"}, {"https", "http"}, {"Always", "IfNotPresent"}, {"RuntimeDefault", "Unconfined"}, {"IfHealthyBudget", "AlwaysAllow"},
	{"RollingUpdate", "Recreate"}, {"DoNotSchedule", "ScheduleAnyway"}, {"Ingress", "Egress"},
	{"FallbackToLogsOnError", "File"}, {"ClusterFirst", "Default"}, {"TLS12", "TLS13"}, {"ClientIP", "None"},
	{"metadata.name", "metadata.namespace"},
}

// others returns other values of the same type, likely ones first.
func others(of any) []any {
	switch v := of.(type) {
	case string:
		var all []any
		for _, pair := range opposites {
			if i := slices.Index(pair, v); i >= 0 {
				all = append(all, pair[1-i])
			}
		}
		// Text, base64, a quantity, an image, a name that begins or ends in its own way.
		return append(all, v+"x", "b3RoZXI=", "17", "17m", "17Mi", "17Gi", "17s", "other", "x"+v)
	case int64:
		return []any{v + 1, v - 1, int64(1), int64(7)}
	case bool:
		return []any{!v}
	case []any:
		var all []any
		for i := range v {
			for _, other := range others(v[i]) {
				changed := runtime.DeepCopyJSONValue(v).([]any)
				changed[i] = other
				all = append(all, changed)
			}
		}
		return append(all, []any{})
	case map[string]any:
		var all []any
		for key := range v {
			for _, other := range others(v[key]) {
				changed := runtime.DeepCopyJSON(v)
				changed[key] = other
				all = append(all, changed)
			}
		}
		return append(all, map[string]any{"other": "other"})
	default:
		return nil
	}
}

// valueAt returns what is at a path.
func valueAt(at any, path fieldpath.Path) (any, bool) {
	for _, element := range path {
		var found bool
		if at, found = step(at, element); !found {
			return nil, false
		}
	}
	return at, true
}

func step(at any, element fieldpath.PathElement) (any, bool) {
	if element.FieldName != nil {
		fields, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		child, found := fields[*element.FieldName]
		return child, found
	}
	items, ok := at.([]any)
	if !ok {
		return nil, false
	}
	if i := indexOf(items, element); i >= 0 {
		return items[i], true
	}
	return nil, false
}

// indexOf finds the item of a list that a path leads to.
func indexOf(items []any, element fieldpath.PathElement) int {
	return slices.IndexFunc(items, func(item any) bool {
		if element.Value != nil {
			return reflect.DeepEqual((*element.Value).Unstructured(), item)
		}
		fields, ok := item.(map[string]any)
		if !ok || element.Key == nil {
			return false
		}
		return !slices.ContainsFunc(*element.Key, func(key value.Field) bool {
			return !value.Equals(key.Value, value.NewValueInterface(fields[key.Name]))
		})
	})
}

// keyOf returns the path of the list of whose items a field is the key; nil for any other field.
func keyOf(path fieldpath.Path) fieldpath.Path {
	if len(path) < 3 {
		return nil
	}
	item, last := path[len(path)-2], path[len(path)-1]
	if item.Key == nil || last.FieldName == nil {
		return nil
	}
	for _, key := range *item.Key {
		if key.Name == *last.FieldName {
			return path[:len(path)-2]
		}
	}
	return nil
}

// setAt replaces what is at a path that leads somewhere.
func setAt(object any, path fieldpath.Path, to any) {
	for _, element := range path[:len(path)-1] {
		object, _ = step(object, element)
	}
	last := path[len(path)-1]
	if last.FieldName != nil {
		object.(map[string]any)[*last.FieldName] = to
		return
	}
	items := object.([]any)
	items[indexOf(items, last)] = to
}
