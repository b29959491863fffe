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
	"io/fs"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/assets"
	"github.com/metricspipeline/operator/internal/operand"
)

// Renderer builds objects, and remembers the last result of each component as long as that stays the same. Components are
// built apart from each other, so that a fault of one affects none of the others.
type Renderer struct {
	// Assets has a folder for each component; nil for the embedded ones.
	Assets fs.FS
	// Catalog are the components that a patch may be about, with everything that a spec could want of them.
	Catalog []operand.Component

	mu   sync.Mutex
	last map[string]remembered
	// targets are the objects of the catalog; built when there is a patch.
	targets []*unstructured.Unstructured
}

// remembered is the last result of one component, and what it was built from.
type remembered struct {
	digest  [sha256.Size]byte
	objects []*unstructured.Unstructured
	err     error
}

// Build returns the objects of a component in the order in which to write them: what pods need, what makes pods, what selects them.
// They are shared with later results: change only copies. An error is about the spec (a patch that does not apply) and is
// remembered as well.
func (r *Renderer) Build(c operand.Component) ([]*unstructured.Unstructured, error) {
	content, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("digest of component %s: %w", c.Name, err)
	}
	digest := sha256.Sum256(content)

	r.mu.Lock()
	defer r.mu.Unlock()
	if known, found := r.last[c.Name]; found && known.digest == digest {
		return known.objects, known.err
	}
	objects, err := r.buildOne(c)
	// A Deployment whose pods cannot be made yet because their ServiceAccount is missing, or a pod without its ConfigMap, waits
	// before it tries again. A Service may have to wait for the pods that it is to select.
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(rank(a), rank(b))
	})
	if r.last == nil {
		r.last = map[string]remembered{}
	}
	r.last[c.Name] = remembered{digest, objects, err}
	return objects, err
}

// MakesPods is true of an object that makes pods.
func MakesPods(object *unstructured.Unstructured) bool { return object.GetKind() == "Deployment" }

func rank(object *unstructured.Unstructured) int {
	switch {
	case MakesPods(object):
		return 1
	case object.GetKind() == "Service":
		return 2
	default:
		return 0
	}
}

// CheckTargets returns an error for each patch whose target no component could ever have. A target that is only absent now (a
// PodDisruptionBudget of a single replica, a component that there is no need for) is no mistake.
func (r *Renderer) CheckTargets(patches []v1alpha1.Patch) error {
	if len(patches) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.targets == nil {
		for _, c := range r.Catalog {
			c.Namespace = "catalog"
			objects, err := r.buildOne(c)
			if err != nil {
				return fmt.Errorf("build the catalog: %w", err)
			}
			r.targets = append(r.targets, objects...)
		}
	}
	var problems []error
	for index, patch := range patches {
		target := patch.Target
		if slices.ContainsFunc(r.targets, func(object *unstructured.Unstructured) bool { return matches(target, object) }) {
			continue
		}
		var names []string
		for _, object := range r.targets {
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

func (r *Renderer) assets() fs.FS {
	if r.Assets != nil {
		return r.Assets
	}
	return assets.Files
}
