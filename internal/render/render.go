// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render builds the objects of components from the embedded manifests, by kustomize, in memory.
package render

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// Renderer builds objects, and remembers the last result as long as the components stay the same.
type Renderer struct {
	mu     sync.Mutex
	digest [sha256.Size]byte
	last   []Rendered
}

// Rendered are the objects of one component.
type Rendered struct {
	// Component that they belong to.
	Component string
	// Objects in no particular order. They are shared with later results: change only copies.
	Objects []*unstructured.Unstructured
}

// Build returns the objects of the components. An error is the user's to mend (a patch that does not apply, or whose
// target matches nothing) and holds back all of them.
func (r *Renderer) Build(components []component.Component) ([]Rendered, error) {
	content, err := json.Marshal(components)
	if err != nil {
		return nil, fmt.Errorf("digest of the components: %w", err)
	}
	digest := sha256.Sum256(content)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && r.digest == digest {
		return r.last, nil
	}
	rendered, err := build(components)
	if err != nil {
		return nil, err
	}
	r.digest, r.last = digest, rendered
	return rendered, nil
}

func build(components []component.Component) ([]Rendered, error) {
	matched := map[int]bool{}
	rendered := []Rendered{}
	for _, c := range components {
		objects, used, err := buildOne(c)
		if err != nil {
			return nil, err
		}
		for _, index := range used {
			matched[index] = true
		}
		rendered = append(rendered, Rendered{Component: c.Name, Objects: objects})
	}
	if len(components) == 0 {
		return rendered, nil
	}
	var problems []error
	for index, patch := range components[0].UserPatches {
		if !matched[index] {
			problems = append(problems, unmatched(index, patch.Target, rendered))
		}
	}
	return rendered, errors.Join(problems...)
}

// unmatched says which objects of the kind there are, so that a misspelled target is found at once.
func unmatched(index int, target v1alpha1.PatchTarget, rendered []Rendered) error {
	var names []string
	for _, r := range rendered {
		for _, object := range r.Objects {
			if object.GetKind() == target.Kind {
				names = append(names, object.GetName())
			}
		}
	}
	return fmt.Errorf("spec.patches[%d].target: no deployed object has kind %q, group %q and name %q; the names of that kind are %q",
		index, target.Kind, target.Group, target.Name, names)
}
