// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// parse reads objects, by kind and name.
func parse(t *testing.T, manifest string) map[string]*unstructured.Unstructured {
	t.Helper()
	objects := map[string]*unstructured.Unstructured{}
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if object.Object != nil { // A template may render to nothing.
			objects[object.GetKind()+" "+object.GetName()] = object
		}
	}
}

// TestDefaultIsConfig renders the chart without values: it is config/default, object by object.
func TestDefaultIsConfig(t *testing.T) {
	chart := load(t)
	got, err := render(t, chart, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range chart.CRDObjects() {
		for key, object := range parse(t, string(crd.File.Data)) {
			annotations := object.GetAnnotations()
			if annotations[schemaDigest] == "" {
				t.Errorf("%s has no annotation %s, by which an upgrade knows it", key, schemaDigest)
			}
			delete(annotations, schemaDigest)
			object.SetAnnotations(annotations)
			got[key] = object
		}
	}
	want := built(t)
	delete(want, "Namespace "+namespace) // Helm makes it.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config/default (-), the chart (+):\n%s", diff)
	}
}

// TestValues renders the chart with each value: it changes what it says, and nothing else.
func TestValues(t *testing.T) {
	const operator, container = "Deployment metricspipeline-operator", "spec.template.spec.containers.0."
	for name, test := range map[string]struct {
		values string
		want   string // In the form of changes.
	}{
		"nothing": {},
		"a useful pipeline": {
			values: `pipeline: {}`,
			want:   `+MetricsPipeline default: {"apiVersion":"metricspipeline.io/v1alpha1","kind":"MetricsPipeline","metadata":{"name":"default"},"spec":{}}`,
		},
		"a pipeline with a spec": {
			values: `pipeline: {metricsServer: {replicas: 3}}`,
			want: `+MetricsPipeline default: {"apiVersion":"metricspipeline.io/v1alpha1","kind":"MetricsPipeline","metadata":{"name":"default"},` +
				`"spec":{"metricsServer":{"replicas":3}}}`,
		},
		"a mirror": {values: `image: {repository: mirror.example/operator}`,
			want: operator + " " + container + `image: "mirror.example/operator:` + load(t).Metadata.AppVersion + `"`},
		"a tag": {values: `image: {tag: main}`, want: operator + " " + container + `image: "ghcr.io/metricspipeline/operator:main"`},
		"a digest goes before a tag": {values: `image: {tag: main, digest: "sha256:` + strings.Repeat("a", 64) + `"}`,
			want: operator + " " + container + `image: "ghcr.io/metricspipeline/operator@sha256:` + strings.Repeat("a", 64) + `"`},
		"pulled always": {values: `image: {pullPolicy: Always}`, want: operator + " " + container + `imagePullPolicy: "Always"`},
		"images of the components": {
			values: `relatedImages: {metricsServer: "mirror.example/metrics-server:1", prometheusAdapter: "mirror.example/adapter:1"}`,
			want: operator + " " + container + `env.RELATED_IMAGE_METRICS_SERVER: "mirror.example/metrics-server:1"` + "\n" +
				operator + " " + container + `env.RELATED_IMAGE_PROMETHEUS_ADAPTER: "mirror.example/adapter:1"`,
		},
		"one replica": {values: `replicas: 1`, want: operator + ` spec.replicas: 1`},
		"resources are merged": {values: `resources: {limits: {memory: 1Gi}}`,
			want: operator + " " + container + `resources.limits.memory: "1Gi"`},
		"a node selector is merged": {values: `nodeSelector: {pool: infra}`,
			want: operator + ` spec.template.spec.nodeSelector.pool: "infra"`},
		"tolerations": {values: `tolerations: [{key: infra, operator: Exists}]`,
			want: operator + ` spec.template.spec.tolerations.0.key: "infra"` + "\n" + operator + ` spec.template.spec.tolerations.0.operator: "Exists"`},
		"a pull secret": {values: `imagePullSecrets: [{name: registry}]`,
			want: operator + ` spec.template.spec.imagePullSecrets.registry: ` + `"registry"`},
	} {
		t.Run(name, func(t *testing.T) {
			without, err := render(t, load(t), "")
			if err != nil {
				t.Fatal(err)
			}
			with, err := render(t, load(t), test.values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, changes(t, without, with)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRefusedValues: a mistake is refused by its name before anything is sent.
func TestRefusedValues(t *testing.T) {
	for name, test := range map[string]struct{ values, want string }{
		"a value that is none":        {`operatorReplicas: 3`, "operatorReplicas"},
		"no replicas":                 {`replicas: 0`, "replicas"},
		"a digest with a repository":  {`image: {digest: "ghcr.io/x@sha256:0"}`, "digest"},
		"a pipeline with its kind":    {`pipeline: {kind: MetricsPipeline, spec: {}}`, "pipeline"},
		"an unknown related image":    {`relatedImages: {keda: "mirror.example/keda:1"}`, "keda"},
		"a pull secret without name":  {`imagePullSecrets: [registry]`, "imagePullSecrets"},
		"resources that are no such":  {`resources: {memory: 1Gi}`, "memory"},
		"a pull policy that is none":  {`image: {pullPolicy: always}`, "pullPolicy"},
		"a pipeline that is a string": {`pipeline: default`, "pipeline"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, load(t), test.values); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error that names %s", err, test.want)
			}
		})
	}
}

// TestLint is `helm lint --strict`.
func TestLint(t *testing.T) {
	for _, user := range []string{"", "pipeline: {}", "{replicas: 1, tolerations: [{operator: Exists}]}"} {
		lint := action.NewLint()
		lint.Strict, lint.Namespace = true, namespace
		for _, err := range lint.Run([]string{chartFolder}, values(t, user)).Errors {
			t.Errorf("with values %q: %v", user, err)
		}
	}
}
