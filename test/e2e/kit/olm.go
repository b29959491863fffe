// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

const (
	// OLMAddon is the addon of the test cluster that is the Operator Lifecycle Manager.
	OLMAddon = "operator-lifecycle-manager"
	// OLMNamespace is where it runs.
	OLMNamespace = "olm"
	// OLMPackage is the name of the operator's package, and OLMChannel of its channel.
	OLMPackage = "metricspipeline-operator"
	// OLMChannel is described at OLMPackage.
	OLMChannel = "candidate"
)

// OLMKind is a kind of the Operator Lifecycle Manager.
func OLMKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1", Kind: kind}
}

// PushBundle packs the folder bundle/ as an image and pushes it to the registry of the test cluster. Images that nobody has
// published are replaced by those that the cluster has. It returns the name of the ClusterServiceVersion, and the image.
func (c *Cluster) PushBundle(ctx context.Context, scratch string) (csv, image string, err error) {
	folder := filepath.Join(scratch, "bundle")
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(c.Root, "bundle"))); err != nil {
		return "", "", err
	}
	files, err := filepath.Glob(filepath.Join(folder, "manifests", "*clusterserviceversion.yaml"))
	if err != nil || len(files) != 1 {
		return "", "", fmt.Errorf("bundle/manifests has %d ClusterServiceVersions, want 1: run `make bundle`: %w", len(files), err)
	}
	object, err := readObject(files[0])
	if err != nil {
		return "", "", err
	}
	if err := c.useLoadedImages(object); err != nil {
		return "", "", err
	}
	content, err := yaml.Marshal(object.Object)
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		return "", "", err
	}
	args := []string{"push", OLMPackage + "-bundle:e2e",
		"--folder=" + filepath.Join(folder, "manifests") + ":/manifests", "--folder=" + filepath.Join(folder, "metadata") + ":/metadata"}
	annotations, err := readObject(filepath.Join(folder, "metadata", "annotations.yaml"))
	if err != nil {
		return "", "", err
	}
	// The bundle's Dockerfile has them as labels, by which opm knows what the image is.
	labels, _, err := unstructured.NestedStringMap(annotations.Object, "annotations")
	if err != nil {
		return "", "", err
	}
	for name, value := range labels {
		args = append(args, "--label="+name+"="+value)
	}
	image, err = c.host(ctx, args...)
	return object.GetName(), strings.TrimSpace(image), err
}

func readObject(file string) (*unstructured.Unstructured, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &object.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return object, nil
}

// useLoadedImages gives the Deployment of a ClusterServiceVersion the images of the one that is installed, which are loaded.
func (c *Cluster) useLoadedImages(csv *unstructured.Unstructured) error {
	objects, err := c.installed()
	if err != nil {
		return err
	}
	loaded := map[string]any{}
	for _, object := range objects {
		deployment, ok := object.(*unstructured.Unstructured)
		if !ok || deployment.GetKind() != "Deployment" {
			continue
		}
		container, err := onlyContainer(deployment.Object)
		if err != nil {
			return err
		}
		for _, variable := range container["env"].([]any) {
			fields := variable.(map[string]any)
			loaded[fields["name"].(string)] = fields["value"]
		}
	}
	deployments, _, err := unstructured.NestedSlice(csv.Object, "spec", "install", "spec", "deployments")
	if err != nil || len(deployments) != 1 {
		return fmt.Errorf("the ClusterServiceVersion has %d Deployments, want 1: %w", len(deployments), err)
	}
	container, err := onlyContainer(deployments[0].(map[string]any))
	if err != nil {
		return err
	}
	container["image"], container["imagePullPolicy"] = OperatorImage(), "IfNotPresent"
	for _, variable := range container["env"].([]any) {
		fields := variable.(map[string]any)
		if name := fields["name"].(string); strings.HasPrefix(name, "RELATED_IMAGE_") {
			fields["value"] = loaded[name]
		}
	}
	return unstructured.SetNestedSlice(csv.Object, deployments, "spec", "install", "spec", "deployments")
}

// onlyContainer returns the container of what has a Deployment's spec, as it is in there.
func onlyContainer(deployment map[string]any) (map[string]any, error) {
	found, _, err := unstructured.NestedFieldNoCopy(deployment, "spec", "template", "spec", "containers")
	containers, ok := found.([]any)
	if err != nil || !ok || len(containers) != 1 {
		return nil, fmt.Errorf("the Deployment has %d containers, want the operator's alone: %w", len(containers), err)
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the Deployment has a container that is a %T", containers[0])
	}
	return container, nil
}

// PushCatalog has opm render the bundle's image, as a maintainer of a catalog does, and pushes the image of a catalog that has it.
func (c *Cluster) PushCatalog(ctx context.Context, scratch, csv, bundle string) (image string, err error) {
	programs, err := c.host(ctx, "binaries", "opm")
	if err != nil {
		return "", err
	}
	// The machine may have no policy of which images to trust, and opm demands one.
	policy := filepath.Join(scratch, ".config", "containers", "policy.json")
	if err := os.MkdirAll(filepath.Dir(policy), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(policy, []byte(`{"default": [{"type": "insecureAcceptAnything"}]}`), 0o600); err != nil {
		return "", err
	}
	opm := filepath.Join(strings.TrimSpace(programs), "opm")
	rendered, err := c.host(ctx, "exec-in-node", "env", "HOME="+scratch, opm, "render", bundle, "--use-http", "--output=json")
	if err != nil {
		return "", err
	}
	folder := filepath.Join(scratch, "catalog")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	contents := []string{rendered}
	for _, blob := range []map[string]any{
		{"schema": "olm.package", "name": OLMPackage, "defaultChannel": OLMChannel},
		{"schema": "olm.channel", "package": OLMPackage, "name": OLMChannel, "entries": []any{map[string]any{"name": csv}}},
	} {
		content, err := json.Marshal(blob)
		if err != nil {
			return "", err
		}
		contents = append(contents, string(content))
	}
	if err := os.WriteFile(filepath.Join(folder, "catalog.json"), []byte(strings.Join(contents, "\n")), 0o600); err != nil {
		return "", err
	}
	image, err = c.host(ctx, "push", OLMPackage+"-catalog:e2e", "--folder="+folder+":/configs",
		"--binary=opm:/bin/opm", "--binary=grpc-health-probe:/bin/grpc_health_probe",
		"--entrypoint=/bin/opm", "--entrypoint=serve", "--entrypoint=/configs")
	return strings.TrimSpace(image), err
}
