// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestSchemaRefusals: the API server refuses what the operands would not survive, with a message that has the field and
// what to do instead.
func TestSchemaRefusals(t *testing.T) {
	bounds := readBounds(t)
	for _, pair := range siblings() {
		field := pair.set
		if pair.field != "" {
			field = pair.field
		}
		t.Run(schemaPath(field)+"/"+pair.bound, func(t *testing.T) {
			g := NewWithT(t)
			err := dryRun(t, build(t, pair.with, pair.set, pair.ok))
			g.Expect(err).NotTo(HaveOccurred(), "the valid sibling, with %s=%v", pair.set, shorten(pair.ok))

			err = dryRun(t, build(t, pair.with, pair.set, pair.bad))
			g.Expect(err).To(HaveOccurred(), "the invalid sibling, with %s=%v", pair.set, shorten(pair.bad))
			g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			says := bounds[boundOf(field, pair.bound)]
			g.Expect(causes(err)).To(ContainElement(SatisfyAll(HavePrefix(field+": "), ContainSubstring(says))))
		})
	}
}

// TestSchemaBoundsAreAllTested fails for a bound that was added to the API without a pair of siblings, and for a pair
// whose bound is gone.
func TestSchemaBoundsAreAllTested(t *testing.T) {
	bounds := readBounds(t)
	tested := map[bound]bool{}
	for _, pair := range siblings() {
		field := pair.set
		if pair.field != "" {
			field = pair.field
		}
		key := boundOf(field, pair.bound)
		tested[key] = true
		if _, exists := bounds[key]; !exists {
			t.Errorf("%s has no bound %q in the CRD: drop its siblings, or regenerate the CRD", key.path, key.name)
		}
	}
	for key := range bounds {
		if !tested[key] {
			t.Errorf("%s has the bound %q, which no siblings test: add a pair to siblings()", key.path, key.name)
		}
	}
}

// boundOf finds the bound that a refusal is about. The API server names the object itself <nil>, and a duplicate in a set
// or map by its item.
func boundOf(field, name string) bound {
	path := schemaPath(field)
	if field == "<nil>" {
		path = ""
	}
	if name == "set" || name == "map" {
		path = strings.TrimSuffix(path, "[]")
	}
	return bound{path: path, name: name}
}

func dryRun(t *testing.T, pipeline *unstructured.Unstructured) error {
	t.Helper()
	return cluster.Client.Create(t.Context(), pipeline, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// causes are the single findings of a refusal, each with its field in front.
func causes(err error) []string {
	var all []string
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			all = append(all, cause.Field+": "+cause.Message)
		}
	}
	return all
}

// build returns the base with some fields replaced.
func build(t *testing.T, with map[string]any, field string, value any) *unstructured.Unstructured {
	t.Helper()
	object := map[string]any{}
	if err := yaml.Unmarshal([]byte(base), &object); err != nil {
		t.Fatal(err)
	}
	// Parents first.
	for _, other := range slices.Sorted(maps.Keys(with)) {
		set(t, object, other, with[other])
	}
	set(t, object, field, value)
	return &unstructured.Unstructured{Object: object}
}

// set replaces the value at a path such as spec.patches[0].target.kind, which is made where it does not exist.
func set(t *testing.T, object map[string]any, path string, value any) {
	t.Helper()
	head, rest, nested := strings.Cut(path, ".")
	name, position, isItem := strings.Cut(strings.TrimSuffix(head, "]"), "[")
	switch {
	case isItem:
		at, err := strconv.Atoi(position)
		if err != nil {
			t.Fatalf("path %s: %v", path, err)
		}
		list, _ := object[name].([]any)
		for len(list) <= at {
			list = append(list, map[string]any{})
		}
		object[name] = list
		if !nested {
			list[at] = normal(value)
			return
		}
		set(t, list[at].(map[string]any), rest, value)
	case nested:
		if _, exists := object[name].(map[string]any); !exists {
			object[name] = map[string]any{}
		}
		set(t, object[name].(map[string]any), rest, value)
	case value == absent{}:
		delete(object, name)
	default:
		object[name] = normal(value)
	}
}

// normal copies a value, with the only kind of integer that unstructured objects may have.
func normal(value any) any {
	if number, ok := value.(int); ok {
		return int64(number)
	}
	return runtime.DeepCopyJSONValue(value)
}

func shorten(value any) string {
	content, err := yaml.Marshal(value)
	if err != nil {
		return err.Error()
	}
	if len(content) > 80 {
		return string(content[:80]) + "..."
	}
	return strings.TrimSpace(string(content))
}
