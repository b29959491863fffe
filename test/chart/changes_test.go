// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// changes says what differs between two renderings, a line for each: an object that is new as a whole, else its fields that have
// another value. Elements of lists go by their name, if they have one.
func changes(t *testing.T, before, after map[string]*unstructured.Unstructured) string {
	t.Helper()
	var lines []string
	for key := range before {
		if after[key] == nil {
			lines = append(lines, "-"+key)
		}
	}
	for key, object := range after {
		old := before[key]
		if old == nil {
			lines = append(lines, "+"+key+": "+asJSON(t, object.Object))
			continue
		}
		was, is := map[string]string{}, map[string]string{}
		flatten(t, "", old.Object, was)
		flatten(t, "", object.Object, is)
		for path := range was {
			if _, found := is[path]; !found {
				lines = append(lines, "-"+key+" "+path)
			}
		}
		for path, value := range is {
			if was[path] != value {
				lines = append(lines, key+" "+path+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// flatten notes each scalar by its path.
func flatten(t *testing.T, path string, value any, out map[string]string) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, child := range value {
			flatten(t, strings.TrimPrefix(path+"."+key, "."), child, out)
		}
	case []any:
		for i, child := range value {
			name := fmt.Sprint(i)
			if fields, ok := child.(map[string]any); ok && fields["name"] != nil && len(fields) <= 2 {
				name = fmt.Sprint(fields["name"])
				if only, found := fields["value"]; found {
					out[path+"."+name] = asJSON(t, only)
					continue
				}
				if len(fields) == 1 {
					out[path+"."+name] = asJSON(t, fields["name"])
					continue
				}
			}
			flatten(t, path+"."+name, child, out)
		}
	default:
		out[path] = asJSON(t, value)
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
