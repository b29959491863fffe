// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kustomize-schema writes the part of kustomize's built-in OpenAPI schema that the operator needs: the structure of the
// kinds that it manages. To parse the whole schema costs a process tens of megabytes and its first build a tenth of a second.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/metricspipeline/operator/internal/kinds"
)

const references = "#/definitions/"

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(out io.Writer) error {
	managed := map[schema.GroupVersionKind]bool{}
	for _, kind := range kinds.Managed {
		managed[kind.GroupVersionKind] = true
	}
	all := openapi.Schema().Definitions
	kept := spec.Definitions{}
	for name, definition := range all {
		if slices.ContainsFunc(kindsOf(definition), func(kind schema.GroupVersionKind) bool { return managed[kind] }) {
			keep(name, all, kept)
		}
	}
	if len(kept) == 0 {
		return errors.New("the built-in schema has none of the kinds that the operator manages")
	}
	var lines []string // One for each definition, so that a difference can be read.
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		line, err := json.Marshal(map[string]spec.Schema{name: kept[name]})
		if err != nil {
			return err
		}
		lines = append(lines, string(line[1:len(line)-1]))
	}
	_, err := fmt.Fprintf(out, "{\"definitions\":{\n%s\n}}\n", strings.Join(lines, ",\n"))
	return err
}

// kindsOf returns the kinds that a definition is of.
func kindsOf(definition spec.Schema) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	listed, _ := definition.Extensions["x-kubernetes-group-version-kind"].([]any)
	for _, each := range listed {
		fields, _ := each.(map[string]any)
		group, _ := fields["group"].(string)
		version, _ := fields["version"].(string)
		kind, _ := fields["kind"].(string)
		kinds = append(kinds, schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	}
	return kinds
}

// keep adds a definition and those that it refers to.
func keep(name string, all, kept spec.Definitions) {
	if _, known := kept[name]; known {
		return
	}
	definition := all[name]
	kept[name] = *structure(&definition, func(reference string) { keep(strings.TrimPrefix(reference, references), all, kept) })
}

// structure returns what a strategic merge goes by: types, fields, and by which key the items of a list are merged.
func structure(full *spec.Schema, refer func(string)) *spec.Schema {
	if full == nil {
		return nil
	}
	kept := &spec.Schema{}
	kept.Type, kept.Format, kept.Ref, kept.Extensions = full.Type, full.Format, full.Ref, full.Extensions
	if reference := full.Ref.String(); reference != "" {
		refer(reference)
	}
	for _, name := range slices.Sorted(maps.Keys(full.Properties)) {
		field := full.Properties[name]
		if kept.Properties == nil {
			kept.Properties = map[string]spec.Schema{}
		}
		kept.Properties[name] = *structure(&field, refer)
	}
	if full.Items != nil {
		kept.Items = &spec.SchemaOrArray{Schema: structure(full.Items.Schema, refer)}
	}
	if full.AdditionalProperties != nil {
		kept.AdditionalProperties = &spec.SchemaOrBool{
			Allows: full.AdditionalProperties.Allows, Schema: structure(full.AdditionalProperties.Schema, refer)}
	}
	return kept
}
