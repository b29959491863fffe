// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compat says what a CustomResourceDefinition takes away from the users of an earlier one: a field, a type, a value of an
// enum, a default, or the validity of an object. It is crdify with what our policy adds, docs/compatibility.md. Its tests compare
// the present definition with that of each release in test/testdata/releases.
package compat

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/crdify/pkg/config"
	"sigs.k8s.io/crdify/pkg/runner"
	"sigs.k8s.io/crdify/pkg/validators/version"
	"sigs.k8s.io/yaml"
)

// Read returns the CustomResourceDefinition among manifests, without descriptions: they are no promise.
func Read(manifests []byte) (*apiextv1.CustomResourceDefinition, error) {
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("there is no CustomResourceDefinition among the manifests")
		} else if err != nil {
			return nil, err
		}
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		if object["kind"] != "CustomResourceDefinition" {
			continue
		}
		dropDescriptions(object)
		if document, err = yaml.Marshal(object); err != nil {
			return nil, err
		}
		definition := &apiextv1.CustomResourceDefinition{}
		return definition, yaml.UnmarshalStrict(document, definition)
	}
}

// dropDescriptions removes descriptions at every depth. A property of that name is a map and stays.
func dropDescriptions(value any) {
	switch value := value.(type) {
	case map[string]any:
		if _, isText := value["description"].(string); isText {
			delete(value, "description")
		}
		for _, child := range value {
			dropDescriptions(child)
		}
	case []any:
		for _, child := range value {
			dropDescriptions(child)
		}
	}
}

// Breaks returns what the present definition takes away from the users of the released one, each as a sentence that begins with the
// field. Rules of CEL that it adds to what was released are among it, but for those that are harmless.
func Breaks(released, present *apiextv1.CustomResourceDefinition, harmless ...string) ([]string, error) {
	settings := &config.Config{
		// What no validation of crdify is about, such as the keys of a list, may not change at all.
		UnhandledEnforcement: config.EnforcementPolicyError,
		Conversion:           config.ConversionPolicyIgnore,
		Validations: []config.ValidationConfig{
			{Name: "enum", Enforcement: config.EnforcementPolicyError, Configuration: map[string]any{"additionPolicy": "Allow"}},
			{Name: "pattern", Enforcement: config.EnforcementPolicyError, Configuration: map[string]any{"removalPolicy": "Allow"}},
			{Name: "nullable", Enforcement: config.EnforcementPolicyError, Configuration: map[string]any{"additionPolicy": "Allow"}},
			{Name: rulesName, Enforcement: config.EnforcementPolicyError, Configuration: map[string]any{"harmless": harmless}},
		},
	}
	run, err := runner.New(settings, registry)
	if err != nil {
		return nil, fmt.Errorf("configure crdify: %w", err)
	}
	results := run.Run(released, present)

	found := names(released, present)
	for _, result := range results.CRDValidation {
		found = append(found, result.Errors...)
	}
	found = append(found, ofVersions(results.SameVersionValidation)...)
	found = append(found, ofVersions(results.ServedVersionValidation)...)
	slices.Sort(found)
	return slices.Compact(found), nil
}

func ofVersions(results []version.VersionedPropertyComparisonResult) []string {
	var found []string
	for _, result := range results {
		for _, property := range result.PropertyComparisons {
			for _, comparison := range property.ComparisonResults {
				for _, text := range comparison.Errors {
					found = append(found, fmt.Sprintf("%s of %s: %s", property.Property, result.Version, text))
				}
			}
		}
	}
	return found
}

// names compares what crdify does not: the names by which users and scripts reach the kind, and the versions that are served.
func names(released, present *apiextv1.CustomResourceDefinition) []string {
	var found []string
	for _, name := range slices.Concat(released.Spec.Names.ShortNames, released.Spec.Names.Categories) {
		if !slices.Contains(slices.Concat(present.Spec.Names.ShortNames, present.Spec.Names.Categories), name) {
			found = append(found, fmt.Sprintf("names: %s is gone", name))
		}
	}
	for _, old := range released.Spec.Versions {
		isServed := func(v apiextv1.CustomResourceDefinitionVersion) bool { return v.Name == old.Name && v.Served }
		if old.Served && !slices.ContainsFunc(present.Spec.Versions, isServed) {
			found = append(found, fmt.Sprintf("versions: %s is no longer served", old.Name))
		}
	}
	return found
}
