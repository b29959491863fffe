// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package patchpolicy decides what patches of users may change. It compares the objects of a component with patches to those
// without, so it does not matter how a patch is written: a field may differ only where the list of its kind allows that. What a
// field of the spec set before is in both, and so allowed.
package patchpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/ownership"
)

const (
	// mostViolations bounds how many violations an error names: one is enough to find the mistake, and a status has little room.
	mostViolations = 3
	// longestValue bounds the value that an error repeats, in bytes.
	longestValue = 80
)

// Check returns an error where the objects of a component after a patch are others than before, or differ from them in what no
// patch may change. guarded are the flags that no patch may give to a container; one that ends in a hyphen stands for all that
// begin so.
func Check(before, after []*unstructured.Unstructured, guarded []string) error {
	if err := sameObjects(before, after); err != nil {
		return err
	}
	in, err := references(before)
	if err != nil {
		return err
	}
	in.guarded = guarded
	original := map[string]*unstructured.Unstructured{}
	for _, object := range before {
		original[ownership.Identity(object)] = object
	}
	var problems []string
	for _, object := range after {
		id := ownership.Identity(object)
		violations, err := check(original[id], object, in)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		for _, violation := range violations {
			problems = append(problems, id+": "+violation)
		}
	}
	if more := len(problems) - mostViolations; more > 0 {
		problems = append(problems[:mostViolations], fmt.Sprintf("and %d more", more))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// Covers is true of the path to a field of a kind that a patch may change, or that is below one. Items of lists may have any key.
func Covers(kind schema.GroupKind, at []string) bool {
	return slices.ContainsFunc(byKind[kind], func(r rule) bool {
		return len(r.pattern) <= len(at) && r.covers(at[:len(r.pattern)])
	})
}

// check returns what of an object a patch changes and may not.
func check(before, after *unstructured.Unstructured, in names) ([]string, error) {
	w := &walk{rules: byKind[before.GroupVersionKind().GroupKind()], in: in}
	w.compare(nil, before.Object, after.Object)
	if len(w.violations) > 0 || !makesPods(before) {
		return w.violations, nil // A field of the host would be named twice.
	}
	reasons, err := podSecurity(before, after)
	for _, reason := range reasons {
		w.violations = append(w.violations, "its pods would violate the Pod Security level restricted: "+reason+
			"; correct the patch, sidecars need a securityContext too")
	}
	return w.violations, err
}

// sameObjects returns an error if a patch removed, renamed or added an object: what is managed is not the patch's to choose.
func sameObjects(before, after []*unstructured.Unstructured) error {
	var left []string
	for _, object := range after {
		left = append(left, ownership.Identity(object))
	}
	for _, object := range before {
		id := ownership.Identity(object)
		index := slices.Index(left, id)
		if index < 0 {
			return fmt.Errorf("it removes or renames %s, which a patch cannot do", id)
		}
		left = slices.Delete(left, index, index+1)
	}
	if len(left) > 0 {
		return fmt.Errorf("it adds %s, which a patch cannot do", left[0])
	}
	return nil
}

// makesPods is true of an object whose pods the policy is about.
func makesPods(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().GroupKind() == deployments
}

// violation is what a patch does to a field, why it may not, and what to do instead.
func violation(at path, value any, remedy string) string {
	if value == nil {
		return fmt.Sprintf("it removes %s; %s", at, remedy)
	}
	return fmt.Sprintf("it sets %s to %s; %s", at, shown(value), remedy)
}

// shown is a value as JSON, cut to what a message can take.
func shown(value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		return "a value that cannot be shown"
	}
	if len(content) > longestValue {
		return strings.ToValidUTF8(string(content[:longestValue]), "") + "..."
	}
	return string(content)
}
