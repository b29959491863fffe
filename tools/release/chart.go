// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	chartFolder = "charts/metricspipeline-operator"
	// schemaDigest is the annotation of the chart's CRD by which an upgrade finds out that the cluster has another one: Helm never
	// changes what is in crds/.
	schemaDigest = "metricspipeline.io/schema-digest"
	// installNamespace is where config/ puts everything, and the chart the namespace of its release.
	installNamespace = "metricspipeline-system"
	generated        = "# Generated from config/ by `make chart`. Do not edit.\n"
)

// writeChart writes the generated part of the chart: the CRD, and a template for each other object of config/default.
func writeChart(root string) error {
	objects, err := kustomize(filepath.Join(root, "config", "default"))
	if err != nil {
		return err
	}
	crds, templates, err := renderChart(objects)
	if err != nil {
		return err
	}
	chart := filepath.Join(root, chartFolder)
	if err := replaceFolder(filepath.Join(chart, "crds"), crds); err != nil {
		return err
	}
	return replaceFolder(filepath.Join(chart, "templates", "config"), templates)
}

// kustomize builds a kustomization as `kustomize build` does.
func kustomize(dir string) ([]*kyaml.RNode, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // The kustomization says it.
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", dir, err)
	}
	return built.ToRNodeSlice(), nil
}

// renderChart turns objects into the files of crds/ and of templates/config/, by name. The Namespace is left out: the release has one.
func renderChart(objects []*kyaml.RNode) (crds, templates map[string]string, err error) {
	crds, templates = map[string]string{}, map[string]string{}
	for _, object := range objects {
		switch object.GetKind() {
		case "Namespace":
		case "CustomResourceDefinition":
			content, err := renderCRD(object)
			if err != nil {
				return nil, nil, err
			}
			crds[object.GetName()+".yaml"] = content
		default:
			content, err := renderTemplate(object)
			if err != nil {
				return nil, nil, fmt.Errorf("make a template of %s %s: %w", object.GetKind(), object.GetName(), err)
			}
			templates[templateName(object)] = content
		}
	}
	return crds, templates, nil
}

// templateName is the kind, and what of the name is not the operator's own: role-leader-election.yaml.
func templateName(object *kyaml.RNode) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(object.GetName(), "metricspipeline"), "-operator")
	return strings.ToLower(object.GetKind()) + rest + ".yaml"
}

// renderCRD adds the digest of its content. Files of crds/ are no templates, so nothing in it needs to be escaped.
func renderCRD(object *kyaml.RNode) (string, error) {
	content, err := object.String()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(content))
	if err := object.PipeE(kyaml.SetAnnotation(schemaDigest, hex.EncodeToString(sum[:8]))); err != nil {
		return "", err
	}
	content, err = object.String()
	return generated + content, err
}

// renderTemplate writes an object with the release's namespace, and a Deployment with what values.yaml can change.
func renderTemplate(object *kyaml.RNode) (string, error) {
	if content, err := object.String(); err != nil || strings.Contains(content, "{{") {
		return "", errors.Join(err, errors.New(`it has "{{", which Helm would take for its own`))
	}
	actions := actions{}
	if err := actions.replaceNamespace(object.YNode()); err != nil {
		return "", err
	}
	if object.GetKind() == "Deployment" {
		if err := actions.parameterize(object); err != nil {
			return "", err
		}
	}
	content, err := object.String()
	if err != nil {
		return "", err
	}
	return generated + actions.insert(content), nil
}

// replaceFolder makes these files all that a folder has.
func replaceFolder(dir string, files map[string]string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
