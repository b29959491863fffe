// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// upstream is metrics-server as its own project installs it.
type upstream struct {
	cluster *kit.Cluster
	// file holds its manifests for kubectl.
	file string
}

// newUpstream builds the release manifests of the metrics-server module that the test cluster's binary is built from, so
// that both sides run the same version of it.
func newUpstream(ctx context.Context, cluster *kit.Cluster) (*upstream, error) {
	const module = "sigs.k8s.io/metrics-server"
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	command.Dir = filepath.Join(cluster.Root, "test", "cluster", "components", "metrics-server")
	// That module is pinned on its own: a workspace or flags for another one would change what is measured.
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("find the module %s: %w: %s", module, err, out)
	}
	var source struct{ Dir string }
	if err := json.Unmarshal(out, &source); err != nil {
		return nil, fmt.Errorf("find the module %s: %w: %s", module, err, out)
	}
	objects, err := kit.Kustomize(filepath.Join(source.Dir, "manifests", "overlays", "release"))
	if err != nil {
		return nil, err
	}
	if err := sameResolution(objects); err != nil {
		return nil, err
	}
	file, err := writeManifests(objects)
	return &upstream{cluster: cluster, file: file}, err
}

// sameResolution fails when upstream reads the kubelets at another interval than `spec: {}` does: then the comparison
// would be of intervals.
func sameResolution(objects []*unstructured.Unstructured) error {
	const want = "--metric-resolution=15s"
	for _, object := range objects {
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if object.GetKind() == "Deployment" && bytes.Contains(content, []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("upstream's Deployment does not run with %s, as `spec: {}` does", want)
}

func writeManifests(objects []*unstructured.Unstructured) (string, error) {
	var all []string
	for _, object := range objects {
		content, err := yaml.Marshal(object.Object)
		if err != nil {
			return "", fmt.Errorf("write %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		all = append(all, string(content))
	}
	file, err := os.CreateTemp("", "metrics-server-*.yaml")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(strings.Join(all, "---\n"))
	return file.Name(), errors.Join(err, file.Close())
}

// remove deletes upstream's metrics-server and waits until its pods are gone.
func (u *upstream) remove(ctx context.Context) error {
	if _, err := u.cluster.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "-f", u.file); err != nil {
		return err
	}
	return kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := u.cluster.Client.List(ctx, pods, client.InNamespace("kube-system"))
		return !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool {
			return strings.HasPrefix(pod.Name, "metrics-server-")
		}), err
	})
}

func (u *upstream) close() error { return os.Remove(u.file) }
