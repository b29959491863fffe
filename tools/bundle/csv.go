// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/blang/semver/v4"
	libversion "github.com/operator-framework/api/pkg/lib/version"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const project = "https://github.com/metricspipeline/operator"

var (
	//go:embed description.md
	description string
	//go:embed icon.svg
	icon []byte
)

// clusterServiceVersion returns the ClusterServiceVersion (CSV) of a tree.
func clusterServiceVersion(t *tree, o Options) ([]byte, error) {
	version, err := semver.ParseTolerant(o.Version)
	if err != nil {
		return nil, err
	}
	permissions, err := t.clusterPermissions()
	if err != nil {
		return nil, err
	}
	annotations, err := annotations(t)
	if err != nil {
		return nil, err
	}
	csv := v1alpha1.ClusterServiceVersion{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.ClusterServiceVersionAPIVersion, Kind: v1alpha1.ClusterServiceVersionKind},
		ObjectMeta: metav1.ObjectMeta{Name: csvName(o.Version), Annotations: annotations, Labels: map[string]string{
			"operatorframework.io/arch.amd64": "supported",
			"operatorframework.io/arch.arm64": "supported",
			"operatorframework.io/os.linux":   "supported",
		}},
		Spec: v1alpha1.ClusterServiceVersionSpec{
			DisplayName:    "MetricsPipeline",
			Description:    description,
			Version:        libversion.OperatorVersion{Version: version},
			Maturity:       "alpha",
			MinKubeVersion: minKubeVersion,
			Keywords:       []string{"metrics", "autoscaling", "hpa", "metrics-server", "prometheus", "prometheus-adapter", "monitoring"},
			Maintainers:    []v1alpha1.Maintainer{{Name: "The MetricsPipeline Authors", Email: "maintainers@metricspipeline.io"}},
			Provider:       v1alpha1.AppLink{Name: "The MetricsPipeline Authors", URL: project},
			Links: []v1alpha1.AppLink{
				{Name: "Source code", URL: project},
				{Name: "Documentation", URL: project + "/blob/main/docs/README.md"},
				{Name: "API reference", URL: project + "/blob/main/docs/reference/api.md"},
				{Name: "Installation by OLM", URL: project + "/blob/main/docs/olm.md"},
			},
			Icon: []v1alpha1.Icon{{Data: base64.StdEncoding.EncodeToString(icon), MediaType: "image/svg+xml"}},
			// The pipeline is an object of the cluster, so there is nothing that a namespace could have for itself.
			InstallModes: []v1alpha1.InstallMode{
				{Type: v1alpha1.InstallModeTypeOwnNamespace, Supported: true},
				{Type: v1alpha1.InstallModeTypeSingleNamespace, Supported: false},
				{Type: v1alpha1.InstallModeTypeMultiNamespace, Supported: false},
				{Type: v1alpha1.InstallModeTypeAllNamespaces, Supported: true},
			},
			InstallStrategy: v1alpha1.NamedInstallStrategy{
				StrategyName: v1alpha1.InstallStrategyNameDeployment,
				StrategySpec: v1alpha1.StrategyDetailsDeployment{
					ClusterPermissions: permissions,
					DeploymentSpecs:    []v1alpha1.StrategyDeploymentSpec{t.deploymentSpec()},
				},
			},
			CustomResourceDefinitions: v1alpha1.CustomResourceDefinitions{Owned: owned(t.crd)},
			RelatedImages:             t.images(),
		},
	}
	if o.Replaces != "" {
		csv.Spec.Replaces = csvName(o.Replaces)
	}
	return toYAML(csv)
}

// deploymentSpec is that of config/ without its priority class: some clusters admit that only where a ResourceQuota for it is, which a
// bundle cannot have.
func (t *tree) deploymentSpec() v1alpha1.StrategyDeploymentSpec {
	spec := t.deployment.Spec.DeepCopy()
	spec.Template.Spec.PriorityClassName = ""
	return v1alpha1.StrategyDeploymentSpec{Name: t.deployment.Name, Label: t.deployment.Labels, Spec: *spec}
}

// images are the operator's and those that it deploys, for mirrors. They are the values of its RELATED_IMAGE_* variables.
func (t *tree) images() []v1alpha1.RelatedImage {
	manager := t.deployment.Spec.Template.Spec.Containers[0]
	images := []v1alpha1.RelatedImage{{Name: t.deployment.Name, Image: manager.Image}}
	for _, variable := range manager.Env {
		if name, ok := strings.CutPrefix(variable.Name, relatedImage); ok {
			images = append(images, v1alpha1.RelatedImage{Name: strings.ToLower(strings.ReplaceAll(name, "_", "-")), Image: variable.Value})
		}
	}
	return images
}

// annotations of the CSV: what consoles and catalogs show and filter by.
func annotations(t *tree) (map[string]string, error) {
	values := map[string]string{
		"capabilities":   "Deep Insights",
		"categories":     "Monitoring,Observability",
		"containerImage": t.images()[0].Image,
		"description":    "Metrics APIs that work: kubectl top, and autoscaling on cpu, memory, application and external metrics.",
		"repository":     project,
		"support":        "The MetricsPipeline Authors",
		"operatorframework.io/suggested-namespace": t.namespace.Name,
	}
	for feature, has := range map[string]bool{
		// Every image is in relatedImages, and a mirror finds it by its digest.
		"disconnected":     t.pinned(),
		"fips-compliant":   false,
		"proxy-aware":      false,
		"tls-profiles":     false,
		"token-auth-aws":   false,
		"token-auth-azure": false,
		"token-auth-gcp":   false,
		"cnf":              false,
		"cni":              false,
		"csi":              false,
	} {
		values["features.operators.openshift.io/"+feature] = strconv.FormatBool(has)
	}
	namespace := map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": t.namespace.Name, "labels": t.namespace.Labels}}
	var samples []map[string]any
	for _, sample := range t.samples {
		samples = append(samples, sample.Object)
	}
	for key, value := range map[string]any{
		"operatorframework.io/suggested-namespace-template": namespace,
		"alm-examples": samples,
		"operatorframework.io/initialization-resource": samples[0],
	} {
		content, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		values[key] = string(content)
	}
	return values, nil
}
