// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// TestDeploymentsComeLast, after what their pods need; but for the Service, which may have to wait for the pods.
func TestDeploymentsComeLast(t *testing.T) {
	renderer := everything()
	for _, c := range renderer.Catalog {
		objects, err := renderer.Build(c)
		if err != nil {
			t.Fatal(err)
		}
		for index, object := range objects {
			later := slices.ContainsFunc(objects[index:], func(o *unstructured.Unstructured) bool {
				return o.GetKind() != "Deployment" && o.GetKind() != "Service"
			})
			if object.GetKind() == "Deployment" && later {
				t.Errorf("%s: the Deployment is object %d of %d, before what its pods need", c.Name, index+1, len(objects))
			}
		}
	}
}

// TestNothingHasASecret: what is rendered is stored in a ConfigMap as a last good form.
func TestNothingHasASecret(t *testing.T) {
	renderer := everything()
	for _, c := range renderer.Catalog {
		objects, err := renderer.Build(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (operand.LastGood{Component: c, Objects: objects}).Object(); err != nil {
			t.Error(err)
		}
	}
}

// TestSameInputIsNotBuiltAgain: a build takes as long as all the rest of a reconcile.
func TestSameInputIsNotBuiltAgain(t *testing.T) {
	var renderer Renderer
	build := func(c operand.Component) *unstructured.Unstructured {
		t.Helper()
		objects, err := renderer.Build(c)
		if err != nil {
			t.Fatal(err)
		}
		return objects[0]
	}
	first := build(server())
	if build(server()) != first {
		t.Error("the same component was built again")
	}
	change := patch("Deployment", "", `[{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]`)
	second := build(server(change))
	if second == first {
		t.Error("a changed component was not built")
	}
	other := lamp()
	other.Name = "other"
	if _, err := renderer.Build(other); err == nil {
		t.Fatal("no error")
	}
	if build(server(change)) != second {
		t.Error("another component's error made it forget what it had built")
	}
}

// TestErrorIsRemembered: a patch that does not apply is not tried at each reconcile.
func TestErrorIsRemembered(t *testing.T) {
	var renderer Renderer
	bad := server(patch("Deployment", "", "spec: [unclosed"))
	_, first := renderer.Build(bad)
	_, second := renderer.Build(bad)
	if first == nil || first != second { //nolint:errorlint // Identity is what shows that it was not built again.
		t.Errorf("errors %v and %v", first, second)
	}
	if _, err := renderer.Build(server()); err != nil {
		t.Errorf("once the patch is removed: %v", err)
	}
}

// TestErrorsStayWithTheirComponent: a patch that does not apply to one component leaves the others alone.
func TestErrorsStayWithTheirComponent(t *testing.T) {
	in := read(t, "everything")
	in.Spec.Patches = []v1alpha1.Patch{patch("Deployment", "metrics-server", `[{"op": "remove", "path": "/spec/nothing"}]`)}
	var renderer Renderer
	for _, c := range in.components() {
		objects, err := renderer.Build(c)
		if failed := err != nil; failed != (c.Name == "metrics-server") {
			t.Errorf("%s: %d objects, error %v", c.Name, len(objects), err)
		}
	}
}

// lampAssets are those of an operand that only tests know.
var lampAssets = fstest.MapFS{
	"lamp/base/kustomization.yaml": {Data: []byte("resources: [objects.yaml]\n")},
	"lamp/base/objects.yaml": {Data: []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: lamp}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: lamp}}
  template:
    metadata: {labels: {app.kubernetes.io/name: lamp}}
    spec: {containers: [{name: lamp, image: lamp}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: lamp}
`)},
	"lamp/bright/kustomization.yaml": {Data: []byte("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [service.yaml]\n")},
	"lamp/bright/service.yaml":       {Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: lamp}\n")},
}

func lamp() operand.Component {
	return operand.Component{Name: "lamp", Namespace: "metrics", Images: map[string]string{"lamp": "example.com/lamp@sha256:abc"}}
}

// TestFakeOperand: what has a folder in the assets is built, and nothing here need know it.
func TestFakeOperand(t *testing.T) {
	c := lamp()
	c.Variants, c.Files = []string{"bright"}, map[string]string{"level": "11"}
	c.Patches = []operand.Patch{operand.PatchOf("Deployment", "lamp", operand.Operation{Op: "add", Path: "/spec/replicas", Value: 2})}
	renderer := Renderer{Assets: lampAssets, Catalog: []operand.Component{c}}
	objects, err := renderer.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, object := range objects {
		got = append(got, ownership.Identity(object))
	}
	want := []string{"ServiceAccount metrics/lamp", "ConfigMap metrics/lamp", "Deployment metrics/lamp", "Service metrics/lamp"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	containers, _, _ := unstructured.NestedSlice(named(t, objects, "Deployment").Object, "spec", "template", "spec", "containers")
	if image := containers[0].(map[string]any)["image"]; image != "example.com/lamp@sha256:abc" {
		t.Errorf("image %v", image)
	}
	if level, _, _ := unstructured.NestedString(named(t, objects, "ConfigMap").Object, "data", "level"); level != "11" {
		t.Errorf("file %q", level)
	}
	bad := patch("Deployment", "metrics-server", "[]")
	if err := renderer.CheckTargets([]v1alpha1.Patch{bad}); err == nil || !strings.Contains(err.Error(), `of that kind are ["lamp"]`) {
		t.Errorf("targets are checked against other operands: %v", err)
	}
}

// TestMissingAssets name the component: a line in the registry without a folder is a programmer's mistake.
func TestMissingAssets(t *testing.T) {
	var renderer Renderer
	if _, err := renderer.Build(lamp()); err == nil || !strings.Contains(err.Error(), "build lamp: read the assets: ") {
		t.Errorf("error %v", err)
	}
	broken := Renderer{Assets: fstest.MapFS{}, Catalog: []operand.Component{lamp()}}
	err := broken.CheckTargets([]v1alpha1.Patch{patch("Deployment", "", "[]")})
	if err == nil || !strings.Contains(err.Error(), fs.ErrNotExist.Error()) {
		t.Errorf("error %v of the catalog", err)
	}
	if err := broken.CheckTargets(nil); err != nil {
		t.Errorf("without patches: %v", err)
	}
}

// TestMonitorsAreSelected by whatever the Prometheus demands of their labels and can be met. Where it cannot, the monitor is
// there all the same.
func TestMonitorsAreSelected(t *testing.T) {
	const name, partOf, managedBy = "app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values}
	}
	in, exists := metav1.LabelSelectorOpIn, metav1.LabelSelectorOpExists
	for title, tc := range map[string]struct {
		selector metav1.LabelSelector
		unmet    bool
		// named is true where the monitor goes on having the component's name.
		named bool
	}{
		"everything": {selector: metav1.LabelSelector{}},
		"labels":     {selector: metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}},
		"In and Exists": {selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			expression("team", in, "one", "two"), expression("scrape", exists)}}},
		"another part-of": {selector: metav1.LabelSelector{MatchLabels: map[string]string{partOf: "kube-prometheus"}}},
		"another managed-by": {selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			expression(managedBy, in, "Helm")}}},
		"our part-of":  {selector: metav1.LabelSelector{MatchLabels: map[string]string{partOf: "metricspipeline"}}},
		"another name": {selector: metav1.LabelSelector{MatchLabels: map[string]string{name: "kube-prometheus"}}},
		"our name among others": {selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			expression(name, in, "other", "metrics-server", "prometheus-adapter", "self-monitoring")}}, named: true},
		"any name": {selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			expression(name, exists)}}, named: true},
		"another component": {unmet: true, selector: metav1.LabelSelector{MatchLabels: map[string]string{
			v1alpha1.ComponentLabel: "other"}}},
	} {
		t.Run(title, func(t *testing.T) {
			in := read(t, "everything")
			in.Facts.ServiceMonitors, in.Facts.MonitorSelector = true, &tc.selector
			selector, err := metav1.LabelSelectorAsSelector(&tc.selector)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range in.components() {
				var renderer Renderer
				objects, err := renderer.Build(c)
				if err != nil {
					t.Fatal(err)
				}
				monitor := named(t, objects, "ServiceMonitor").GetLabels()
				if monitor[v1alpha1.ManagedLabel] != v1alpha1.SingletonName || monitor[v1alpha1.ComponentLabel] != c.Name {
					t.Errorf("%s: its monitor is lost to the cache and to prune: %v", c.Name, monitor)
				}
				if tc.named && monitor[name] != c.Name {
					t.Errorf("%s: the name of its monitor is %q", c.Name, monitor[name])
				}
				if c.Service != "" {
					if service := named(t, objects, "Service").GetLabels(); service[name] != c.Name {
						t.Errorf("%s: its monitor does not select its Service: %v", c.Name, service)
					}
				}
				if selector.Matches(labels.Set(monitor)) == tc.unmet {
					t.Errorf("%s: %s selects its monitor: %t; labels %v", c.Name, selector, tc.unmet, monitor)
				}
			}
		})
	}
}
