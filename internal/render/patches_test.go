// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
)

// server is the component of the smallest spec, with patches.
func server(patches ...v1alpha1.Patch) operand.Component {
	return input{Spec: v1alpha1.MetricsPipelineSpec{Patches: patches}, Facts: facts{Namespace: "metrics"}}.components()[0]
}

// everything returns a renderer that knows what a patch may be about.
func everything() *Renderer { return &Renderer{Catalog: operand.Catalog(registry.Operands())} }

func patch(kind, name, content string) v1alpha1.Patch {
	return v1alpha1.Patch{Target: v1alpha1.PatchTarget{Kind: kind, Name: name}, Patch: content}
}

// TestPatchesThatAreRefused say which of them is at fault. What a target can never be is known without building.
func TestPatchesThatAreRefused(t *testing.T) {
	good := patch("Deployment", "metrics-server", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]`)
	merge := func(content string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: metrics-server}\n" + content
	}
	for name, tc := range map[string]struct {
		patch v1alpha1.Patch
		says  []string
	}{
		"a path that is not there": {
			patch("Deployment", "metrics-server", `[{"op": "replace", "path": "/spec/nothing/here", "value": 1}]`),
			[]string{"does not apply to metrics-server", "/spec/nothing/here"}},
		"a failed test": {
			patch("Deployment", "", `[{"op": "test", "path": "/spec/replicas", "value": 77}]`), []string{"does not apply to metrics-server"}},
		"an operation that is none": {
			patch("Deployment", "", `[{"op": "paint", "path": "/spec/replicas", "value": 77}]`), []string{"does not apply to metrics-server"}},
		"an operation that is a word": {
			patch("Deployment", "", `["replace"]`), []string{"does not apply to metrics-server"}},
		"no YAML": {
			patch("Deployment", "", "spec: [unclosed"), []string{"not YAML"}},
		"a sentence": {
			patch("Deployment", "", "please use three replicas"), []string{"neither a strategic merge patch nor a list"}},
		"a long sentence": {
			patch("Deployment", "", strings.Repeat("please ", 9000)), []string{"neither a strategic merge patch nor a list"}},
		"a misspelled name": {
			patch("Deployment", "metric-server", "[]"), []string{".target", `"metric-server"`, `["metrics-server" "managed-prometheus" "prometheus-adapter"]`}},
		"a part of a name": {
			patch("Deployment", "metrics", "[]"), []string{".target", `["metrics-server" "managed-prometheus" "prometheus-adapter"]`}},
		"a pattern as name": {
			patch("Deployment", "metrics-.*", "[]"), []string{".target"}},
		"a misspelled kind": {
			patch("deployment", "metrics-server", "[]"), []string{".target", `kind "deployment"`}},
		"another group": {
			v1alpha1.Patch{Target: v1alpha1.PatchTarget{Group: "extensions", Kind: "Deployment"}, Patch: "[]"},
			[]string{".target", `group "extensions"`, `["metrics-server" "managed-prometheus" "prometheus-adapter"]`}},
		"another name": {
			patch("Service", "metrics-server", `[{"op": "replace", "path": "/metadata/name", "value": "other"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"another kind": {
			patch("Service", "metrics-server", `[{"op": "replace", "path": "/kind", "value": "Route"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"another namespace": {
			patch("Service", "metrics-server", `[{"op": "add", "path": "/metadata/namespace", "value": "default"}]`),
			[]string{"removes or renames Service", "metrics-server"}},
		"a label that is a number": {
			patch("Deployment", "metrics-server", `[{"op": "add", "path": "/metadata/labels", "value": {"team": 7}}]`),
			[]string{"labels of Deployment metrics/metrics-server", "team"}},
		"no pods": {
			patch("Deployment", "metrics-server", `[{"op": "replace", "path": "/spec/template", "value": "none"}]`),
			[]string{"does not apply to metrics-server"}},
		"removal": {
			patch("Deployment", "metrics-server", merge("$patch: delete\n")), []string{"removes or renames Deployment"}},
	} {
		t.Run(name, func(t *testing.T) {
			renderer := everything()
			objects, err := renderer.Build(server(good, tc.patch))
			if err = errors.Join(err, renderer.CheckTargets([]v1alpha1.Patch{good, tc.patch})); err == nil {
				t.Fatalf("rendered %d objects", len(objects))
			}
			for _, part := range append(tc.says, "spec.patches[1]") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if len(err.Error()) > 2000 {
				t.Errorf("the message has %d characters: too long for a status", len(err.Error()))
			}
		})
	}
}

// TestMergePatchMayRelyOnItsTarget: kustomize demands kind and name inside of a patch, and then uses the target.
func TestMergePatchMayRelyOnItsTarget(t *testing.T) {
	for _, content := range []string{
		"spec: {minReadySeconds: 7}",
		"kind: Deployment\nspec: {minReadySeconds: 7}",
		"metadata: {name: other}\nspec: {minReadySeconds: 7}",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: metrics-server}\nspec: {minReadySeconds: 7}",
	} {
		var renderer Renderer
		objects, err := renderer.Build(server(patch("Deployment", "metrics-server", content)))
		if err != nil {
			t.Errorf("%s: %v", content, err)
			continue
		}
		spec := named(t, objects, "Deployment").Object["spec"].(map[string]any)
		if spec["minReadySeconds"] != int64(7) {
			t.Errorf("%s: minReadySeconds %v", content, spec["minReadySeconds"])
		}
	}
}

// TestMergePatchesMergeLists: the items of a list that a merge patch names by their key are merged, and the others stay. That is
// what the schema of the kinds is for: without it a patch would replace the list.
func TestMergePatchesMergeLists(t *testing.T) {
	var plain, patched Renderer
	before, err := plain.Build(server())
	if err != nil {
		t.Fatal(err)
	}
	after, err := patched.Build(server(
		patch("Deployment", "metrics-server", `{spec: {template: {spec: {
			containers: [{name: metrics-server, env: [{name: A, value: "true"}], volumeMounts: [{mountPath: /more, name: more}]}],
			volumes: [{name: more, emptyDir: {}}]}}}}`),
		patch("Service", "metrics-server", `{spec: {ports: [{port: 9443, name: more}]}}`),
	))
	if err != nil {
		t.Fatal(err)
	}
	pods := func(objects []*unstructured.Unstructured) corev1.PodSpec {
		deployment := &appsv1.Deployment{}
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(named(t, objects, "Deployment").Object, deployment)
		if err != nil {
			t.Fatal(err)
		}
		return deployment.Spec.Template.Spec
	}
	was, is := pods(before), pods(after)
	container := is.Containers[0]
	if len(is.Containers) != 1 || container.Image != was.Containers[0].Image || !slices.Equal(container.Args, was.Containers[0].Args) {
		t.Errorf("containers %+v, want that of before with more", is.Containers)
	}
	if !slices.Contains(container.Env, corev1.EnvVar{Name: "A", Value: "true"}) {
		t.Errorf("env %+v", container.Env)
	}
	if len(container.VolumeMounts) != len(was.Containers[0].VolumeMounts)+1 || len(is.Volumes) != len(was.Volumes)+1 {
		t.Errorf("mounts %+v, volumes %+v: one more of each is desired", container.VolumeMounts, is.Volumes)
	}
	ports, _, _ := unstructured.NestedSlice(named(t, after, "Service").Object, "spec", "ports")
	if len(ports) != 2 {
		t.Errorf("ports %v, want two", ports)
	}
}

// TestPatchMayWaitForItsTarget: what a valid patch is about may be absent for a passing reason, such as a Prometheus or a
// CRD that comes later. That must not delay everything else.
func TestPatchMayWaitForItsTarget(t *testing.T) {
	for _, target := range []v1alpha1.PatchTarget{
		{Kind: "Deployment", Name: "prometheus-adapter"}, {Kind: "ServiceMonitor"}, {Kind: "ConfigMap", Name: "prometheus-adapter"},
	} {
		renderer := everything()
		waiting := v1alpha1.Patch{Target: target, Patch: `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`}
		objects, err := renderer.Build(server(waiting))
		if err = errors.Join(err, renderer.CheckTargets([]v1alpha1.Patch{waiting})); err != nil || len(objects) == 0 {
			t.Errorf("%+v: rendered %d objects, error %v", target, len(objects), err)
		}
	}
}

// TestPatchesApplyInOrder lets a later patch rely on an earlier one.
func TestPatchesApplyInOrder(t *testing.T) {
	var renderer Renderer
	objects, err := renderer.Build(server(
		patch("Deployment", "", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`),
		patch("Deployment", "metrics-server", `[{"op": "replace", "path": "/metadata/annotations/a", "value": "2"}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := named(t, objects, "Deployment").GetAnnotations()["a"]; got != "2" {
		t.Errorf("annotation %q, want 2", got)
	}
}

// TestPatchCannotTakeALabelAway: an object without our label would be lost to the cache and to prune.
func TestPatchCannotTakeALabelAway(t *testing.T) {
	var renderer Renderer
	objects, err := renderer.Build(server(patch("Service", "metrics-server",
		`[{"op": "add", "path": "/metadata/labels", "value": {"metricspipeline.io/pipeline": "other", "team": "mine"}}]`)))
	if err != nil {
		t.Fatal(err)
	}
	labels := named(t, objects, "Service").GetLabels()
	if labels[v1alpha1.ManagedLabel] != v1alpha1.SingletonName || labels["team"] != "mine" {
		t.Errorf("labels %v", labels)
	}
}

// TestLabelsThatAPatchMaySet: what the operator and selectors find objects by is fixed, on pods too; any other label is the
// user's to choose.
func TestLabelsThatAPatchMaySet(t *testing.T) {
	const content = `[{"op": "add", "path": "%s", "value": {"metricspipeline.io/pipeline": "x", "metricspipeline.io/component": "x",
		"app.kubernetes.io/name": "x", "app.kubernetes.io/part-of": "x", "app.kubernetes.io/managed-by": "x", "team": "x"}}]`
	want := map[string]string{"metricspipeline.io/pipeline": "default", "metricspipeline.io/component": "metrics-server",
		"app.kubernetes.io/name": "metrics-server", "app.kubernetes.io/part-of": "x", "app.kubernetes.io/managed-by": "x", "team": "x"}
	for _, place := range [][]string{{"metadata", "labels"}, {"spec", "template", "metadata", "labels"}} {
		var renderer Renderer
		objects, err := renderer.Build(server(patch("Deployment", "", fmt.Sprintf(content, "/"+strings.Join(place, "/")))))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := unstructured.NestedStringMap(named(t, objects, "Deployment").Object, place...)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s, error %v (-want +got):\n%s", place, err, diff)
		}
	}
}

// TestCheckTargets names each patch that is about nothing that any component could have, all at once.
func TestCheckTargets(t *testing.T) {
	renderer := everything()
	ok := []v1alpha1.Patch{patch("Deployment", "", "[]"), patch("PodDisruptionBudget", "metrics-server", "[]"),
		patch("ConfigMap", "prometheus-adapter", "[]"), patch("ServiceMonitor", "", "[]")}
	if err := renderer.CheckTargets(ok); err != nil {
		t.Error(err)
	}
	err := renderer.CheckTargets(append(ok, patch("Gadget", "", "[]"), patch("Service", "other", "[]")))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`spec.patches[4].target: the operator deploys no object of kind "Gadget"`,
		`spec.patches[5].target: the operator deploys no object of kind "Service", group "" and name "other"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func named(t *testing.T, objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind {
			return object
		}
	}
	t.Fatalf("no %s was rendered", kind)
	return nil
}
