// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render builds the objects of components from the embedded manifests, by kustomize, in memory.
package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	// catalog are the objects that a patch may be about; built when there is a patch.
	catalog []*unstructured.Unstructured
}

// Rendered are the objects of one component.
type Rendered struct {
	// Component that they belong to.
	Component string
	// Objects in the order in which to write them: what pods need comes before what makes pods. They are shared with later
	// results: change only copies.
	Objects []*unstructured.Unstructured
}

// Build returns the objects of the components. An error is the user's to mend (a patch that does not apply, or whose
// target no component could have) and holds back all of them.
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
	rendered, err := r.build(components)
	if err != nil {
		return nil, err
	}
	r.digest, r.last = digest, rendered
	return rendered, nil
}

func (r *Renderer) build(components []component.Component) ([]Rendered, error) {
	rendered := []Rendered{}
	for _, c := range components {
		objects, err := buildOne(c)
		if err != nil {
			return nil, err
		}
		// A ReplicaSet that finds no ServiceAccount, or a pod without its ConfigMap, waits before it tries again.
		slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
			return cmp.Compare(makesPods(a), makesPods(b))
		})
		rendered = append(rendered, Rendered{Component: c.Name, Objects: objects})
	}
	if len(components) == 0 {
		return rendered, nil
	}
	return rendered, r.checkTargets(components[0].UserPatches)
}

// makesPods is 1 for a Deployment and 0 for anything else.
func makesPods(object *unstructured.Unstructured) int {
	if object.GetKind() == "Deployment" {
		return 1
	}
	return 0
}

// checkTargets returns an error for each patch whose target no component could ever have. A target that is only absent
// now (a PodDisruptionBudget of a single replica, the adapter as long as there is no rule) is none of the user's mistakes.
func (r *Renderer) checkTargets(patches []v1alpha1.Patch) error {
	if len(patches) == 0 {
		return nil
	}
	if r.catalog == nil {
		for _, c := range component.Catalog() {
			objects, err := buildOne(c)
			if err != nil {
				return fmt.Errorf("build the catalog: %w", err)
			}
			r.catalog = append(r.catalog, objects...)
		}
	}
	var problems []error
	for index, patch := range patches {
		target := patch.Target
		if slices.ContainsFunc(r.catalog, func(object *unstructured.Unstructured) bool { return matches(target, object) }) {
			continue
		}
		var names []string
		for _, object := range r.catalog {
			if object.GetKind() == target.Kind {
				names = append(names, object.GetName())
			}
		}
		problems = append(problems, fmt.Errorf(
			"spec.patches[%d].target: the operator deploys no object of kind %q, group %q and name %q; the names of that kind are %q",
			index, target.Kind, target.Group, target.Name, names))
	}
	return errors.Join(problems...)
}
