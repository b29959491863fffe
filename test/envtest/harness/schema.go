// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// WalkSchema calls visit for the schema of our CRD's object and of each of its fields, parents first. The items of a list
// have the path of the list and [], the values of a map {}. Types that come from Kubernetes (resources, affinity,
// tolerations, label selectors) are visited and not entered: what is in them is not ours. The status, which only the operator
// writes, and the metadata are left out.
func WalkSchema(visit func(path string, schema *apiextv1.JSONSchemaProps)) error {
	content, err := os.ReadFile(PipelineCRD)
	if err != nil {
		return err
	}
	var crd apiextv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		return fmt.Errorf("reading %s: %w", PipelineCRD, err)
	}
	for _, version := range crd.Spec.Versions {
		walk(version.Schema.OpenAPIV3Schema, "", visit)
	}
	return nil
}

func walk(schema *apiextv1.JSONSchemaProps, path string, visit func(string, *apiextv1.JSONSchemaProps)) {
	visit(path, schema)
	for name, property := range schema.Properties {
		field := strings.TrimPrefix(path+"."+name, ".")
		_, isResources := property.Properties["requests"]
		switch {
		case field == "status" || field == "metadata":
		case name == "affinity" || isResources || name == "tolerations" || name == "namespaceSelector":
			visit(field, &property)
		default:
			walk(&property, field, visit)
		}
	}
	if schema.Items != nil {
		walk(schema.Items.Schema, path+"[]", visit)
	}
	if schema.AdditionalProperties != nil {
		walk(schema.AdditionalProperties.Schema, path+"{}", visit)
	}
}
