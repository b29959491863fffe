// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/kustomization"
)

// releases is the folder of the releases that are kept, one folder each.
const releases = "test/testdata/releases"

// operatorImage matches the image of the operator in manifests, whatever its tag or digest.
var operatorImage = regexp.MustCompile(`(?m)^( +image: )ghcr\.io/metricspipeline/operator[:@]\S+$`)

// Installation is a version of the operator as a file for kubectl.
type Installation struct {
	// Version is what its program says it is, such as v0.1.0.
	Version string
	File    string

	cluster *Cluster
}

// PreviousRelease is the newest of the releases that are kept, with its own program: that is built from git and put into the test
// cluster.
func (c *Cluster) PreviousRelease(ctx context.Context) (*Installation, error) {
	version, err := c.newestRelease()
	if err != nil {
		return nil, err
	}
	manifests, err := os.ReadFile(filepath.Join(c.Root, releases, version, "install.yaml"))
	if err != nil {
		return nil, err
	}
	image := "metricspipeline.io/operator:" + version // Not the name in its manifests, which IMG may have.
	if err := c.loadProgram(ctx, version, image); err != nil {
		return nil, err
	}
	return c.installation(version, image, string(manifests))
}

// Present is the version under test.
func (c *Cluster) Present() (*Installation, error) {
	objects, err := kustomization.Build(filepath.Join(c.Root, "config", "default"))
	if err != nil {
		return nil, err
	}
	manifests, err := manifestsOf(objects)
	if err != nil {
		return nil, err
	}
	return c.installation(environment("VERSION", "dev"), OperatorImage(), manifests)
}

// installation writes the file, in which nothing but the image is another one than in what is released.
func (c *Cluster) installation(version, image, manifests string) (*Installation, error) {
	if found := len(operatorImage.FindAllString(manifests, -1)); found != 1 {
		return nil, fmt.Errorf("the manifests of %s name the operator's image %d times, want once", version, found)
	}
	file, err := writeManifests(operatorImage.ReplaceAllString(manifests, "${1}"+image))
	return &Installation{Version: version, File: file, cluster: c}, err
}

// Apply applies the file as the documentation says, and waits until the operator is ready.
func (i *Installation) Apply(ctx context.Context) error {
	if _, err := i.cluster.Kubectl(ctx, "apply", "--server-side", "-f", i.File); err != nil {
		return err
	}
	_, err := i.cluster.Kubectl(ctx, "rollout", "status", "-n", OperatorNamespace, "deployment", OperatorName)
	return err
}

// Remove deletes what is in the file, the pipeline with the definition of its kind.
func (i *Installation) Remove(ctx context.Context) error {
	_, err := i.cluster.Kubectl(ctx, "delete", "--ignore-not-found", "-f", i.File)
	return err
}

// Close removes the file.
func (i *Installation) Close() error { return os.Remove(i.File) }

func (c *Cluster) newestRelease() (string, error) {
	folders, err := os.ReadDir(filepath.Join(c.Root, releases))
	if err != nil {
		return "", err
	}
	var newest *utilversion.Version
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		version, err := utilversion.ParseSemantic(folder.Name())
		if err != nil {
			return "", fmt.Errorf("%s/%s is not named after a version: %w", releases, folder.Name(), err)
		}
		if newest == nil || newest.LessThan(version) {
			newest = version
		}
	}
	if newest == nil {
		return "", fmt.Errorf("there is no release in %s", releases)
	}
	return "v" + newest.String(), nil
}

// loadProgram builds the program of a release and puts it into the test cluster as an image, as hack/with-cluster.sh does with
// that of the version under test.
func (c *Cluster) loadProgram(ctx context.Context, version, image string) error {
	folder, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "manager")
	build := exec.CommandContext(ctx, filepath.Join(c.Root, "hack", "release-binary.sh"), version, program)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program of %s: %w: %s", version, err, out)
	}
	return c.Host(ctx, "load", image, "--binary", program)
}

// QuickSample is the sample pipeline with rules as that release had it, tuned as [Cluster.QuickSample]: the API server refuses to apply
// a field that the definition of the release does not have.
func (i *Installation) QuickSample() (*v1alpha1.MetricsPipeline, error) {
	return i.cluster.quick(filepath.Join(releases, i.Version, "pipeline.yaml"))
}

// DenyAll applies the NetworkPolicy under which nothing works but what other policies allow.
func (c *Cluster) DenyAll(ctx context.Context) error { return c.Apply(ctx, denyAll()) }
