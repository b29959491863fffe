// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	u "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/kinds"
)

// Schemas know which fields the CRDs of others define. A field that the installed CRD does not define must not be sent: the API
// server refuses the object.
type Schemas struct {
	// live reads from the API server: a schema is too large to be cached for a few of its fields.
	live client.Reader

	mu sync.Mutex
	// known are the fields of a CRD that were asked for, at one of its versions.
	known map[string]definition
}

type definition struct {
	version string
	fields  map[string]bool
}

// has is true when each of the fields has been looked for.
func (d definition) has(fields []string) bool {
	return !slices.ContainsFunc(fields, func(field string) bool { _, found := d.fields[field]; return !found })
}

// NewSchemas returns schemas that are read from the API server.
func NewSchemas(live client.Reader) *Schemas {
	return &Schemas{live: live, known: map[string]definition{}}
}

// Define returns which of the fields the version v1 of a CRD defines. A field is a path such as spec.endpoints[].path, or one with a
// value that its enumeration must have, such as spec.endpoints[].scheme=https. It sends one request for each change of a CRD.
func (s *Schemas) Define(ctx context.Context, served Served, crd string, fields ...string) (map[string]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := served.version(crd)
	if known := s.known[crd]; known.version == version && version != "" && known.has(fields) {
		return known.fields, nil
	}
	list := &u.UnstructuredList{}
	list.SetGroupVersionKind(kinds.CRD.GroupVersion().WithKind(kinds.CRD.Kind + "List"))
	if err := s.live.List(ctx, list, client.MatchingFields{metav1.ObjectNameField: crd}); err != nil {
		return nil, fmt.Errorf("read the schema of CRD %s: %w", crd, err)
	}
	defined := map[string]bool{}
	for _, object := range list.Items {
		schema := schemaOf(object.Object)
		for _, field := range fields {
			defined[field] = defines(schema, field)
		}
	}
	s.known[crd] = definition{version: version, fields: defined}
	return defined, nil
}

// version changes with each write of a CRD; empty where that is not known.
func (s Served) version(crd string) string {
	for _, one := range strings.Fields(s.CRDs) {
		if name, version, _ := strings.Cut(one, "@"); name == crd {
			return version
		}
	}
	return ""
}

// schemaOf returns the schema of version v1; nil where there is none.
func schemaOf(crd map[string]any) map[string]any {
	found, _, _ := u.NestedFieldNoCopy(crd, "spec", "versions")
	versions, _ := found.([]any)
	for _, version := range versions {
		if entry, ok := version.(map[string]any); ok && entry["name"] == "v1" {
			return child(entry, "schema", "openAPIV3Schema")
		}
	}
	return nil
}

// child returns a map in a schema, which is too large to be copied; nil where there is none.
func child(schema map[string]any, fields ...string) map[string]any {
	found, _, _ := u.NestedFieldNoCopy(schema, fields...)
	object, _ := found.(map[string]any)
	return object
}

func defines(schema map[string]any, field string) bool {
	path, value, hasValue := strings.Cut(field, "=")
	for _, step := range strings.Split(path, ".") {
		name, isList := strings.CutSuffix(step, "[]")
		schema = child(schema, "properties", name)
		if isList {
			schema = child(schema, "items")
		}
	}
	if !hasValue {
		return schema != nil
	}
	values, _, _ := u.NestedStringSlice(schema, "enum")
	return slices.Contains(values, value)
}
