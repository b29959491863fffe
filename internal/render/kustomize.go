// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/pkg/util"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// kustomizeLock guards kustomize, which keeps its OpenAPI schema in state of the process.
var kustomizeLock sync.Mutex

// schema is the part of kustomize's built-in one that is about the operator's kinds; written by hack/kustomize-schema.
//
//go:embed schema.json
var schema []byte

// useSchema has kustomize go by that part: to parse all of it would cost tens of megabytes.
var useSchema = sync.OnceValue(func() error {
	openapi.SuppressBuiltInSchemaUse()
	return openapi.AddSchema(schema)
})

// overlay is the folder of the kustomization that is made for a component, beside those of the assets.
const overlay = "overlay"

// buildOne returns the objects of a component, with the user's patches that concern them.
func (r *Renderer) buildOne(c operand.Component) ([]*unstructured.Unstructured, error) {
	files, err := r.folder(c)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", c.Name, err)
	}
	unpatched, err := run(files, kustomization(c))
	if err == nil {
		err = label(unpatched, c.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", c.Name, err)
	}
	return patched(c, unpatched)
}

// label puts the operator's labels on objects and on the pods that they make. Those by which the operator, Services and
// monitors find objects are set whatever a patch says; any other may be given another value, as where a Prometheus selects
// monitors by it, such as the name of a monitor.
func label(objects []*unstructured.Unstructured, component string) error {
	wanted := ownership.Labels(component)
	wanted[ownership.NameLabel] = component
	for _, object := range objects {
		fixed := fixedLabels(object)
		places := [][]string{{"metadata", "labels"}}
		if MakesPods(object) {
			places = append(places, []string{"spec", "template", "metadata", "labels"})
		}
		for _, place := range places {
			labels, _, err := unstructured.NestedStringMap(object.Object, place...)
			if err != nil {
				return fmt.Errorf("labels of %s: %w", ownership.Identity(object), err)
			}
			if labels == nil {
				labels = map[string]string{}
			}
			for key, value := range wanted {
				if _, given := labels[key]; !given || slices.Contains(fixed, key) {
					labels[key] = value
				}
			}
			if err := unstructured.SetNestedStringMap(object.Object, labels, place...); err != nil {
				return fmt.Errorf("labels of %s: %w", ownership.Identity(object), err)
			}
		}
	}
	return nil
}

// fixedLabels are those of an object that nothing may give another value. Nothing but a Prometheus selects monitors and rules by name.
func fixedLabels(object *unstructured.Unstructured) []string {
	if slices.Contains([]string{"ServiceMonitor", "PrometheusRule"}, object.GetKind()) {
		return ownership.Fixed()
	}
	return append(ownership.Fixed(), ownership.NameLabel)
}

// matches is true when a patch is about an object.
func matches(target v1alpha1.PatchTarget, object *unstructured.Unstructured) bool {
	gvk := object.GroupVersionKind()
	return gvk.Kind == target.Kind &&
		(target.Group == "" || gvk.Group == target.Group) &&
		(target.Name == "" || object.GetName() == target.Name)
}

// kustomization returns what is to be built for a component, without the user's patches.
func kustomization(c operand.Component) *types.Kustomization {
	k := &types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{"../base"},
		// unsetOnly: the autoscaler's ServiceAccount is in kube-system, whatever the namespace of the rest.
		Transformers: []string{fmt.Sprintf(
			"{apiVersion: builtin, kind: NamespaceTransformer, metadata: {name: namespace, namespace: %q}, "+
				"unsetOnly: true, setRoleBindingSubjects: allServiceAccounts}", c.Namespace)},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		repository, tag, digest := util.SplitImageName(c.Images[name])
		k.Images = append(k.Images, types.Image{Name: name, NewName: repository, NewTag: tag, Digest: digest})
	}
	for _, variant := range c.Variants {
		k.Components = append(k.Components, "../"+variant)
	}
	for _, patch := range c.Patches {
		k.Patches = append(k.Patches, types.Patch{
			Patch:  patch.Content,
			Target: &types.Selector{ResId: resid.ResId{Gvk: resid.Gvk{Kind: patch.Kind}, Name: exactly(patch.Name)}},
		})
	}
	if len(c.Files) > 0 {
		args := types.ConfigMapArgs{GeneratorArgs: types.GeneratorArgs{Name: c.Name}}
		args.Options = &types.GeneratorOptions{DisableNameSuffixHash: true}
		args.FileSources = slices.Sorted(maps.Keys(c.Files))
		k.ConfigMapGenerator = []types.ConfigMapArgs{args}
	}
	return k
}

// run builds a kustomization in the overlay of a file system.
func run(files filesys.FileSystem, k *types.Kustomization) (_ []*unstructured.Unstructured, err error) {
	content, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("write the kustomization: %w", err)
	}
	if err := files.WriteFile(path.Join(overlay, "kustomization.yaml"), content); err != nil {
		return nil, err
	}
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	defer func() {
		// kustomize panics on some malformed patches.
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("kustomize panicked: %v", panicked)
		}
	}()
	if err := useSchema(); err != nil {
		return nil, fmt.Errorf("read the OpenAPI schema: %w", err)
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, overlay)
	if err != nil {
		return nil, err
	}
	return convert(objects)
}

// folder copies the component's assets and files into a file system in memory.
func (r *Renderer) folder(c operand.Component) (filesys.FileSystem, error) {
	files := filesys.MakeFsInMemory()
	err := fs.WalkDir(r.assets(), c.Name, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(r.assets(), name)
		if err != nil {
			return err
		}
		return files.WriteFile(strings.TrimPrefix(name, c.Name+"/"), content)
	})
	if err != nil {
		return nil, fmt.Errorf("read the assets: %w", err)
	}
	for name, content := range c.Files {
		if err := files.WriteFile(path.Join(overlay, name), []byte(content)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func convert(objects resmap.ResMap) ([]*unstructured.Unstructured, error) {
	var converted []*unstructured.Unstructured
	for _, object := range objects.Resources() {
		// By way of JSON: kustomize's maps have numbers as int, which no Unstructured may.
		content, err := object.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(content); err != nil {
			return nil, fmt.Errorf("read %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		converted = append(converted, u)
	}
	return converted, nil
}

// exactly returns the regular expression that kustomize takes for a name; empty stays any.
func exactly(name string) string { return regexp.QuoteMeta(name) }
