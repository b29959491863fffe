// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/assets"
	"github.com/metricspipeline/operator/internal/component"
)

// patched are the components of the smallest spec with patches.
func patched(patches ...v1alpha1.Patch) []component.Component {
	return component.For(v1alpha1.MetricsPipelineSpec{Patches: patches}, component.Capabilities{
		Namespace: "metrics", Images: component.Images(func(string) string { return "" })}).Components
}

func patch(kind, name, content string) v1alpha1.Patch {
	return v1alpha1.Patch{Target: v1alpha1.PatchTarget{Kind: kind, Name: name}, Patch: content}
}

// TestPatchesThatAreRefused hold back everything, and say which of them is at fault.
func TestPatchesThatAreRefused(t *testing.T) {
	good := patch("Deployment", "metrics-server", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]`)
	merge := func(content string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: metrics-server}\n" + content
	}
	for name, tc := range map[string]struct {
		patch v1alpha1.Patch
		says  []string
	}{
		"a path that is not there": {
			patch("Deployment", "metrics-server", `[{"op": "replace", "path": "/spec/nothing/here", "value": 1}]`),
			[]string{"does not apply to metrics-server", "/spec/nothing/here"}},
		"a failed test": {
			patch("Deployment", "", `[{"op": "test", "path": "/spec/replicas", "value": 77}]`), []string{"does not apply to metrics-server"}},
		"an operation that is none": {
			patch("Deployment", "", `[{"op": "paint", "path": "/spec/replicas", "value": 77}]`), []string{"does not apply to metrics-server"}},
		"an operation that is a word": {
			patch("Deployment", "", `["replace"]`), []string{"does not apply to metrics-server"}},
		"no YAML": {
			patch("Deployment", "", "spec: [unclosed"), []string{"not YAML"}},
		"a sentence": {
			patch("Deployment", "", "please use three replicas"), []string{"neither a strategic merge patch nor a list"}},
		"a long sentence": {
			patch("Deployment", "", strings.Repeat("please ", 9000)), []string{"neither a strategic merge patch nor a list"}},
		"a misspelled name": {
			patch("Deployment", "metric-server", "[]"), []string{".target", `"metric-server"`, `["metrics-server" "prometheus-adapter"]`}},
		"a part of a name": {
			patch("Deployment", "metrics", "[]"), []string{".target", `["metrics-server" "prometheus-adapter"]`}},
		"a pattern as name": {
			patch("Deployment", "metrics-.*", "[]"), []string{".target"}},
		"a misspelled kind": {
			patch("deployment", "metrics-server", "[]"), []string{".target", `kind "deployment"`}},
		"another group": {
			v1alpha1.Patch{Target: v1alpha1.PatchTarget{Group: "extensions", Kind: "Deployment"}, Patch: "[]"},
			[]string{".target", `group "extensions"`, `["metrics-server" "prometheus-adapter"]`}},
		"another name": {
			patch("Service", "metrics-server", `[{"op": "replace", "path": "/metadata/name", "value": "other"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"another kind": {
			patch("Service", "metrics-server", `[{"op": "replace", "path": "/kind", "value": "Route"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"another namespace": {
			patch("Service", "metrics-server", `[{"op": "add", "path": "/metadata/namespace", "value": "default"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"the binding out of kube-system": {
			patch("RoleBinding", "", `[{"op": "replace", "path": "/metadata/namespace", "value": "default"}]`),
			[]string{"removes or renames RoleBinding", "kube-system"}},
		"removal": {
			patch("Deployment", "metrics-server", merge("$patch: delete\n")), []string{"removes or renames Deployment"}},
	} {
		t.Run(name, func(t *testing.T) {
			var renderer Renderer
			rendered, err := renderer.Build(patched(good, tc.patch))
			if err == nil {
				t.Fatalf("rendered %d components", len(rendered))
			}
			for _, part := range append(tc.says, "spec.patches[1]") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if len(err.Error()) > 2000 {
				t.Errorf("the message has %d characters: nobody reads that in a status", len(err.Error()))
			}
		})
	}
}

// TestMergePatchMayRelyOnItsTarget: kustomize wants kind and name inside of a patch, and then goes by the target.
func TestMergePatchMayRelyOnItsTarget(t *testing.T) {
	for _, content := range []string{
		"spec: {minReadySeconds: 7}",
		"kind: Deployment\nspec: {minReadySeconds: 7}",
		"metadata: {name: other}\nspec: {minReadySeconds: 7}",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: metrics-server}\nspec: {minReadySeconds: 7}",
	} {
		var renderer Renderer
		rendered, err := renderer.Build(patched(patch("Deployment", "metrics-server", content)))
		if err != nil {
			t.Errorf("%s: %v", content, err)
			continue
		}
		spec := named(t, rendered, "Deployment").Object["spec"].(map[string]any)
		if spec["minReadySeconds"] != int64(7) {
			t.Errorf("%s: minReadySeconds %v", content, spec["minReadySeconds"])
		}
	}
}

// TestPatchMayWaitForItsTarget: what a valid patch is about may be absent for a passing reason, such as a Prometheus or a
// CRD that comes later. That must not hold up everything else.
func TestPatchMayWaitForItsTarget(t *testing.T) {
	for _, target := range []v1alpha1.PatchTarget{
		{Kind: "Deployment", Name: "prometheus-adapter"}, {Kind: "ServiceMonitor"}, {Kind: "ConfigMap", Name: "prometheus-adapter"},
	} {
		var renderer Renderer
		rendered, err := renderer.Build(patched(v1alpha1.Patch{Target: target,
			Patch: `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`}))
		if err != nil || len(rendered) != 1 {
			t.Errorf("%+v: rendered %d components, error %v", target, len(rendered), err)
		}
	}
}

// TestPatchesApplyInOrder lets a later patch rely on an earlier one.
func TestPatchesApplyInOrder(t *testing.T) {
	var renderer Renderer
	rendered, err := renderer.Build(patched(
		patch("Deployment", "", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`),
		patch("Deployment", "metrics-server", `[{"op": "replace", "path": "/metadata/annotations/a", "value": "2"}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := named(t, rendered, "Deployment").GetAnnotations()["a"]; got != "2" {
		t.Errorf("annotation %q, want 2", got)
	}
}

// TestPatchCannotTakeALabelAway: an object without our label would be lost to the cache and to prune.
func TestPatchCannotTakeALabelAway(t *testing.T) {
	var renderer Renderer
	rendered, err := renderer.Build(patched(patch("Service", "metrics-server",
		`[{"op": "add", "path": "/metadata/labels", "value": {"metricspipeline.io/pipeline": "other", "team": "mine"}}]`)))
	if err != nil {
		t.Fatal(err)
	}
	labels := named(t, rendered, "Service").GetLabels()
	if labels[v1alpha1.ManagedLabel] != v1alpha1.SingletonName || labels["team"] != "mine" {
		t.Errorf("labels %v", labels)
	}
}

func named(t *testing.T, rendered []Rendered, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, r := range rendered {
		for _, object := range r.Objects {
			if object.GetKind() == kind {
				return object
			}
		}
	}
	t.Fatalf("no %s was rendered", kind)
	return nil
}

// TestSameInputIsNotBuiltAgain: a build takes as long as all the rest of a reconcile.
func TestSameInputIsNotBuiltAgain(t *testing.T) {
	var renderer Renderer
	build := func(components []component.Component) *unstructured.Unstructured {
		rendered, err := renderer.Build(components)
		if err != nil {
			t.Fatal(err)
		}
		return rendered[0].Objects[0]
	}
	first := build(patched())
	if build(patched()) != first {
		t.Error("the same components were built again")
	}
	change := patch("Deployment", "", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`)
	second := build(patched(change))
	if second == first {
		t.Error("changed components were not built")
	}
	if _, err := renderer.Build(patched(patch("Gadget", "", "[]"))); err == nil {
		t.Fatal("no error")
	}
	if build(patched(change)) != second {
		t.Error("an error made it forget what it had built")
	}
}

func TestNothingToRender(t *testing.T) {
	var renderer Renderer
	rendered, err := renderer.Build(nil)
	if err != nil || len(rendered) != 0 {
		t.Errorf("%v, %v", rendered, err)
	}
}

// TestObjectsCanBeCopied: kustomize's own maps hold numbers as int, on which DeepCopy panics.
func TestObjectsCanBeCopied(t *testing.T) {
	everyCase(t, func(_ *testing.T, _ input, objects []*unstructured.Unstructured) {
		for _, object := range objects {
			object.DeepCopy()
		}
	})
}

func TestImageReferences(t *testing.T) {
	for reference, want := range map[string][3]string{
		"example.com/a/b:v1":             {"example.com/a/b", "v1", ""},
		"example.com/a/b":                {"example.com/a/b", "", ""},
		"localhost:5000/b":               {"localhost:5000/b", "", ""},
		"localhost:5000/b:v1":            {"localhost:5000/b", "v1", ""},
		"localhost:5000/b@sha256:abc":    {"localhost:5000/b", "", "sha256:abc"},
		"localhost:5000/b:v1@sha256:abc": {"localhost:5000/b", "v1", "sha256:abc"},
		"b":                              {"b", "", ""},
	} {
		got := image("name", reference)
		if got.Name != "name" || [3]string{got.NewName, got.NewTag, got.Digest} != want {
			t.Errorf("%s: %+v, want %q", reference, got, want)
		}
	}
}

// TestAssetsAreKustomize holds what the package assets promises: each base builds as it stands, and so does each of the
// kustomize components beside it on top of the base.
func TestAssetsAreKustomize(t *testing.T) {
	files := filesys.MakeFsInMemory()
	var variants []string
	err := fs.WalkDir(assets.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := assets.Files.ReadFile(name)
		if path.Base(name) == "kustomization.yaml" {
			variants = append(variants, path.Dir(name))
		}
		if err != nil {
			return err
		}
		return files.WriteFile(name, content)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{component.MetricsServer, component.PrometheusAdapter} {
		for _, variant := range []string{"base", "high-availability", "monitor"} {
			if !slices.Contains(variants, path.Join(name, variant)) {
				t.Fatalf("there is no %s of %s; there is %q", variant, name, variants)
			}
		}
	}
	for _, variant := range variants {
		folder, above := variant, path.Dir(variant)
		if path.Base(variant) != "base" {
			folder = path.Join(above, "test")
			content := "resources: [../base]\ncomponents: [../" + path.Base(variant) + "]\n"
			if err := files.WriteFile(path.Join(folder, "kustomization.yaml"), []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, folder)
		if err != nil {
			t.Errorf("kustomize build %s: %v", variant, err)
		} else if built.Size() == 0 {
			t.Errorf("kustomize build %s: nothing", variant)
		}
	}
}
