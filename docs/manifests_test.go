// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/docs/walk"
)

// walks are the documents whose commands the end-to-end suite runs, with the blocks that they say nobody runs: one more has to be
// wanted.
var walks = map[string]int{"../README.md": 3, "getting-started.md": 2}

// foreignKinds are versions of manifests that Kubernetes itself does not serve.
var foreignKinds = []string{"kind.x-k8s.io/v1alpha4", "kustomize.config.k8s.io/v1beta1", "kustomize.toolkit.fluxcd.io/v1",
	"operators.coreos.com/v1", "operators.coreos.com/v1alpha1", "keda.sh/v1alpha1", "autoscaling.k8s.io/v1"}

var separator = regexp.MustCompile(`(?m)^---\n`)

// TestWalks: every command of a walk is run by the end-to-end suite, or is marked.
func TestWalks(t *testing.T) {
	for page, skipped := range walks {
		document, err := walk.Read(read(t, page))
		if err != nil {
			t.Errorf("docs/%s: %v", page, err)
			continue
		}
		shown := 0
		for _, step := range document.Steps {
			shown += len(step.Want)
		}
		if len(document.Steps) < 5 || shown == 0 {
			t.Errorf("docs/%s has %d steps, which show %d lines", page, len(document.Steps), shown)
		}
		if len(document.Skipped) != skipped {
			t.Errorf("docs/%s has %d blocks that are not run, want %d: %+v", page, len(document.Skipped), skipped, document.Skipped)
		}
	}
}

// TestWalkOfMigration: the commands from the chart of prometheus-adapter are run by the end-to-end suite, none is left out.
func TestWalkOfMigration(t *testing.T) {
	document, err := walk.ReadSection(read(t, "migrate.md"), "From the prometheus-adapter chart")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, step := range document.Steps {
		if step.File != "" {
			files = append(files, step.File)
		}
	}
	if diff := cmp.Diff([]string{"pipeline.yaml", "takeover.yaml"}, files); diff != "" || len(document.Steps) < 8 || len(document.Skipped) > 0 {
		t.Errorf("it has %d steps, of which these are files (-want +got):\n%s\nnot run: %+v", len(document.Steps), diff, document.Skipped)
	}
}

// TestWebIsOne: the README's application is the one that the walk for newcomers builds.
func TestWebIsOne(t *testing.T) {
	document, err := walk.Read(read(t, "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, manifest := range document.Manifests {
		if manifest.File == "web.yaml" || manifest.File == "hpa.yaml" {
			built = append(built, manifest.Content)
		}
	}
	objects := func(content string) (all []any) {
		for _, manifest := range separator.Split(content, -1) {
			var object any
			if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
				t.Fatal(err)
			}
			all = append(all, object)
		}
		return all
	}
	if diff := cmp.Diff(objects(strings.Join(built, "---\n")), objects(read(t, "../config/samples/web.yaml"))); diff != "" {
		t.Errorf("docs/getting-started.md and config/samples/web.yaml (-walk +sample):\n%s", diff)
	}
}

// TestManifests demands of every manifest of every page what an API server does: a pipeline fits the CRD with its rules, any other
// object has no field that its kind has not. A block that begins with "spec:" is a pipeline's.
func TestManifests(t *testing.T) {
	valid := pipelineSchema(t)
	strict := serializer.NewCodecFactory(clientgoscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	pipelines, others := 0, 0
	for _, page := range allPages(t) {
		for _, block := range example.FindAllStringSubmatch(read(t, page), -1) {
			for _, manifest := range separator.Split(block[1], -1) {
				var kind struct{ APIVersion, Kind string }
				if err := yaml.Unmarshal([]byte(manifest), &kind); err != nil {
					t.Errorf("%s: %v\n%s", page, err, manifest)
					continue
				}
				switch {
				case strings.HasPrefix(manifest, "spec:\n"), kind.Kind == "MetricsPipeline":
					pipelines++
					for _, problem := range valid(manifest) {
						t.Errorf("%s: %s\n%s", page, problem, manifest)
					}
				case kind.Kind == "" || slices.Contains(foreignKinds, kind.APIVersion): // An excerpt, or for another program.
				default:
					others++
					if _, _, err := strict.Decode([]byte(manifest), nil, nil); err != nil {
						t.Errorf("%s: %v\n%s", page, err, manifest)
					}
				}
			}
		}
	}
	if pipelines < 10 || others < 5 {
		t.Errorf("%d pipelines and %d other objects found, have the pages moved?", pipelines, others)
	}
}

// pipelineSchema returns what is wrong with a pipeline's manifest by the CRD.
func pipelineSchema(t *testing.T) func(manifest string) []string {
	t.Helper()
	var crd apiextv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(read(t, "../config/crd/bases/metricspipeline.io_metricspipelines.yaml")), &crd); err != nil {
		t.Fatal(err)
	}
	var internal apiextensions.JSONSchemaProps
	err := apiextv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &internal, nil)
	if err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		t.Fatal(err)
	}
	fields, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return func(manifest string) []string {
		if err := yaml.UnmarshalStrict([]byte(manifest), &v1alpha1.MetricsPipeline{}); err != nil {
			return []string{err.Error()}
		}
		object := map[string]any{}
		if err := utilyaml.Unmarshal([]byte(manifest), &object); err != nil { // Whole numbers are integers, as the API server has them.
			return []string{err.Error()}
		}
		if object["kind"] == nil {
			object["apiVersion"], object["kind"] = v1alpha1.GroupVersion.String(), "MetricsPipeline"
			object["metadata"] = map[string]any{"name": v1alpha1.SingletonName}
		}
		object = runtime.DeepCopyJSON(object)
		defaulting.Default(object, structural)
		problems := validation.ValidateCustomResource(nil, object, fields)
		broken, _ := rules.Validate(context.Background(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
		var found []string
		for _, problem := range append(problems, broken...) {
			found = append(found, problem.Error())
		}
		return found
	}
}
