// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// arrange puts the containers that pods have without patches before those that a patch adds, in their order. A merge patch puts its
// own first, and the first container is the one whose log kubectl shows for a Deployment, and that a later patch finds at
// containers/0. Not by the annotation for kubectl: that would replace the pods of every component at an upgrade.
func arrange(unpatched, patched []*unstructured.Unstructured) {
	for _, object := range patched {
		before := find(unpatched, object)
		if before == nil || !MakesPods(object) {
			continue
		}
		was, is := containers(before), containers(object)
		place := func(container any) int {
			name := nameOf(container)
			at := slices.IndexFunc(was, func(known any) bool { return nameOf(known) == name })
			if at < 0 {
				return len(was)
			}
			return at
		}
		if slices.SortStableFunc(is, func(a, b any) int { return cmp.Compare(place(a), place(b)) }); is != nil {
			_ = unstructured.SetNestedSlice(object.Object, is, "spec", "template", "spec", "containers") // It was read from there.
		}
	}
}

// containers returns a copy of those of an object's pods; nil where they are no list, which the policy of patches refuses.
func containers(object *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	return list
}

func nameOf(container any) string {
	fields, _ := container.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}

// renewed returns objects with another digest on the pods where patches changed the content of a ConfigMap: what runs in them may read
// it once, at start. Without such a patch the digest is the operand's own, so that nothing is replaced.
func renewed(unpatched, patched []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	for _, object := range patched {
		before := find(unpatched, object)
		if object.GetKind() != "ConfigMap" || before == nil || reflect.DeepEqual(contentOf(before), contentOf(object)) {
			continue
		}
		content, err := json.Marshal(contentOf(object))
		if err != nil {
			return nil, fmt.Errorf("digest of %s: %w", ownership.Identity(object), err)
		}
		patched = slices.Clone(patched)
		for i, other := range patched {
			if !MakesPods(other) {
				continue
			}
			patched[i] = other.DeepCopy()
			if err := unstructured.SetNestedField(patched[i].Object, operand.Digest(string(content)),
				"spec", "template", "metadata", "annotations", operand.ConfigDigestAnnotation); err != nil {
				return nil, fmt.Errorf("digest on %s: %w", ownership.Identity(other), err)
			}
		}
	}
	return patched, nil
}

func contentOf(configMap *unstructured.Unstructured) []any {
	return []any{configMap.Object["data"], configMap.Object["binaryData"]}
}

// find returns the object that is the same as another; nil where there is none.
func find(objects []*unstructured.Unstructured, other *unstructured.Unstructured) *unstructured.Unstructured {
	index := slices.IndexFunc(objects, func(object *unstructured.Unstructured) bool {
		return ownership.Identity(object) == ownership.Identity(other)
	})
	if index < 0 {
		return nil
	}
	return objects[index]
}
