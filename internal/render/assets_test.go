// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io/fs"
	"path"
	"slices"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/metricspipeline/operator/internal/assets"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
)

// TestAssetsAreKustomize checks what the package assets promises: each base builds as it stands, and so does each of the
// kustomize components beside it on top of the base.
func TestAssetsAreKustomize(t *testing.T) {
	if err := useSchema(); err != nil { // The whole built-in schema would stay in the process, and hide what is missing in this one.
		t.Fatal(err)
	}
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
	for _, c := range operand.Catalog(registry.Operands()) {
		for _, variant := range append([]string{"base"}, c.Variants...) {
			if !slices.Contains(variants, path.Join(c.Name, variant)) {
				t.Fatalf("there is no %s of %s; there is %q", variant, c.Name, variants)
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
