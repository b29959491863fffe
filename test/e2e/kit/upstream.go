// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/test/kustomization"
)

// Upstream is metrics-server as its own project installs it.
type Upstream struct {
	// Objects are its manifests, and File has them for kubectl.
	Objects []*unstructured.Unstructured
	File    string

	cluster *Cluster
}

// Upstream builds the release manifests of the metrics-server module that the test cluster's binary is built from, so
// that it is the version that the operator deploys. Close it in the end.
func (c *Cluster) Upstream(ctx context.Context) (*Upstream, error) {
	const module = "sigs.k8s.io/metrics-server"
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	command.Dir = filepath.Join(c.Root, "test", "cluster", "components", "metrics-server")
	// That module is pinned on its own: a workspace or flags for another one would change what is built.
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("find the module %s: %w: %s", module, err, out)
	}
	var source struct{ Dir string }
	if err := json.Unmarshal(out, &source); err != nil {
		return nil, fmt.Errorf("find the module %s: %w: %s", module, err, out)
	}
	objects, err := kustomization.Build(filepath.Join(source.Dir, "manifests", "overlays", "release"))
	if err != nil {
		return nil, err
	}
	manifests, err := manifestsOf(objects)
	if err != nil {
		return nil, err
	}
	file, err := writeManifests(manifests)
	return &Upstream{Objects: objects, File: file, cluster: c}, err
}

// manifestsOf are objects as kubectl reads them.
func manifestsOf(objects []*unstructured.Unstructured) (string, error) {
	var all []string
	for _, object := range objects {
		content, err := yaml.Marshal(object.Object)
		if err != nil {
			return "", fmt.Errorf("write %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		all = append(all, string(content))
	}
	return strings.Join(all, "---\n"), nil
}

// writeManifests writes a file of its own for kubectl.
func writeManifests(manifests string) (string, error) {
	file, err := os.CreateTemp("", "manifests-*.yaml")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(manifests)
	return file.Name(), errors.Join(err, file.Close())
}

// Install applies it with kubectl, as its project says.
func (u *Upstream) Install(ctx context.Context) error {
	_, err := u.cluster.Kubectl(ctx, "apply", "-f", u.File)
	return err
}

// Remove deletes it and waits until its pods are deleted.
func (u *Upstream) Remove(ctx context.Context) error {
	if _, err := u.cluster.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "-f", u.File); err != nil {
		return err
	}
	return Poll(ctx, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := u.cluster.Client.List(ctx, pods, client.InNamespace("kube-system"))
		return !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool {
			return strings.HasPrefix(pod.Name, "metrics-server-")
		}), err
	})
}

// Close removes the file.
func (u *Upstream) Close() error { return os.Remove(u.File) }
