// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// What a console shows a field by.
const (
	widget          = "urn:alm:descriptor:com.tectonic.ui:"
	conditions      = "urn:alm:descriptor:io.kubernetes.conditions"
	plainText       = "urn:alm:descriptor:text"
	resourcesWidget = widget + "resourceRequirements"
)

// owned describes the pipeline to consoles. Its descriptors come from the schema of the CRD, so from the types.
func owned(crd *apiextensionsv1.CustomResourceDefinition) []v1alpha1.CRDDescription {
	var descriptions []v1alpha1.CRDDescription
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		d := v1alpha1.CRDDescription{
			Name: crd.Name, Version: version.Name, Kind: crd.Spec.Names.Kind,
			DisplayName: "Metrics pipeline",
			Description: oneLine(schema.Description),
			Resources: []v1alpha1.APIResourceReference{
				{Kind: "APIService", Version: "v1"}, {Kind: "Deployment", Version: "v1"}, {Kind: "Service", Version: "v1"},
				{Kind: "ConfigMap", Version: "v1"}, {Kind: "Secret", Version: "v1"},
			},
		}
		spec, status := schema.Properties["spec"], schema.Properties["status"]
		for _, name := range names(spec) {
			section := spec.Properties[name]
			d.SpecDescriptors = append(d.SpecDescriptors, v1alpha1.SpecDescriptor{
				Path: name, DisplayName: inWords(name), Description: oneLine(section.Description), XDescriptors: widgets(name, section)})
			for _, field := range names(section) {
				property := section.Properties[field]
				d.SpecDescriptors = append(d.SpecDescriptors, v1alpha1.SpecDescriptor{
					Path: name + "." + field, DisplayName: inWords(name) + ": " + lowerFirst(inWords(field)),
					Description:  oneLine(property.Description),
					XDescriptors: append(widgets(field, property), widget+"fieldGroup:"+name)})
			}
		}
		for _, name := range names(status) {
			property := status.Properties[name]
			shown := v1alpha1.StatusDescriptor{Path: name, DisplayName: inWords(name), Description: oneLine(property.Description)}
			switch {
			case name == "conditions":
				shown.XDescriptors = []string{conditions}
			case property.Type == "string", property.Type == "integer":
				shown.XDescriptors = []string{plainText}
			}
			d.StatusDescriptors = append(d.StatusDescriptors, shown)
		}
		descriptions = append(descriptions, d)
	}
	return descriptions
}

// widgets returns how a console lets users edit a field; none for what has fields of its own.
func widgets(name string, property apiextensionsv1.JSONSchemaProps) []string {
	switch {
	case len(property.Enum) > 0:
		var selects []string
		for _, value := range property.Enum {
			var text string
			if json.Unmarshal(value.Raw, &text) == nil {
				selects = append(selects, widget+"select:"+text)
			}
		}
		return selects
	case name == "replicas":
		return []string{widget + "podCount"}
	case name == "resources":
		return []string{resourcesWidget}
	}
	switch property.Type {
	case "integer", "number":
		return []string{widget + "number"}
	case "boolean":
		return []string{widget + "booleanSwitch"}
	case "string":
		return []string{widget + "text"}
	}
	return nil
}

func names(schema apiextensionsv1.JSONSchemaProps) []string {
	return slices.Sorted(maps.Keys(schema.Properties))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

var (
	words    = regexp.MustCompile(`[A-Z]+(?:[a-z]+)?|[a-z0-9]+`)
	acronyms = map[string]string{"api": "API", "apis": "APIs", "url": "URL", "tls": "TLS", "ca": "CA", "id": "ID"}
)

// inWords returns the name of a JSON field in words: "apiServices" is "API services".
func inWords(field string) string {
	parts := words.FindAllString(field, -1)
	for i, part := range parts {
		lower := strings.ToLower(part)
		if known, ok := acronyms[lower]; ok {
			parts[i] = known
		} else if i == 0 {
			parts[i] = strings.ToUpper(lower[:1]) + lower[1:]
		} else {
			parts[i] = lower
		}
	}
	return strings.Join(parts, " ")
}

// lowerFirst leaves an acronym as it is.
func lowerFirst(text string) string {
	if first, _, _ := strings.Cut(text, " "); len(first) > 1 && strings.ToUpper(first[:2]) == first[:2] {
		return text
	}
	first, size := utf8.DecodeRuneInString(text)
	return strings.ToLower(string(first)) + text[size:]
}
