// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// bound is one thing that the schema demands of a field.
type bound struct {
	// path of the field: list items are [], values of a map are {}.
	path string
	// name is the keyword of the schema, or the message of a CEL rule.
	name string
}

// readBounds returns every bound of the CRD's schema with what the API server says when it is not kept. The bounds of types
// that come from Kubernetes are not ours.
func readBounds(t *testing.T) map[bound]string {
	t.Helper()
	bounds := map[bound]string{}
	err := harness.WalkSchema(func(path string, schema *apiextv1.JSONSchemaProps) { addBounds(schema, path, bounds) })
	if err != nil {
		t.Fatal(err)
	}
	return bounds
}

func addBounds(schema *apiextv1.JSONSchemaProps, path string, bounds map[bound]string) {
	add := func(name, format string, value any) { bounds[bound{path, name}] = fmt.Sprintf(format, value) }
	if v := schema.Minimum; v != nil {
		add("minimum", "should be greater than or equal to %v", *v)
	}
	if v := schema.Maximum; v != nil {
		add("maximum", "should be less than or equal to %v", *v)
	}
	if v := schema.MinLength; v != nil {
		add("minLength", "should be at least %d chars long", *v)
	}
	if v := schema.MaxLength; v != nil {
		add("maxLength", "may not be more than %d bytes", *v)
	}
	if v := schema.MinItems; v != nil {
		add("minItems", "should have at least %d items", *v)
	}
	if v := schema.MaxItems; v != nil {
		add("maxItems", "must have at most %d items", *v)
	}
	if v := schema.MaxProperties; v != nil {
		add("maxProperties", "must have at most %d items", *v)
	}
	if v := schema.Pattern; v != "" {
		add("pattern", "should match '%s'", v)
	}
	if len(schema.Enum) > 0 {
		values := make([]string, 0, len(schema.Enum))
		for _, value := range schema.Enum {
			values = append(values, string(value.Raw))
		}
		add("enum", "supported values: %s", strings.Join(values, ", "))
	}
	if v := schema.XListType; v != nil && (*v == "set" || *v == "map") {
		add(*v, "%s", "Duplicate value")
	}
	for _, name := range schema.Required {
		bounds[bound{strings.TrimPrefix(path+"."+name, "."), "required"}] = "Required value"
	}
	for _, rule := range schema.XValidations {
		add(rule.Message, "%s", rule.Message)
	}
}

var (
	index       = regexp.MustCompile(`\[\d+\]`)
	overrideKey = regexp.MustCompile(`overrides\.\w+`)
	// A rule names the key of a map in brackets, every other bound after a dot.
	labelKey = regexp.MustCompile(`(labels|podLabels|podAnnotations)(\.\w+|\[\w+\])`)
)

// schemaPath turns the path of a field, as the API server writes it, into the path of its schema.
func schemaPath(field string) string {
	field = labelKey.ReplaceAllString(index.ReplaceAllString(field, "[]"), "${1}{}")
	return overrideKey.ReplaceAllString(field, "overrides{}")
}
