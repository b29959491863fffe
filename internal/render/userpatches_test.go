// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
)

// withPatches returns the objects of every component of a golden case, by component, and the first error.
func withPatches(t *testing.T, name string, patches ...v1alpha1.Patch) (map[string][]*unstructured.Unstructured, error) {
	t.Helper()
	in, all := read(t, name), map[string][]*unstructured.Unstructured{}
	in.Spec.Patches = patches
	for _, c := range in.components() {
		var renderer Renderer
		objects, err := renderer.Build(c)
		if err != nil {
			return all, err
		}
		all[c.Name] = objects
	}
	return all, nil
}

// template returns the pods of a component.
func template(t *testing.T, objects map[string][]*unstructured.Unstructured, component string) corev1.PodTemplateSpec {
	t.Helper()
	return decode[appsv1.Deployment](t, named(t, objects[component], "Deployment")).Spec.Template
}

// TestOperationsOnSeveralObjects: one object has what an operation is about, and another does not. Both are as they should be.
func TestOperationsOnSeveralObjects(t *testing.T) {
	// Of the adapter's pods alone have annotations, by the asset, and both have a priority class that clusters take away.
	const meshed = "[{op: add, path: /spec/template/metadata/annotations/linkerd.io~1inject, value: disabled}, " +
		"{op: add, path: /spec/template/spec/tolerations/-, value: {key: infra, operator: Exists}}, " +
		"{op: remove, path: /spec/template/spec/dnsConfig/nameservers/0}, {op: remove, path: /spec/template/metadata/labels/team}, " +
		"{op: add, path: /spec/template/spec/containers/0/env/-, value: {name: A, value: a}}]"
	objects, err := withPatches(t, "rules-with-auth", patch("Deployment", "", meshed))
	if err != nil {
		t.Fatal(err)
	}
	for _, component := range []string{metricsServer, adapter} {
		pods := template(t, objects, component)
		if pods.Annotations["linkerd.io/inject"] != "disabled" || len(pods.Spec.Tolerations) != 1 || len(pods.Spec.Containers[0].Env) != 1 {
			t.Errorf("%s: annotations %v, tolerations %v, env %v", component, pods.Annotations, pods.Spec.Tolerations, pods.Spec.Containers[0].Env)
		}
	}
	if template(t, objects, adapter).Annotations[operand.ConfigDigestAnnotation] == "" {
		t.Error("the adapter's digest is gone")
	}
}

// TestOperationsNameTheirObject: what does not apply to one of several objects says to which.
func TestOperationsNameTheirObject(t *testing.T) {
	for operations, says := range map[string]string{
		"[{op: replace, path: /spec/template/spec/volumes/1/configMap/defaultMode, value: 288}]": "spec.patches[0] does not apply to metrics-server: " +
			"Deployment metricspipeline-system/metrics-server: replace operation does not apply",
		"[{op: test, path: /spec/template/spec/containers/0/name, value: metrics-server}]": "spec.patches[0] does not apply to prometheus-adapter: " +
			"Deployment metricspipeline-system/prometheus-adapter: testing",
		"[{op: remove, path: /spec/template/spec/priorityClasName}]":                 "does not apply to metrics-server: Deployment metricspipeline-system/metrics-server: ",
		"[{op: add, path: /spec/template/spec/containrs/0/env/-, value: {name: A}}]": "it sets spec.template.spec.containrs to",
		"[{op: copy, from: /spec/nothing, path: /spec/template/spec/dnsPolicy}]":     "Deployment metricspipeline-system/metrics-server: ",
	} {
		_, err := withPatches(t, "rules-with-auth", patch("Deployment", "", operations))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", operations, err, says)
		}
	}
}

// TestOperationsAreBounded: whoever edits the pipeline must not be able to use up the operator's memory.
func TestOperationsAreBounded(t *testing.T) {
	doubling := "[{op: add, path: /metadata/annotations, value: {a: {b: c}}}"
	for range 64 {
		doubling += ", {op: copy, from: /metadata/annotations, path: /metadata/annotations/a/b}"
	}
	for name, tc := range map[string]struct{ operations, says string }{
		"copies of copies": {doubling + "]", "Deployment metricspipeline-system/metrics-server: "},
		"a far index":      {"[{op: add, path: /spec/template/spec/tolerations/4000000000/key, value: a}]", "add operation does not apply"},
		"a far index of what there is": {"[{op: add, path: /spec/template/spec/containers/4000000000/env/-, value: {name: A}}]",
			"add operation does not apply"},
	} {
		_, err := withPatches(t, "rules-with-auth", patch("Deployment", "", tc.operations))
		if err == nil || !strings.Contains(err.Error(), tc.says) || len(err.Error()) > 2000 {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
}

const sidecar = "{spec: {template: {spec: {initContainers: [{name: first, image: i, securityContext: {" + restrictedContext + "}}], " +
	"containers: [{name: side, image: s, securityContext: {" + restrictedContext + "}}]}}}}"

// TestTheOperandIsTheFirstContainer, whatever a patch adds and in which way: kubectl logs shows the first one, and a later patch
// finds the operand at containers/0.
func TestTheOperandIsTheFirstContainer(t *testing.T) {
	later := patch("Deployment", metricsServer, "[{op: add, path: /spec/template/spec/containers/0/args/-, value: --v=9}]")
	for name, first := range map[string]string{
		"a merge patch": sidecar,
		"an operation": "[{op: add, path: /spec/template/spec/containers/0, value: {name: side, image: s, securityContext: {" + restrictedContext + "}}}, " +
			"{op: add, path: /spec/template/spec/initContainers/-, value: {name: first, image: i, securityContext: {" + restrictedContext + "}}}]",
	} {
		objects, err := withPatches(t, "rules-with-auth", patch("Deployment", "", first), later)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, component := range []string{metricsServer, adapter} {
			pods := template(t, objects, component).Spec
			var names []string
			for _, container := range slices.Concat(pods.Containers, pods.InitContainers) {
				names = append(names, container.Name)
			}
			if diff := cmp.Diff([]string{component, "side", "first"}, names); diff != "" {
				t.Errorf("%s: containers of %s (-want +got):\n%s", name, component, diff)
			}
		}
		if args := template(t, objects, metricsServer).Spec.Containers[0].Args; !slices.Contains(args, "--v=9") {
			t.Errorf("%s: arguments %q", name, args)
		}
	}
}

// TestAConfigMapThatAPatchChangesGivesNewPods: the digest on the pods is of what is rendered, and the operand's own where no patch
// changes the content, so that no upgrade replaces pods for it.
func TestAConfigMapThatAPatchChangesGivesNewPods(t *testing.T) {
	digest := func(patches ...v1alpha1.Patch) string {
		t.Helper()
		objects, err := withPatches(t, "rules-with-auth", patches...)
		if err != nil {
			t.Fatal(err)
		}
		if got := template(t, objects, metricsServer).Annotations; got != nil {
			t.Errorf("metrics-server has no ConfigMap, and its pods are annotated: %v", got)
		}
		return template(t, objects, adapter).Annotations[operand.ConfigDigestAnnotation]
	}
	of := func(content string) v1alpha1.Patch { return patch("ConfigMap", adapter, content) }
	own := digest()
	same := map[string]v1alpha1.Patch{
		"labels":       of("metadata: {labels: {team: a}, annotations: {a: b}}"),
		"no content":   of("data: {}"),
		"another kind": patch("Service", adapter, "metadata: {labels: {team: a}}"),
	}
	for name, patch := range same {
		if got := digest(patch); got != own || own == "" {
			t.Errorf("%s: digest %q, want %q", name, got, own)
		}
	}
	seen := map[string]string{own: "none"}
	for name, content := range map[string]string{
		"a file": "data: {envoy.yaml: a}", "another content": "data: {envoy.yaml: b}", "another name": "data: {other.yaml: a}",
		"binary": "binaryData: {envoy.yaml: YQ==}", "an operation": "[{op: add, path: /data/envoy.yaml, value: c}]",
	} {
		got := digest(of(content))
		if other, known := seen[got]; known {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[got] = name
		if again := digest(of(content)); again != got {
			t.Errorf("%s: digest %q, then %q", name, got, again)
		}
	}
}
