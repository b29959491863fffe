// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	rbacv1 "k8s.io/api/rbac/v1"
)

const root = "../.."

// operands are images of the operands for a cluster that has no registry.
var operands = map[string]string{
	"registry.k8s.io/metrics-server/metrics-server":         "example.com/ms@sha256:" + strings.Repeat("a", 64),
	"registry.k8s.io/prometheus-adapter/prometheus-adapter": "example.com/pa@sha256:" + strings.Repeat("b", 64),
	"quay.io/prometheus/prometheus":                         "example.com/prometheus@sha256:" + strings.Repeat("d", 64),
}

// generated writes a bundle and returns its folder.
func generated(t *testing.T, o Options) string {
	t.Helper()
	o.Root = root
	files, err := Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := write(folder, files.Bundle); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "bundle")
}

// bundles are the folders of every bundle there is: the committed one, those of earlier releases, and what is generated with and without
// the digests of a release.
func bundles(t *testing.T) map[string]string {
	t.Helper()
	folders := map[string]string{
		"committed": filepath.Join(root, "bundle"),
		"tagged":    generated(t, Options{Version: "v0.3.0"}),
		"released": generated(t, Options{Version: "v0.3.0", Replaces: "0.2.0", Release: true, Images: operands,
			Image: "example.com/operator@sha256:" + strings.Repeat("c", 64)}),
	}
	releases, err := filepath.Glob(filepath.Join(root, "test/testdata/releases/*/bundle"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("bundles of earlier releases: %v, %v", releases, err)
	}
	for _, folder := range releases {
		folders["release "+filepath.Base(filepath.Dir(folder))] = folder
	}
	return folders
}

func load(t *testing.T, folder string) *manifests.Bundle {
	t.Helper()
	bundle, err := manifests.GetBundleFromDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// validators are all that upstream has, but the last one, MultipleArchitecturesValidator, which calls docker.
var validators = validation.AllValidators[:len(validation.AllValidators)-1]

// expected is true for what upstream says about every bundle of an operator that runs more than one replica of something: that it may
// make PodDisruptionBudgets. The operator may make two, by name and in its own namespace, and neither keeps a node from being drained.
// It is also true for what a validator that is deprecated says about itself.
func expected(finding errors.Error) bool {
	rule, ok := finding.BadValue.(rbacv1.PolicyRule)
	budgets := ok && slices.Equal(rule.APIGroups, []string{"policy"}) && slices.Equal(rule.Resources, []string{"poddisruptionbudgets"})
	return budgets && len(rule.ResourceNames) > 0 && finding.Level == errors.LevelWarn || finding.Type == errors.ErrorDeprecatedValidator
}

// TestValid: upstream's validators find neither an error nor a warning beside those.
func TestValid(t *testing.T) {
	for name, folder := range bundles(t) {
		t.Run(name, func(t *testing.T) {
			for _, result := range validators.Validate(load(t, folder).ObjectsToValidate()...) {
				for _, finding := range slices.Concat(result.Errors, result.Warnings) {
					if !expected(finding) {
						t.Errorf("%s: %v", result.Name, finding)
					}
				}
			}
		})
	}
}

// TestOLMv1: operator-controller installs a bundle of this form only where it needs none of what OLM v1 does not support.
func TestOLMv1(t *testing.T) {
	for name, folder := range bundles(t) {
		t.Run(name, func(t *testing.T) {
			bundle := load(t, folder)
			spec := bundle.CSV.Spec
			var modes []v1alpha1.InstallModeType
			for _, mode := range spec.InstallModes {
				if mode.Supported {
					modes = append(modes, mode.Type)
				}
			}
			if want := []v1alpha1.InstallModeType{v1alpha1.InstallModeTypeOwnNamespace, v1alpha1.InstallModeTypeAllNamespaces}; !slices.Equal(modes, want) {
				t.Errorf("install modes %v, want %v", modes, want)
			}
			if n := len(spec.APIServiceDefinitions.Owned) + len(spec.APIServiceDefinitions.Required); n > 0 {
				t.Errorf("%d apiservicedefinitions", n)
			}
			if n := len(spec.WebhookDefinitions); n > 0 {
				t.Errorf("%d webhooks", n)
			}
			if n := len(spec.CustomResourceDefinitions.Required); n > 0 {
				t.Errorf("%d required CRDs: OLM v0 would install another operator for them", n)
			}
			if len(bundle.Dependencies) > 0 {
				t.Errorf("dependencies: %v", bundle.Dependencies)
			}
			for _, file := range []string{"dependencies.yaml", "properties.yaml"} {
				if _, err := os.Stat(filepath.Join(folder, "metadata", file)); !os.IsNotExist(err) {
					t.Errorf("metadata/%s is there (%v)", file, err)
				}
			}
			for _, object := range bundle.Objects {
				if kind := object.GetKind(); kind != v1alpha1.ClusterServiceVersionKind && !slices.Contains(shipped, kind) {
					t.Errorf("the kind %s is not one that both versions of OLM install everywhere", kind)
				}
			}
		})
	}
}

// TestNoNamespace: OLM installs into a namespace of the user's choice, so a name of one is only a suggestion.
func TestNoNamespace(t *testing.T) {
	for name, folder := range bundles(t) {
		t.Run(name, func(t *testing.T) {
			bundle := load(t, folder)
			namespace := bundle.CSV.Annotations["operatorframework.io/suggested-namespace"]
			for _, object := range bundle.Objects {
				if object.GetNamespace() != "" {
					t.Errorf("%s %s has a namespace", object.GetKind(), object.GetName())
				}
				if object.GetKind() == v1alpha1.ClusterServiceVersionKind {
					object.SetAnnotations(nil)
				}
				content, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				if namespace == "" || strings.Contains(string(content), namespace) {
					t.Errorf("%s %s names the namespace %q", object.GetKind(), object.GetName(), namespace)
				}
			}
		})
	}
}

// TestImages: what a mirror copies is what runs.
func TestImages(t *testing.T) {
	for name, folder := range bundles(t) {
		t.Run(name, func(t *testing.T) {
			csv := load(t, folder).CSV
			manager := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0]
			want := []string{manager.Image}
			for _, variable := range manager.Env {
				if strings.HasPrefix(variable.Name, "RELATED_IMAGE_") {
					want = append(want, variable.Value)
				}
			}
			var got []string
			for _, image := range csv.Spec.RelatedImages {
				got = append(got, image.Image)
			}
			if len(want) < 3 || !slices.Equal(got, want) {
				t.Errorf("relatedImages %q, want %q", got, want)
			}
			pinned := !slices.ContainsFunc(want, func(image string) bool { return !strings.Contains(image, "@sha256:") })
			if disconnected := csv.Annotations["features.operators.openshift.io/disconnected"] == "true"; disconnected != pinned {
				t.Errorf("disconnected is %v, but the images are %q", disconnected, want)
			}
		})
	}
}

// TestReleaseNeedsDigests: a release that did not pin an image would run something else tomorrow.
func TestReleaseNeedsDigests(t *testing.T) {
	digest := "example.com/operator@sha256:" + strings.Repeat("c", 64)
	for name, o := range map[string]Options{
		"operator": {Image: "example.com/operator:v1", Images: operands},
		"operand": {Image: digest, Images: map[string]string{
			"registry.k8s.io/metrics-server/metrics-server":         "example.com/operator:v1",
			"registry.k8s.io/prometheus-adapter/prometheus-adapter": digest,
			"quay.io/prometheus/prometheus":                         digest,
		}},
	} {
		o.Root, o.Version, o.Release = root, "v0.3.0", true
		if _, err := Generate(o); err == nil || !strings.Contains(err.Error(), "example.com/operator:v1 has no digest") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for name, tc := range map[string]struct{ version, replaces, want string }{
		"none":          {"", "", "-version"},
		"no version":    {"latest", "", "-version"},
		"the same":      {"v1.0.0", "v1.0.0", "not older"},
		"a later one":   {"v1.0.0", "v1.0.1", "not older"},
		"no other one":  {"v1.0.0", "previous", "-replaces"},
		"a first one":   {"v1.0.0", "", ""},
		"without the v": {"1.0.0-rc.1", "0.9.0", ""},
	} {
		files, err := Generate(Options{Root: root, Version: tc.version, Replaces: tc.replaces})
		if tc.want == "" && (err != nil || len(files.Bundle) == 0) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestTokenComesAfterItsAccount: OLM applies manifests in the order of their file names.
func TestTokenComesAfterItsAccount(t *testing.T) {
	for name, folder := range bundles(t) {
		entries, err := os.ReadDir(filepath.Join(folder, "manifests"))
		if err != nil {
			t.Fatal(err)
		}
		account := slices.IndexFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "serviceaccount") })
		token := slices.IndexFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "secret") })
		if account < 0 || token < account {
			t.Errorf("%s: the account is file %d, its token file %d", name, account, token)
		}
	}
}

func TestInWords(t *testing.T) {
	for field, want := range map[string]string{"apiServices": "API services", "adapterURL": "Adapter URL", "maxAge": "Max age", "url": "URL",
		"priorityClassName": "Priority class name"} {
		if got := inWords(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}
