// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	packageName = "metricspipeline-operator"
	channel     = "candidate"
	csvKind     = "ClusterServiceVersion"
	crdKind     = "CustomResourceDefinition"
)

// bundle is what a folder of a bundle has.
type bundle struct {
	csv     *unstructured.Unstructured
	objects []*unstructured.Unstructured
}

// readBundle reads the manifests of a bundle, and has the Deployment's image name the version: the only thing of a bundle that is
// changed here. Nothing is pulled, and node knows the operator's program by it.
func readBundle(dir, version string) (*bundle, error) {
	files, err := filepath.Glob(filepath.Join(dir, "manifests", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no manifests: run `make bundle`", dir)
	}
	b := &bundle{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &object.Object); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		b.objects = append(b.objects, object)
		if object.GetKind() == csvKind {
			b.csv = object
		}
	}
	if b.csv == nil {
		return nil, fmt.Errorf("%s has no %s", dir, csvKind)
	}
	return b, b.setImage(operatorImage(version))
}

// operatorImage is the name of the operator's image of a version, which only node knows.
func operatorImage(version string) string { return "operator.example.com/manager:" + version }

func (b *bundle) setImage(image string) error {
	deployments, _, err := unstructured.NestedSlice(b.csv.Object, "spec", "install", "spec", "deployments")
	if err != nil || len(deployments) != 1 {
		return fmt.Errorf("the %s has %d Deployments, want 1: %w", csvKind, len(deployments), err)
	}
	deployment := deployments[0].(map[string]any)
	containers, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the Deployment has %d containers, want 1: %w", len(containers), err)
	}
	containers[0].(map[string]any)["image"] = image
	if err := unstructured.SetNestedSlice(deployment, containers, "spec", "template", "spec", "containers"); err != nil {
		return err
	}
	return unstructured.SetNestedSlice(b.csv.Object, deployments, "spec", "install", "spec", "deployments")
}

// release is the version of the operator that the bundle installs.
func (b *bundle) release() string {
	version, _, _ := unstructured.NestedString(b.csv.Object, "spec", "version")
	return "v" + version
}

// examples are the objects of the annotation alm-examples, which a console offers to create.
func (b *bundle) examples() ([]*unstructured.Unstructured, error) {
	var contents []map[string]any
	if err := json.Unmarshal([]byte(b.csv.GetAnnotations()["alm-examples"]), &contents); err != nil {
		return nil, fmt.Errorf("reading alm-examples: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, content := range contents {
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

// blob is an entry of a file-based catalog.
type blob map[string]any

// writeCatalog writes the catalog in which each bundle replaces the one before. The bundles are in it as a whole, so that OLM needs
// no image of them and no pod to unpack it in.
func writeCatalog(dir string, bundles ...*bundle) error {
	entries, blobs := []blob{}, []blob{{"schema": "olm.package", "name": packageName, "defaultChannel": channel}}
	for i, b := range bundles {
		entry := blob{"name": b.csv.GetName()}
		if i > 0 {
			entry["replaces"] = bundles[i-1].csv.GetName()
		}
		entries = append(entries, entry)
		content, err := b.blob()
		if err != nil {
			return err
		}
		blobs = append(blobs, content)
	}
	blobs = append(blobs, blob{"schema": "olm.channel", "package": packageName, "name": channel, "entries": entries})
	file, err := os.Create(filepath.Join(dir, "catalog.json"))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if err := json.NewEncoder(file).Encode(b); err != nil {
			return err
		}
	}
	return file.Close()
}

func (b *bundle) blob() (blob, error) {
	properties := []blob{{"type": "olm.package",
		"value": blob{"packageName": packageName, "version": strings.TrimPrefix(b.release(), "v")}}}
	for _, object := range b.objects {
		content, err := object.MarshalJSON()
		if err != nil {
			return nil, err
		}
		properties = append(properties, blob{"type": "olm.bundle.object", "value": blob{"data": content}})
		if object.GetKind() != crdKind {
			continue
		}
		spec := object.Object["spec"].(map[string]any)
		for _, served := range spec["versions"].([]any) {
			properties = append(properties, blob{"type": "olm.gvk", "value": blob{
				"group": spec["group"], "kind": spec["names"].(map[string]any)["kind"], "version": served.(map[string]any)["name"]}})
		}
	}
	return blob{"schema": "olm.bundle", "name": b.csv.GetName(), "package": packageName, "image": "", "properties": properties}, nil
}
