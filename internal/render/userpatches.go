// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/render/patchpolicy"
)

// patched returns the objects of a component with the user's patches that concern them. Each patch is applied to what the one before
// it has left, so that an error names the patch and a later patch finds the containers in the order in which they are written.
func patched(c operand.Component, unpatched []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	objects := unpatched
	for index, patch := range c.UserPatches {
		isTarget := func(object *unstructured.Unstructured) bool { return matches(patch.Target, object) }
		if !slices.ContainsFunc(objects, isTarget) {
			continue
		}
		content, err := parse(patch.Patch)
		if err != nil {
			return nil, fmt.Errorf("spec.patches[%d].patch: %w", index, err)
		}
		after, err := content.apply(patch.Target, objects)
		if err == nil {
			arrange(unpatched, after)
			err = label(after, c.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("spec.patches[%d] does not apply to %s: %w; what runs is kept, correct the patch", index, c.Name, err)
		}
		// Against what there is without any patch: one may change what an earlier one added.
		if err := patchpolicy.Check(unpatched, after, c.Guarded); err != nil {
			return nil, fmt.Errorf("spec.patches[%d]: %w; what runs of %s is kept", index, err, c.Name)
		}
		objects = after
	}
	return renewed(unpatched, objects)
}

// content is that of a patch: one of the two.
type content struct {
	// operations of JSON 6902, as JSON.
	operations []byte
	// merge are the fields of a strategic merge patch.
	merge map[string]any
}

// parse reads a patch.
func parse(patch string) (content, error) {
	var parsed any
	if err := yaml.Unmarshal([]byte(patch), &parsed); err != nil {
		return content{}, fmt.Errorf("it is not YAML: %w", err)
	}
	if documents(patch) > 1 {
		return content{}, errors.New("it has several YAML documents, of which only the first would apply; make a patch of each")
	}
	switch typed := parsed.(type) {
	case []any:
		operations, err := yaml.YAMLToJSON([]byte(patch))
		return content{operations: operations}, err
	case map[string]any:
		return content{merge: typed}, nil
	default:
		return content{}, errors.New("it is neither a strategic merge patch nor a list of JSON 6902 operations")
	}
}

// documents returns how many YAML documents there are, but for those without a content.
func documents(patch string) int {
	count := 0
	for decoder := kyaml.NewDecoder(strings.NewReader(patch)); ; {
		var document kyaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			return count + 1
		}
		if len(document.Content) > 0 && document.Content[0].ShortTag() != kyaml.NodeTagNull {
			count++
		}
	}
}

// apply returns objects with those of a target patched. None of the given ones is changed.
func (c content) apply(target v1alpha1.PatchTarget, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var targets, all []*unstructured.Unstructured
	for _, object := range objects {
		if matches(target, object) {
			targets = append(targets, object)
		}
	}
	change := c.operate
	if c.merge != nil {
		change = c.mergeInto
	}
	changed, err := change(target, targets)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if !matches(target, object) {
			all = append(all, object)
		} else if len(changed) > 0 { // A merge patch may delete; that is refused by what is left.
			all, changed = append(all, changed[0]), changed[1:]
		}
	}
	return all, nil
}

// operate applies JSON 6902 operations to each object.
func (c content) operate(_ v1alpha1.PatchTarget, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	operations, err := jsonpatch.DecodePatch(c.operations)
	if err != nil {
		return nil, fmt.Errorf("it is no list of operations: %w", err)
	}
	var changed []*unstructured.Unstructured
	for _, object := range objects {
		after, err := operated(operations, object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ownership.Identity(object), err)
		}
		changed = append(changed, after)
	}
	return changed, nil
}

// largestObject bounds what copies can make of an object, in bytes: etcd takes hardly more.
const largestObject = 1 << 20

// farIndex finds an index of a list that no list of ours has. What leads there is not made: the library would fill the list up to it.
var farIndex = regexp.MustCompile(`/\d{3,}(/|$)`)

// operated is an object after operations. The objects of one kind differ in what they have, and an object does so by the fields of
// the spec and by the cluster. So what an operation adds to may be missing and is made, such as a map of annotations, and a field that
// it removes may be gone already. kustomize has no such options.
func operated(operations jsonpatch.Patch, object *unstructured.Unstructured) (_ *unstructured.Unstructured, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the operations cannot be applied: %v", panicked)
		}
	}()
	document, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	options := jsonpatch.NewApplyOptions()
	options.AccumulatedCopySizeLimit = largestObject
	for _, operation := range operations {
		at, _ := operation.Path()
		options.EnsurePathExistsOnAdd = !farIndex.MatchString(at)
		after, err := jsonpatch.Patch{operation}.ApplyWithOptions(document, options)
		if errors.Is(err, jsonpatch.ErrMissing) && operation.Kind() == "remove" && mayBeAbsent(operation, object) {
			continue
		}
		if err == nil && len(after) > largestObject {
			err = fmt.Errorf("the object would be larger than %d bytes", largestObject)
		}
		if err != nil {
			return nil, err
		}
		document = after
	}
	after := &unstructured.Unstructured{}
	return after, after.UnmarshalJSON(document)
}

// mayBeAbsent is true of an operation about a field that a patch may change. Any other that is absent is a mistake in its path.
func mayBeAbsent(operation jsonpatch.Operation, object *unstructured.Unstructured) bool {
	path, err := operation.Path()
	if err != nil {
		return false
	}
	elements := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, element := range elements {
		elements[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(element)
	}
	return patchpolicy.Covers(object.GroupVersionKind().GroupKind(), elements)
}

// mergeInto applies a strategic merge patch by kustomize.
func (c content) mergeInto(target v1alpha1.PatchTarget, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	patch, err := c.complete(objects[0])
	if err != nil {
		return nil, err
	}
	var documents bytes.Buffer
	for _, object := range objects {
		document, err := object.MarshalJSON()
		if err != nil {
			return nil, err
		}
		documents.WriteString("---\n")
		documents.Write(document)
	}
	files := filesys.MakeFsInMemory()
	if err := files.WriteFile(path.Join(overlay, "objects.yaml"), documents.Bytes()); err != nil {
		return nil, err
	}
	return run(files, &types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{"objects.yaml"},
		Patches: []types.Patch{{Patch: patch, Target: &types.Selector{ResId: resid.ResId{
			Gvk: resid.Gvk{Group: target.Group, Kind: target.Kind}, Name: exactly(target.Name)}}}},
	})
}

// complete gives a strategic merge patch the kind and the name that kustomize wants inside it, and then ignores because the target
// says them.
func (c content) complete(object *unstructured.Unstructured) (string, error) {
	merge := &unstructured.Unstructured{Object: c.merge}
	if merge.GetKind() == "" || merge.GetAPIVersion() == "" {
		merge.SetGroupVersionKind(object.GroupVersionKind())
	}
	if merge.GetName() == "" {
		merge.SetName(object.GetName())
	}
	completed, err := yaml.Marshal(merge.Object)
	return string(completed), err
}
