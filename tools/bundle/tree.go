// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/pkg/util"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// digests is the kustomize component that pins the operands' images. Trees before v0.2.0 do not have it.
const digests = "config/components/digests"

// relatedImage begins the names of the environment variables by which the operator knows its operands' images.
const relatedImage = "RELATED_IMAGE_"

// tree is what config/ installs, sorted by what becomes of it in a bundle.
type tree struct {
	namespace    *corev1.Namespace
	deployment   *appsv1.Deployment
	crd          *apiextensionsv1.CustomResourceDefinition
	clusterRoles map[string]*rbacv1.ClusterRole
	bindings     []rbacv1.ClusterRoleBinding
	// objects are all the others.
	objects []*unstructured.Unstructured
	// samples are the pipelines that config/samples applies.
	samples []*unstructured.Unstructured
}

// readTree builds config/default of a source tree, with the component digests where it has one. It builds in memory, with an overlay
// beside config/, so that a tree of any age can be read and none is written to.
func readTree(root string) (*tree, error) {
	files := filesys.MakeFsInMemory()
	err := fs.WalkDir(os.DirFS(root), "config", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		return files.WriteFile("/"+path, content)
	})
	if err != nil {
		return nil, err
	}
	overlay := "resources: [../config/default]\n"
	if files.Exists("/" + digests) {
		overlay += "components: [../" + digests + "]\n"
	}
	if err := files.WriteFile("/overlay/kustomization.yaml", []byte(overlay)); err != nil {
		return nil, err
	}
	installed, err := build(files, "/overlay")
	if err != nil {
		return nil, err
	}
	t := &tree{clusterRoles: map[string]*rbacv1.ClusterRole{}}
	for _, object := range installed {
		if err := t.add(object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	if t.namespace == nil || t.deployment == nil || t.crd == nil {
		return nil, fmt.Errorf("%s/config/default has no Namespace, no Deployment or no CustomResourceDefinition", root)
	}
	t.samples, err = build(files, "/config/samples")
	return t, err
}

func build(files filesys.FileSystem, folder string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	built, err := krusty.MakeKustomizer(options).Run(files, folder)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		content, err := resource.MarshalJSON()
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(content); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func (t *tree) add(object *unstructured.Unstructured) error {
	into := func(typed any) error {
		return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true)
	}
	switch object.GetKind() {
	case "Namespace":
		t.namespace = &corev1.Namespace{}
		return into(t.namespace)
	case "Deployment":
		t.deployment = &appsv1.Deployment{}
		return into(t.deployment)
	case "CustomResourceDefinition":
		t.crd = &apiextensionsv1.CustomResourceDefinition{}
		t.objects = append(t.objects, object)
		return into(t.crd)
	case "ClusterRole":
		role := &rbacv1.ClusterRole{}
		t.clusterRoles[object.GetName()] = role
		t.objects = append(t.objects, object)
		return into(role)
	case "ClusterRoleBinding":
		binding := rbacv1.ClusterRoleBinding{}
		err := into(&binding)
		t.bindings = append(t.bindings, binding)
		return err
	}
	t.objects = append(t.objects, object)
	return nil
}

// account of the operator.
func (t *tree) account() string { return t.deployment.Spec.Template.Spec.ServiceAccountName }

// setImages sets the operator's image and replaces those of mapped repositories.
func (t *tree) setImages(o Options) error {
	mapped := func(reference string) string {
		repository, _, _ := util.SplitImageName(reference)
		if replacement, ok := o.Images[repository]; ok {
			return replacement
		}
		return reference
	}
	containers := t.deployment.Spec.Template.Spec.Containers
	if len(containers) != 1 {
		return fmt.Errorf("the operator's Deployment has %d containers, not one", len(containers))
	}
	containers[0].Image = mapped(o.Image)
	for i := range containers[0].Env {
		if variable := &containers[0].Env[i]; strings.HasPrefix(variable.Name, relatedImage) {
			variable.Value = mapped(variable.Value)
		}
	}
	if !o.Release {
		return nil
	}
	for _, image := range t.images() {
		if _, _, digest := util.SplitImageName(image.Image); digest == "" {
			return fmt.Errorf("-release: the image %s has no digest: give the operator's by -image, the operands' in %s", image.Image, digests)
		}
	}
	return nil
}

// pinned is true when every image has a digest.
func (t *tree) pinned() bool {
	return !slices.ContainsFunc(t.images(), func(image v1alpha1.RelatedImage) bool {
		_, _, digest := util.SplitImageName(image.Image)
		return digest == ""
	})
}
